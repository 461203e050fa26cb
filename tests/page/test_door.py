"""The login and its cookie, forms that come from elsewhere, and the headers of every page; without a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from durable_ray.http.app import create_app
from durable_ray.http.keys import Access, Key, Keyring
from durable_ray.page.door import POLICY, Sessions, local_path
from durable_ray.testing import TestHub
from tests.page import world

URL = "http://127.0.0.1:7071"
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def still_hub() -> Iterator[TestHub]:
    with TestHub(auto_advance=False) as hub:
        yield hub


@pytest.fixture
async def http(still_hub: TestHub) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(still_hub.async_client, world.SETTINGS, world.RING))
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=BROWSER) as client:
        yield client


async def log_in(http: httpx.AsyncClient, key: str = world.KEY, to: str = "/") -> httpx.Response:
    return await http.post("/login", data={"key": key, "next": to})


@pytest.mark.parametrize(
    "path", ["/", "/?status=Failed", "/page/instances/x", "/page/instances/x/history", "/page/hub"]
)
async def test_without_a_login_there_is_only_the_login(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")
    assert (await http.get(path, headers={"accept": "*/*"})).status_code == 401
    assert (await http.get(path, headers={"hx-request": "true"})).headers["hx-refresh"] == "true"


async def test_a_key_becomes_a_cookie_that_does_not_have_it(http: httpx.AsyncClient) -> None:
    assert (await log_in(http, "wrong")).status_code == 401
    answer = await log_in(http, to="/?status=Failed")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?status=Failed")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert world.KEY not in cookie
    page = await http.get("/")
    assert page.status_code == 200
    assert page.headers["content-security-policy"] == POLICY
    assert page.headers["cache-control"] == "no-store"
    assert world.KEY not in page.text
    behind_tls = await http.post("/login", data={"key": world.KEY}, headers={"origin": "https://127.0.0.1:7071"})
    assert "Secure" in behind_tls.headers["set-cookie"]


async def test_a_form_needs_its_token_and_its_origin(http: httpx.AsyncClient) -> None:
    await log_in(http)
    assert (await http.post("/logout")).status_code == 403
    page = (await http.get("/")).text
    token = page.split('name="form_token" value="')[1].split('"')[0]
    elsewhere = {"origin": "https://elsewhere.example"}
    assert (await http.post("/logout", data={"form_token": token}, headers=elsewhere)).status_code == 403
    assert (await http.post("/logout", data={"form_token": token})).status_code == 303
    assert (await http.get("/")).status_code == 303


async def test_a_link_from_another_site_arrives_with_the_cookie_at_the_second_step(http: httpx.AsyncClient) -> None:
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = await http.get("/?status=Failed", headers=followed)
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    assert (await http.get("/", headers={**followed, "sec-fetch-dest": "iframe"})).status_code == 403


async def test_what_is_not_there_is_not_there(http: httpx.AsyncClient) -> None:
    await log_in(http)
    for path in ("/page/nothing", "/page/instances/nobody", "/page/instances/a%2Fb", "/page/instances/a%00b"):
        answer = await http.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-security-policy"] == POLICY
    for path in ("/page/static/../app.py", "/page/static/%2e%2e/app.py", "/page/static/page.py"):
        assert (await http.get(path)).status_code == 404
    assert (await http.get("/?status=Odd")).status_code == 400
    assert (await http.get("/?within=soon")).status_code == 400
    assert (await http.get("/?limit=0")).status_code == 400
    assert (await http.get("/?stauts=Failed")).status_code == 400


def test_a_session_ends_with_its_key_and_cannot_be_made_up() -> None:
    key = Key("default", Access.FULL, "a-key-of-some-length")
    sessions = Sessions(Keyring([key]))
    session = sessions.begin(key)
    assert sessions.find(session) == key
    assert Sessions(Keyring([key])).find(session) == key  # after a restart
    assert Sessions(world.RING).find(session) is None
    until, nonce, signature = session.split(".")
    for forged in (
        "",
        "..",
        f"{int(until) + 1}.{nonce}.{signature}",
        f"1.{nonce}.{signature}",
        f"{until}.{nonce}.",
        "é.é.é",
    ):
        assert sessions.find(forged) is None


@pytest.mark.parametrize(
    "url", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/\n/evil", ""]
)
def test_a_login_leads_nowhere_else(url: str) -> None:
    assert local_path(url) == "/"
