"""Damaged histories: what is stored of an instance no longer agrees with its row, or cannot be read.

Such an instance takes no turn, says why wherever one looks, and can be ended; its neighbours go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

import durable_ray as dr
from durable_ray import HubSettings
from durable_ray.actors.errors import DamagedHistory
from durable_ray.actors.store.opening import SqlStore
from durable_ray.actors.store.records import InboxMessage
from durable_ray.cli.hub.over_ray import RayHub
from durable_ray.client.json_views import instance_json
from durable_ray.http.app import create_app
from durable_ray.http.settings import GatewaySettings
from durable_ray.testing import TestHub
from tests.http.world import KEY, RING
from tests.stranded import stranded

#: What was done to the stored history of the instance "bad", and a part of what is said of it.
DAMAGES = {
    "its last row is missing": (
        "DELETE FROM history WHERE instance_id = 'bad' AND first_event = "
        "(SELECT max(first_event) FROM history WHERE instance_id = 'bad')",
        "its row says",
    ),
    "a row in the middle is missing": (
        "DELETE FROM history WHERE instance_id = 'bad' AND first_event = "
        "(SELECT min(first_event) FROM history WHERE instance_id = 'bad' AND first_event > 0)",
        "its row says",
    ),
    "its last row is in another position": (
        "UPDATE history SET first_event = 1 WHERE instance_id = 'bad' AND first_event = "
        "(SELECT max(first_event) FROM history WHERE instance_id = 'bad')",
        "event #1 is stored where",
    ),
    "two rows of one length have changed places": (
        "UPDATE history SET first_event = -1 WHERE instance_id = 'bad' AND first_event = 5;"
        "UPDATE history SET first_event = 5 WHERE instance_id = 'bad' AND first_event = 10;"
        "UPDATE history SET first_event = 10 WHERE instance_id = 'bad' AND first_event = -1",
        "comes before what it answers",
    ),
    "nothing is left": ("DELETE FROM history WHERE instance_id = 'bad'", "it has 0 events"),
    "a row is half there": (
        "UPDATE history SET body = substr(body, 1, 20) WHERE instance_id = 'bad' AND first_event > 0",
        "cannot be read",
    ),
    "a row is no text of ours": ("UPDATE history SET body = 'x' WHERE instance_id = 'bad'", "cannot be read"),
    "it is another execution's": (
        "UPDATE instances SET execution_id = 'y' WHERE instance_id = 'bad'",
        "its row says 'y'",
    ),
    "it has ended": ("UPDATE instances SET status = 'Suspended' WHERE instance_id = 'bad'", "its row says Suspended"),
}


@dr.activity
def plus_one(value: int) -> int:
    return value + 1


@dr.orchestrator(name="damage.adds")
async def adds(ctx: dr.OrchestrationContext) -> int:
    """Adds one for each event, until one says stop."""
    total = 0
    while await ctx.wait_for_external_event("more"):
        total = await ctx.call_activity(plus_one, total)
    return total


@dr.orchestrator(name="damage.parent")
async def parent(ctx: dr.OrchestrationContext) -> str:
    try:
        return str(await ctx.call_sub_orchestrator(adds, instance_id="bad"))
    except dr.SubOrchestrationFailed as failed:
        return str(failed)


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub(auto_advance=False, settings=HubSettings(partitions=1, sweep_interval=3600)) as hub:
        yield hub


def damage(hub: TestHub, statement: str) -> None:
    """Change what is stored, while no process has it in memory."""
    assert isinstance(hub.store, SqlStore)
    for part in statement.split(";"):
        hub.store.database.write(lambda session, part=part: session.plain(part))
    hub.crash()
    hub.settle()


def grown(hub: TestHub, placement: str = "shared") -> dr.Client:
    """A hub with an instance "bad" of some turns, and one beside it."""
    for name in ("bad", "good"):
        hub.client.start_new(adds, instance_id=name, placement=placement)  # type: ignore[arg-type]
        for _ in range(2):
            hub.client.raise_event(name, "more", True)
            hub.settle()
    return hub.client


def stands(client: dr.Client, instance_id: str) -> tuple[str, str]:
    status = client.get_status(instance_id)
    assert status is not None
    return str(status.runtime_status.value), status.waiting_reason or ""


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_history_stops_its_instance_with_a_reason(hub: TestHub, what: str) -> None:
    client = grown(hub)
    before = stands(client, "bad")[0]
    assert before == "Running"
    statement, told = DAMAGES[what]
    damage(hub, statement)
    for name in ("bad", "good"):
        client.raise_event(name, "more", False)
    hub.settle()
    assert client.wait_for_completion("good", 20) == 2
    status, reason = stands(client, "bad")
    assert status in ("Running", "Suspended")
    assert reason.startswith("history: the history of 'bad' is damaged")
    assert told in reason
    assert "restore the store from a backup" in reason
    assert any(told in sentence for sentence in stranded(hub.store, 0))
    (found,), token = hub.on_loop(hub.hub.registry.damaged(100)).result(20)
    assert (found[0], token) == ("bad", None)
    assert told in found[1]


def test_a_message_that_cannot_be_read_stops_its_receiver(hub: TestHub) -> None:
    client = grown(hub)
    hub.store.commit(None, [InboxMessage("bad", "m", "no event")])
    damage(hub, "UPDATE instances SET recoveries = 0 WHERE instance_id = 'bad'")
    client.raise_event("good", "more", False)
    assert client.wait_for_completion("good", 20) == 2
    assert "message 'm' cannot be read" in stands(client, "bad")[1]
    client.terminate("bad")
    hub.settle()
    assert stands(client, "bad")[0] == "Terminated"


@pytest.mark.parametrize("placement", ["shared", "dedicated"])
def test_a_damaged_instance_can_be_ended_and_purged_and_not_rewound(hub: TestHub, placement: str) -> None:
    client = grown(hub, placement)
    damage(hub, DAMAGES["its last row is missing"][0])
    client.raise_event("bad", "more", False)
    hub.settle()
    assert stands(client, "bad")[1]
    client.terminate("bad", "damaged")
    hub.settle()
    assert stands(client, "bad") == ("Terminated", "")
    with pytest.raises(dr.InvalidState, match="is damaged: it has"):
        client.rewind("bad")
    with pytest.raises(dr.InvalidState, match="is damaged: it has"):
        client.rewind("bad", version="latest")
    assert client.purge("bad") == 1
    client.start_new(adds, instance_id="bad")
    client.raise_event("bad", "more", False)
    assert client.wait_for_completion("bad", 20) == 0


def test_the_parent_of_a_damaged_child_hears_of_its_end(hub: TestHub) -> None:
    hub.client.start_new(parent, instance_id="parent")
    for _ in range(2):
        hub.settle()
        hub.client.raise_event("bad", "more", True)
    hub.settle()
    damage(hub, DAMAGES["its last row is missing"][0])
    hub.client.terminate("bad", "damaged")
    assert "damaged" in hub.client.wait_for_completion("parent", 20)


def test_a_mended_history_goes_on_with_its_next_process(hub: TestHub) -> None:
    client = grown(hub)
    assert isinstance(hub.store, SqlStore)
    damage(hub, "UPDATE history SET body = 'x' || body WHERE instance_id = 'bad' AND first_event > 0")
    client.raise_event("bad", "more", True)
    hub.settle()
    assert stands(client, "bad")[1]
    damage(hub, "UPDATE history SET body = substr(body, 2) WHERE instance_id = 'bad' AND first_event > 0")
    client.raise_event("bad", "more", False)
    hub.advance(timedelta(seconds=1))
    assert client.wait_for_completion("bad", 20) == 3
    assert stands(client, "bad") == ("Completed", "")


#: A change of the row, and what its status says.
ROWS = {
    "its tags are no JSON": ("tags = '{'", "its tags cannot be read"),
    "its tags are no texts": ("tags = '[1]'", "its tags cannot be read"),
    "its settings are no JSON": ("settings = '{'", "its settings cannot be read"),
    "its status is none": ("status = 'Flying'", "the status 'Flying'"),
    "its settings are no object": ("settings = '7'", "its settings cannot be read"),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_damaged_row_stops_its_instance_with_a_reason_and_hides_no_other(hub: TestHub, what: str) -> None:
    client = grown(hub)
    change, said = ROWS[what]
    damage(hub, f"UPDATE instances SET {change} WHERE instance_id = 'bad'")
    for name in ("bad", "good"):
        client.raise_event(name, "more", False)
    hub.settle()
    assert client.wait_for_completion("good", 20) == 2
    assert {status.instance_id for status in client.list_instances()} == {"bad", "good"}
    status, reason = stands(client, "bad")
    assert (status, said in reason) == ("Running", True), reason
    client.terminate("bad")
    hub.settle()
    assert stands(client, "bad") == ("Terminated", "")


@pytest.mark.parametrize("column", ["input", "output", "custom_status", "failure"])
@pytest.mark.parametrize("text", ["{", "\\x80", ""])
def test_a_payload_that_cannot_be_read_hides_no_status(hub: TestHub, column: str, text: str) -> None:
    client = grown(hub)
    client.terminate("bad")
    hub.settle()
    damage(hub, f"UPDATE instances SET {column} = '{text}' WHERE instance_id = 'bad'")
    assert {status.instance_id for status in client.list_instances()} == {"bad", "good"}
    status = client.get_status("bad")
    assert status is not None
    if column == "failure":
        assert status.failure is None if not text else status.failure.error_type == "durable_ray.UnreadableHistory"
    else:
        assert "JSON" in getattr(status, column).reason
        assert "JSON" in status.to_dict()[column]["reason"]
    rows = hub.store.rows(["bad"])
    assert instance_json(rows["bad"])["status"] == "Terminated"


@pytest.mark.parametrize("what", DAMAGES)
def test_whoever_asks_for_a_damaged_history_is_told_and_gets_no_part_of_it(hub: TestHub, what: str) -> None:
    client = grown(hub)
    statement, told = DAMAGES[what]
    damage(hub, statement)
    for ask in (
        lambda: client.get_history("bad"),
        lambda: client.get_status("bad", show_history=True),
        lambda: RayHub(client, {}).get("bad", history=True),
    ):
        with pytest.raises(DamagedHistory, match=f"the history of 'bad' is damaged: .*{told}"):
            ask()
    assert stands(client, "bad")[0] in ("Running", "Suspended"), "its status can still be had"
    assert client.get_history("good")


async def test_http_says_that_a_history_is_damaged(hub: TestHub) -> None:
    grown(hub)
    damage(hub, DAMAGES["its last row is missing"][0])
    app = create_app(hub.async_client, GatewaySettings(), RING)
    headers = {"x-functions-key": KEY}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers=headers, timeout=30
    ) as http:
        shown = await http.get("/runtime/webhooks/durabletask/instances/bad?showHistory=true")
        assert (shown.status_code, "is damaged" in shown.json()["ExceptionMessage"]) == (500, True)
        shown = await http.get("/api/v1/instances/bad/history")
        assert (shown.status_code, shown.json()["title"]) == (500, "The history is damaged")
        stream = await http.get("/api/v1/instances/bad/stream")
        assert "event: end" in stream.text
        assert '"status":"damaged"' in stream.text.replace(": ", ":")
        assert (await http.get("/runtime/webhooks/durabletask/instances/bad")).status_code == 202
        assert (await http.get("/api/v1/instances/bad")).status_code == 200
