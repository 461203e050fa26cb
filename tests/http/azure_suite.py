"""Every method of the unmodified `azure-functions-durable` client, against a gateway: shared by two backends.

`test_azure_client` runs these over a hub in this process, `test_azure_client_ray` over a Ray cluster. The client keeps
one HTTP session for its event loop, so each test has its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import azure.functions as func
import pytest
from azure.durable_functions import DurableOrchestrationClient, EntityId, OrchestrationRuntimeStatus
from azure.durable_functions.models.utils import http_utils

Status = OrchestrationRuntimeStatus
LONG_AGO, FAR_AWAY = datetime(2000, 1, 1), datetime(2100, 1, 1)


@pytest.fixture
async def azure(binding: str) -> AsyncIterator[Any]:
    http_utils._client_session = None
    http_utils._session_lock = asyncio.Lock()
    yield DurableOrchestrationClient(binding)
    await http_utils._close_session()


def new_id() -> str:
    return f"azure-{uuid4().hex[:12]}"


async def until(azure: Any, instance_id: str, *wanted: Any, seconds: float = 30) -> Any:
    """The instance's status once it is one of these."""
    async with asyncio.timeout(seconds):
        while True:
            status = await azure.get_status(instance_id, show_history=True, show_history_output=True, show_input=True)
            if status and status.runtime_status in wanted:
                return status
            await asyncio.sleep(0.02)


class AzureSuite:
    async def test_start_new_takes_an_id_and_an_input(self, azure: Any) -> None:
        name = new_id()
        assert await azure.start_new("http.echo", name, {"a": [1, "two", None]}) == name
        status = await until(azure, name, Status.Completed)
        assert status.instance_id == name
        assert status.name == "http.echo"
        assert status.output == {"a": [1, "two", None]}
        assert status.input_ == {"a": [1, "two", None]}
        assert abs(status.last_updated_time - status.created_time) < timedelta(minutes=1)

    @pytest.mark.parametrize("value", ["text", "2024", 5, 0.5, True, [], {"k": 'quo"te'}, "äöü€"])
    async def test_a_value_arrives_as_it_was_sent(self, azure: Any, value: object) -> None:
        started = await azure.start_new("http.echo", client_input=value)
        assert (await until(azure, started, Status.Completed)).output == value

    async def test_start_new_without_id_and_input(self, azure: Any) -> None:
        started = await azure.start_new("http.echo")
        assert len(started) == 32
        assert (await until(azure, started, Status.Completed)).output is None

    async def test_start_new_of_an_unknown_orchestrator(self, azure: Any) -> None:
        with pytest.raises(Exception, match="The function 'nobody' doesn't exist, is disabled, or is not an orch"):
            await azure.start_new("nobody")

    async def test_start_new_of_a_taken_id(self, azure: Any) -> None:
        name = await azure.start_new("http.approval", new_id())
        with pytest.raises(Exception, match=f"An instance with ID '{name}' already exists"):
            await azure.start_new("http.approval", name)
        await azure.terminate(name, "done")
        await until(azure, name, Status.Terminated)
        assert await azure.start_new("http.echo", name, "again") == name

    async def test_start_new_of_a_bad_id(self, azure: Any) -> None:
        with pytest.raises(Exception, match="reserved"):
            await azure.start_new("http.echo", "@entity@key")

    async def test_start_new_of_an_unknown_version(self, azure: Any) -> None:
        with pytest.raises(Exception, match="doesn't exist"):
            await azure.start_new("http.echo", version="no such version")

    async def test_get_status_of_nobody_is_falsy(self, azure: Any) -> None:
        assert not await azure.get_status("nobody")

    async def test_get_status_with_history(self, azure: Any) -> None:
        name = await azure.start_new("http.hello", new_id(), "Ada")
        status = await until(azure, name, Status.Completed)
        assert status.output == "Hello Ada!"
        events = {event["EventType"]: event for event in status.history}
        assert list(events) == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
        assert events["TaskCompleted"]["FunctionName"] == "http.greet"
        assert events["TaskCompleted"]["Result"] == "Hello Ada!"
        assert events["TaskCompleted"]["ScheduledTime"].endswith("Z")
        plain = await azure.get_status(name)
        assert plain.history is None

    async def test_lists(self, azure: Any) -> None:
        prefix = new_id()
        for number in range(3):
            await azure.start_new("http.echo", f"{prefix}-{number}")
        waiting = await azure.start_new("http.approval", f"{prefix}-waits")
        await until(azure, waiting, Status.Running)
        for number in range(3):
            await until(azure, f"{prefix}-{number}", Status.Completed)
        everything = {status.instance_id for status in await azure.get_status_all()}
        assert {f"{prefix}-0", f"{prefix}-1", f"{prefix}-2", waiting} <= everything
        found = await azure.get_status_by(LONG_AGO, FAR_AWAY, [Status.Completed], prefix)
        assert sorted(status.instance_id for status in found) == [f"{prefix}-{n}" for n in range(3)]
        both = await azure.get_status_by(runtime_status=[Status.Running, Status.Completed], instance_id_prefix=prefix)
        assert len(both) == 4
        assert await azure.get_status_by(created_time_from=FAR_AWAY) == []
        await azure.terminate(waiting, "done")

    async def test_raise_event(self, azure: Any) -> None:
        name = await azure.start_new("http.approval", new_id())
        await azure.raise_event(name, "Approval", {"ok": True})
        assert (await until(azure, name, Status.Completed)).output == {"ok": True}
        with pytest.raises(Exception, match=f"Instance with ID {name} is gone: either completed or failed"):
            await azure.raise_event(name, "Approval", 1)
        with pytest.raises(Exception, match="No instance with ID nobody found"):
            await azure.raise_event("nobody", "Approval", 1)
        with pytest.raises(ValueError, match="event_name"):
            await azure.raise_event(name, "")

    async def test_raise_event_without_data_and_with_a_task_hub(self, azure: Any) -> None:
        name = await azure.start_new("http.approval", new_id())
        await azure.raise_event(
            name, "approval", task_hub_name=azure._orchestration_bindings.task_hub_name, connection_name="Storage"
        )
        assert (await until(azure, name, Status.Completed)).output is None

    async def test_terminate(self, azure: Any) -> None:
        name = await azure.start_new("http.approval", new_id())
        await azure.terminate(name, "no longer needed & so on")
        assert (await until(azure, name, Status.Terminated)).output == "no longer needed & so on"
        await azure.terminate(name, "twice")
        with pytest.raises(Exception, match="No instance with ID 'nobody' found"):
            await azure.terminate("nobody", "why")

    async def test_suspend_and_resume(self, azure: Any) -> None:
        name = await azure.start_new("http.approval", new_id())
        await until(azure, name, Status.Running)
        await azure.suspend(name, "a break")
        await until(azure, name, Status.Suspended)
        with pytest.raises(Exception, match="unexpected status code 500"):
            await azure.suspend(name, "again")
        await azure.raise_event(name, "Approval", "kept")
        await azure.resume(name, "go on")
        assert (await until(azure, name, Status.Completed)).output == "kept"
        await azure.suspend(name, "finished: nothing to suspend")
        await azure.resume(name, "finished: nothing to resume")
        with pytest.raises(Exception, match="No instance with ID 'nobody' found"):
            await azure.suspend("nobody", "why")
        with pytest.raises(Exception, match="No instance with ID 'nobody' found"):
            await azure.resume("nobody", "why")

    async def test_restart(self, azure: Any) -> None:
        name = await azure.start_new("http.echo", new_id(), "again")
        await until(azure, name, Status.Completed)
        other = await azure.restart(name)
        assert isinstance(other, str)
        assert other != name
        assert (await until(azure, other, Status.Completed)).output == "again"
        assert await azure.restart(name, restart_with_new_instance_id=False) == name
        assert (await until(azure, name, Status.Completed)).output == "again"
        with pytest.raises(Exception, match="unexpected status code 400"):
            await azure.restart("nobody")

    async def test_rewind(self, azure: Any) -> None:
        done = await azure.start_new("http.echo", new_id())
        await until(azure, done, Status.Completed)
        with pytest.raises(Exception, match="only supported on failed orchestration instances"):
            await azure.rewind(done, "why")
        with pytest.raises(Exception, match="No instance with ID nobody found"):
            await azure.rewind("nobody", "why")
        running = await azure.start_new("http.approval", new_id())
        await until(azure, running, Status.Running)
        with pytest.raises(Exception, match="only supported on failed"):
            await azure.rewind(running, "why")
        await azure.terminate(running, "done")

    async def test_rewind_of_a_failed_one(self, azure: Any, tmp_path: Path) -> None:
        mended = tmp_path / "mended"
        name = await azure.start_new("http.fragile", new_id(), str(mended))
        assert "it broke" in (await until(azure, name, Status.Failed)).output
        mended.touch()
        await azure.rewind(name, "mended")
        assert (await until(azure, name, Status.Completed)).output == "mended"

    async def test_purge_one(self, azure: Any) -> None:
        name = await azure.start_new("http.echo", new_id())
        await until(azure, name, Status.Completed)
        assert (await azure.purge_instance_history(name)).instances_deleted == 1
        assert (await azure.purge_instance_history(name)).instances_deleted == 0
        assert not await azure.get_status(name)
        running = await azure.start_new("http.approval", new_id())
        assert (await azure.purge_instance_history(running)).instances_deleted == 0
        await azure.terminate(running, "done")

    async def test_purge_by(self, azure: Any) -> None:
        await until(azure, await azure.start_new("http.echo"), Status.Completed)
        assert (await azure.purge_instance_history_by(FAR_AWAY, FAR_AWAY)).instances_deleted == 0
        purged = await azure.purge_instance_history_by(LONG_AGO, FAR_AWAY, [Status.Completed])
        assert purged.instances_deleted >= 1
        assert await azure.get_status_by(runtime_status=[Status.Completed]) == []
        assert (await azure.purge_instance_history_by(LONG_AGO, FAR_AWAY, [Status.Completed])).instances_deleted == 0
        with pytest.raises(ValueError, match="created_time_from"):
            await azure.purge_instance_history_by(None)

    async def test_entities_are_not_there_yet(self, azure: Any) -> None:
        with pytest.raises(Exception, match="unexpected status code 501"):
            await azure.signal_entity(EntityId("Counter", "one"), "add", 1)
        with pytest.raises(Exception, match="unexpected status code 501"):
            await azure.read_entity_state(EntityId("Counter", "one"))

    async def test_wait_for_completion(self, azure: Any) -> None:
        request = func.HttpRequest("POST", "http://host.example/api/x", body=b"")
        wait = azure.wait_for_completion_or_create_check_status_response
        name = await azure.start_new("http.echo", client_input={"a": 1})
        answer = await wait(request, name, 5000, 20)
        assert (answer.status_code, json.loads(answer.get_body())) == (200, {"a": 1})
        ended = await azure.start_new("http.approval")
        late = await wait(request, ended, 100, 50)
        assert late.status_code == 202
        assert late.headers["Retry-After"] == "10"
        assert json.loads(late.get_body())["id"] == ended
        await azure.terminate(ended, "enough")
        told = await wait(request, ended, 5000, 20)
        assert told.status_code == 200
        assert json.loads(told.get_body())["runtimeStatus"] == "Terminated"
        with pytest.raises(Exception, match=r"Total timeout 100 \(ms\) should be bigger than retry timeout 300 \(ms\)"):
            await wait(request, name, 100, 300)

    async def test_the_urls_it_hands_out_work(self, azure: Any) -> None:
        name = await azure.start_new("http.approval", new_id())
        urls = azure.create_http_management_payload(name)
        code, status = await http_utils.get_async_request(urls["statusQueryGetUri"])
        assert (code, status["instanceId"]) == (202, name)
        sent = urls["sendEventPostUri"].replace("{eventName}", "Approval")
        assert (await http_utils.post_async_request(sent, {"by": "url"}))[0] == 202
        assert (await until(azure, name, Status.Completed)).output == {"by": "url"}
        assert (await http_utils.post_async_request(urls["restartPostUri"]))[0] == 202
        assert (await http_utils.post_async_request(urls["rewindPostUri"].replace("{text}", "why")))[0] == 410
        for uri in ("terminatePostUri", "suspendPostUri", "resumePostUri"):
            assert (await http_utils.post_async_request(urls[uri].replace("{text}", "why")))[0] == 410
        assert await http_utils.delete_async_request(urls["purgeHistoryDeleteUri"]) == [200, {"instancesDeleted": 1}]

    async def test_check_status_response(self, azure: Any) -> None:
        request = func.HttpRequest("POST", "http://host.example/api/x", body=b"")
        name = await azure.start_new("http.echo", new_id())
        answer = azure.create_check_status_response(request, name)
        assert answer.status_code == 202
        assert answer.headers["Location"].startswith("http://host.example/runtime/webhooks/durabletask/instances/")
        links = azure.get_client_response_links(request, name)
        assert links["id"] == name
        assert name in links["statusQueryGetUri"]

    def test_no_public_method_is_left_out(self) -> None:
        public = {name for name in vars(DurableOrchestrationClient) if not name.startswith("_")}
        assert public == {
            "create_check_status_response",
            "create_http_management_payload",
            "get_client_response_links",
            "get_status",
            "get_status_all",
            "get_status_by",
            "purge_instance_history",
            "purge_instance_history_by",
            "raise_event",
            "read_entity_state",
            "restart",
            "resume",
            "rewind",
            "signal_entity",
            "start_new",
            "suspend",
            "terminate",
            "wait_for_completion_or_create_check_status_response",
        }
