"""Nobody passes without a key, no page of another site uses ours, and no request breaks more than itself."""

from __future__ import annotations

import base64
import json
import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from starlette.types import ASGIApp, Message

from durable_ray.actors.errors import DurableRayError
from durable_ray.http.app import create_app
from durable_ray.http.keys import Access, Key, Keyring, kept_keyring, keys_path, ray_key
from durable_ray.http.security import Guard
from durable_ray.http.serving import bind
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http import world
from tests.http.world import HOOKS

ROUTES = [
    ("GET", f"{HOOKS}/instances"),
    ("POST", f"{HOOKS}/orchestrators/http.echo"),
    ("DELETE", f"{HOOKS}/instances?createdTimeFrom=2000-01-01"),
    ("POST", f"{HOOKS}/instances/x/terminate"),
    ("GET", "/durabletask/instances/"),
    ("POST", "/durabletask/orchestrators/http.echo"),
    ("POST", "/orchestrators/http.echo"),
    ("POST", "/orchestrators/http.echo/wait"),
    ("GET", "/api/v1/instances"),
    ("POST", "/api/v1/instances"),
    ("GET", "/api/v1/schedules"),
    ("POST", "/api/v1/schedules"),
    ("PUT", "/api/v1/schedules/x"),
    ("POST", "/api/v1/schedules/x/trigger"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/instances/x/stream"),
    ("GET", "/nothing/here"),
    ("GET", "/"),
]


def bare(http: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same gateway, without a key."""
    return httpx.AsyncClient(transport=http._transport, base_url=world.URL)


async def status_of(app: ASGIApp, path: str, key: str) -> int:
    """The status of a GET whose path is sent as it is; every HTTP client would tidy it up."""
    headers = [(b"host", b"127.0.0.1:7071"), (b"x-functions-key", key.encode())]
    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "query_string": b""}
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    await app(scope | {"headers": headers, "client": ("127.0.0.1", 1), "scheme": "http"}, receive, send)
    return statuses[0]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_wants_a_key(http: httpx.AsyncClient, method: str, path: str) -> None:
    without = await bare(http).request(method, path)
    assert without.status_code == 401
    assert without.headers["www-authenticate"] == "Bearer"
    assert isinstance(without.json(), dict)
    for headers in (
        {"x-functions-key": "wrong"},
        {"x-functions-key": world.KEY[:-1]},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {world.KEY}x"},
        {"authorization": "Basic !!!"},
        {"authorization": world.KEY},
    ):
        assert (await bare(http).request(method, path, headers=headers)).status_code == 401, headers
    assert (await bare(http).request(method, path, params={"code": "wrong"})).status_code == 401


async def test_a_key_may_come_in_four_ways(http: httpx.AsyncClient) -> None:
    login = base64.b64encode(f"key:{world.KEY}".encode()).decode()
    for headers in (
        {"x-functions-key": world.KEY},
        {"authorization": f"Bearer {world.KEY}"},
        {"authorization": f"bearer {world.KEY}"},
        {"authorization": f"Basic {login}"},
    ):
        assert (await bare(http).get(f"{HOOKS}/instances", headers=headers)).status_code == 200
    assert (await bare(http).get(f"{HOOKS}/instances?CODE={world.KEY}")).status_code == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_read_only_key_only_reads(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await bare(http).request(method, path, headers={"x-functions-key": world.READ_KEY})
    if method == "GET":
        assert answer.status_code in (200, 404)
    else:
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7071", "127.0.0.1.evil.example", "localhost.evil.example", "", "a@b", "[::1"]
)
async def test_a_foreign_host_is_refused_even_with_a_key(http: httpx.AsyncClient, host: str) -> None:
    for path in (f"{HOOKS}/instances", "/api/v1/instances"):
        assert (await http.get(path, headers={"host": host})).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:7071", "localhost", "LOCALHOST:7071", "[::1]:7071", "10.1.2.3:80"])
async def test_our_own_names_are_taken(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get(f"{HOOKS}/instances", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:7071.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_a_page_of_another_site_is_refused_even_with_a_key(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in ("/orchestrators/http.echo", f"{HOOKS}/orchestrators/http.echo", "/api/v1/instances"):
        answer = await http.post(path, json={}, headers=headers)
        assert answer.status_code == 403
    assert (await http.get("/api/v1/counts")).json()["total"] == 0


async def test_a_page_of_our_own_passes(http: httpx.AsyncClient) -> None:
    for headers in ({"origin": world.URL, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert (await http.post("/orchestrators/http.echo", json={}, headers=headers)).status_code == 202


async def test_settings_widen_hosts_and_origins(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_RAY_HTTP_ALLOWED_HOSTS", "flows.example, other.example")
    monkeypatch.setenv("DURABLE_RAY_HTTP_ALLOWED_ORIGINS", "https://ops.example")
    app = create_app(hub.async_client, GatewaySettings(), world.RING)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flows.example") as http:
        headers = {"x-functions-key": world.KEY, "origin": "https://ops.example"}
        assert (await http.get(f"{HOOKS}/instances", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/orchestrators/http.echo", "/durabletask/orchestrators/http.echo", "/api/v1/instances"]
)
async def test_bodies_are_limited(http: httpx.AsyncClient, path: str) -> None:
    large = b'"' + b"x" * 200_000 + b'"'
    json_type = {"content-type": "application/json"}
    assert (await http.post(path, content=large, headers=json_type)).status_code == 413

    async def dripping() -> object:  # No length is announced.
        for _ in range(300):
            yield b" " * 1000

    assert (await http.post(path, content=dripping(), headers=json_type)).status_code == 413
    deep = b"[" * 5000 + b"]" * 5000
    for body in (
        deep,
        b"[" * 5000,
        b'{"a":' * 300,
        b"NaN",
        b"Infinity",
        b"\xff\xfe",
        b'"\\ud800"',
        b"pickle:gASVAAAA",
        b"{}{}",
    ):
        answer = await http.post(path, content=body, headers=json_type)
        assert answer.status_code == 400, body[:20]
        assert isinstance(answer.json(), dict)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/x-python-pickle",
    ):
        answer = await http.post(path, content=b'{"a": 1}', headers={"content-type": kind})
        assert answer.status_code in (400, 415), kind
    assert (await http.get("/api/v1/counts")).json()["total"] == 0


@pytest.mark.parametrize(
    "bad", ["%00", "a%00b", "a%0Ab", "a%0D%0AX-Evil:1", "%1b[31m", "@x", "a%2F..%2Fb", "%FF%FE", "%ED%A0%80"]
)
async def test_odd_ids_are_nobody(http: httpx.AsyncClient, bad: str) -> None:
    for method, path in (
        ("GET", f"{HOOKS}/instances/{bad}"),
        ("DELETE", f"{HOOKS}/instances/{bad}"),
        ("POST", f"{HOOKS}/instances/{bad}/terminate"),
        ("POST", f"{HOOKS}/instances/{bad}/raiseEvent/x"),
        ("GET", f"/api/v1/instances/{bad}"),
        ("GET", f"/api/v1/instances/{bad}/history"),
        ("GET", f"/api/v1/instances/{bad}/stream"),
        ("POST", f"/api/v1/instances/{bad}/suspend"),
    ):
        assert (await http.request(method, path)).status_code == 404, (method, path)


async def test_reasons_and_names_keep_lines_but_no_control_characters(http: httpx.AsyncClient) -> None:
    await http.post(f"{HOOKS}/orchestrators/http.approval/r")
    for bad in ("%00", "a%1b[2Jb", "%7f"):
        for operation in ("terminate", "suspend", "resume"):
            assert (await http.post(f"{HOOKS}/instances/r/{operation}?reason={bad}")).status_code == 400
        assert (await http.post(f"{HOOKS}/instances/r/raiseEvent/{bad}", json=1)).status_code == 400
        assert (await http.post(f"{HOOKS}/orchestrators/{bad}", json=1)).status_code == 400
    assert (await http.post(f"{HOOKS}/instances/r/suspend?reason={'x' * 5000}")).status_code == 400
    assert (await http.post(f"{HOOKS}/instances/r/terminate?reason=two%0Alines")).status_code == 202
    shown = await http.get("/api/v1/instances/r?wait=5")
    assert shown.json()["output"] == "two\nlines"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/../../etc/passwd",
        "/api/v1/..%2f..%2fetc%2fpasswd",
        f"{HOOKS}/instances/../../../etc/passwd",
        f"{HOOKS}/instances/..%2f..%2fetc%2fpasswd",
        f"{HOOKS}//instances",
        f"/x/..{HOOKS}/instances",
        "/%61pi/v1/nothing",
        "//evil.example/api/v1/instances",
        "/durabletask%2finstances",
        "/.git/config",
    ],
)
async def test_tricks_with_the_path_lead_nowhere(hub: TestHub, path: str) -> None:
    app = create_app(hub.async_client, world.SETTINGS, world.RING)
    assert await status_of(app, path, world.KEY) == 404
    assert await status_of(app, path, "") == 401


async def test_answers_are_not_stored_sniffed_or_framed(http: httpx.AsyncClient) -> None:
    for path in (f"{HOOKS}/instances", "/api/v1/instances", "/nothing"):
        headers = (await http.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


async def test_keys_are_in_no_log(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # The tests' own client.
    await bare(http).get(f"{HOOKS}/instances?code={world.KEY}")
    await bare(http).get(f"{HOOKS}/instances?code=guessed-key")
    await http.post(f"{HOOKS}/orchestrators/nobody")
    await http.get(f"{HOOKS}/instances/a%0Aforged%20line")
    assert "GET /runtime/webhooks/durabletask/instances 200" in caplog.text
    assert "guessed-key" not in caplog.text
    assert world.KEY not in caplog.text
    assert "\nforged" not in caplog.text
    assert world.KEY not in repr(world.RING)
    assert world.KEY not in repr(world.RING.find(world.KEY))


async def test_what_goes_wrong_inside_stays_inside(http: httpx.AsyncClient, hub: TestHub) -> None:
    def fail(*_: object, **__: object) -> object:
        raise RuntimeError("postgresql://user:password@db")

    hub.async_client._router.registry = fail  # type: ignore[method-assign, assignment]
    for path in (f"{HOOKS}/instances/x", "/api/v1/instances/x"):
        answer = await http.get(path)
        assert answer.status_code == 500
        assert "password" not in answer.text


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    ring = kept_keyring(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    full, read = ring.first(Access.FULL), ring.first(Access.READ)
    assert full is not None
    assert read is not None
    assert len(full.secret) >= 40
    again = kept_keyring(path)
    assert again.access(full.secret) is Access.FULL
    assert again.access(read.secret) is Access.READ
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        kept_keyring(path)
    path.chmod(0o600)
    path.write_text(json.dumps({"keys": [{"name": "x"}]}))
    with pytest.raises(ValueError, match="no file of keys"):
        kept_keyring(path)


def test_keys_are_kept_beside_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert keys_path("hub", "sqlite:////data/hub.db") == Path("/data/hub.db.keys.json")
    assert keys_path("hub", "sqlite://") is None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert keys_path("hub", "postgresql://db/x") == tmp_path / "durable_ray" / "hub.keys.json"


async def test_the_clusters_own_token_passes_and_never_enters_an_url(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token-of-the-cluster")
    app = create_app(hub.async_client, world.SETTINGS, world.RING.and_also(ray_key()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=world.URL) as http:
        headers = {"authorization": "Bearer token-of-the-cluster"}
        answer = await http.post(f"{HOOKS}/orchestrators/http.echo", headers=headers)
        assert answer.status_code == 202
        assert "token-of-the-cluster" not in answer.text
        # Nor does he get a key that he did not show: he shows the token again.
        assert all(key not in answer.text + answer.headers["location"] for key in (world.KEY, "code="))
        assert (await http.get(answer.headers["location"])).status_code == 401
        assert (await http.get(answer.headers["location"], headers=headers)).status_code in (200, 202)


def test_the_clusters_token_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert ray_key() is None
    (tmp_path / "token").write_text("from-a-file\n")
    key = ray_key()
    assert key is not None
    assert key.secret == "from-a-file"


async def test_the_rpc_base_may_be_opened_to_this_machine(hub: TestHub) -> None:
    settings = world.SETTINGS.model_copy(update={"open_rpc": True})
    app = create_app(hub.async_client, settings, world.RING)
    for peer, path, code in (
        ("127.0.0.1", "/durabletask/instances", 200),
        ("10.0.0.9", "/durabletask/instances", 401),
        ("127.0.0.1", f"{HOOKS}/instances", 401),
    ):
        transport = httpx.ASGITransport(app, client=(peer, 5000))
        async with httpx.AsyncClient(transport=transport, base_url=world.URL) as http:
            assert (await http.get(path)).status_code == code
            # A wrong key is wrong even where none is needed.
            assert (await http.get(f"{path}?code=wrong")).status_code == 401


async def test_nobody_is_given_a_key_that_he_did_not_show(hub: TestHub) -> None:
    settings = world.SETTINGS.model_copy(update={"open_rpc": True})
    second = Key("second", Access.FULL, "the-secret-of-a-second-key")
    app = create_app(hub.async_client, settings, world.RING.and_also(second))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=world.URL) as http:
        shown = {"x-functions-key": second.secret}
        for path in ("/durabletask", HOOKS, ""):
            for sent in ({}, shown):
                for more in ("", "/wait?timeout=0&retryInterval=0"):
                    if path and more:
                        more = "?timeout=0&pollingInterval=0"
                    answer = await http.post(f"{path}/orchestrators/http.approval{more}", headers=sent)
                    told = answer.text + str(answer.headers)
                    assert world.KEY not in told
                    assert world.READ_KEY not in told
                    if not sent:
                        assert second.secret not in told
                        assert answer.status_code == (202 if path == "/durabletask" else 401)
                    else:
                        assert f"code={second.secret}" in answer.headers["location"]
        # What a caller without a key is given works without one.
        urls = (await http.post("/durabletask/orchestrators/http.approval/open")).json()
        assert (await http.get(urls["statusQueryGetUri"])).status_code in (200, 202)
        assert (await http.post(urls["terminatePostUri"].replace("{text}", "why"))).status_code == 202


ORIGIN = "https://ops.example"


@pytest.fixture
async def page(hub: TestHub) -> AsyncIterator[httpx.AsyncClient]:
    """What a page of an allowed origin calls, as a browser does: with its origin and without a key of its own."""
    settings = world.SETTINGS.model_copy(update={"allowed_origins": (ORIGIN,)})
    app = create_app(hub.async_client, settings, world.RING)
    headers = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=world.URL, headers=headers) as http:
        yield http


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/api/v1/instances", "content-type,x-functions-key"),
        ("DELETE", f"{HOOKS}/instances/x", "x-functions-key"),
        ("GET", f"{HOOKS}/instances", "authorization,x-ms-continuation-token"),
        ("GET", "/api/v1/stream", "last-event-id, authorization"),
        ("POST", "/orchestrators/http.echo", "content-type,authorization"),
    ],
)
async def test_a_preflight_of_an_allowed_origin_is_answered(
    page: httpx.AsyncClient, method: str, path: str, sent: str
) -> None:
    asks = {"access-control-request-method": method, "access-control-request-headers": sent}
    told = await page.options(path, headers=asks | {"access-control-request-private-network": "true"})
    assert told.status_code == 200
    assert told.headers["access-control-allow-origin"] == ORIGIN
    assert method in told.headers["access-control-allow-methods"]
    allowed = {name.strip().lower() for name in told.headers["access-control-allow-headers"].split(",")}
    assert {name.strip() for name in sent.split(",")} <= allowed
    assert told.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-credentials" not in told.headers
    other = await page.options(path, headers=asks | {"origin": "https://evil.example"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


async def test_a_page_of_an_allowed_origin_reads_answers_and_refusals(page: httpx.AsyncClient) -> None:
    key = {"x-functions-key": world.KEY}
    started = await page.post(f"{HOOKS}/orchestrators/http.approval/x", headers=key)
    listed = await page.get("/api/v1/instances", headers=key)
    refused = await page.get("/api/v1/instances")
    absent = await page.get(f"{HOOKS}/instances/nobody", headers=key)
    for answer, status in ((started, 202), (listed, 200), (refused, 401), (absent, 404)):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "Origin" in answer.headers["vary"]
        assert "location" in answer.headers["access-control-expose-headers"].lower()
    evil = await page.get("/api/v1/instances", headers=key | {"origin": "https://evil.example"})
    assert evil.status_code == 403
    assert "access-control-allow-origin" not in evil.headers


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("https://ops.example", "https://ops.example"),
        (" HTTPS://Ops.Example:443/", "https://ops.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_origins_are_kept_as_browsers_say_them(said: str, meant: str) -> None:
    assert GatewaySettings(allowed_origins=(said,)).allowed_origins == (meant,)


@pytest.mark.parametrize(
    "said", ["*", "ops.example", "null", "https://*.example", "https://ops.example/page", "ftp://x", "https://x:port"]
)
def test_what_is_no_origin_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        GatewaySettings(allowed_origins=(said,))


def test_without_a_key_it_listens_on_loopback_only() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "flows.example"):
        with pytest.raises(DurableRayError, match="no key"):
            bind(GatewaySettings(host=host, port=0), Keyring([]))
    bind(GatewaySettings(port=0), Keyring([])).close()
    bind(GatewaySettings(host="0.0.0.0", port=0), world.RING).close()


def test_a_taken_port_is_said() -> None:
    bound = bind(GatewaySettings(port=0), world.RING)
    with bound, pytest.raises(DurableRayError, match="in use"):
        bind(GatewaySettings(port=bound.getsockname()[1]), world.RING)


async def test_websockets_are_refused() -> None:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        sent.append(message)  # type: ignore[arg-type]

    async def receive() -> object:
        return {"type": "websocket.connect"}

    guard = Guard(None, GatewaySettings(), Keyring([Key("k", Access.FULL, "x")]))  # type: ignore[arg-type]
    await guard({"type": "websocket", "path": "/", "headers": []}, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]
