"""Apps in the shapes of Azure's samples run as they stand: loaded from their folders, not a line changed."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

import durable_ray as dr
import durable_ray.azure as df
from durable_ray.actors.wire.management_urls import GatewayAddress
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.orchestrations.authoring.definitions import Orchestrator
from durable_ray.testing import TestHub

APPS = Path(__file__).parent / "apps"


@dataclass
class App:
    """A loaded app: its definitions, and its module, if it has one."""

    definitions: DefinitionCatalog
    module: types.ModuleType | None


_loaded: dict[str, App] = {}


def app_of(name: str) -> App:
    if name not in _loaded:
        catalog = DefinitionCatalog()
        for definition in df.load(APPS / name):
            catalog.register(definition)
        _loaded[name] = App(catalog, sys.modules.get("function_app"))
    return _loaded[name]


@dataclass
class Run:
    """One orchestrator: what it is started with, what is told to it, what comes of it."""

    app: str
    name: str
    expected: Any
    input: Any = None
    events: tuple[tuple[str, Any], ...] = ()
    later: timedelta = field(default_factory=lambda: timedelta(days=4))


RUNS = [
    Run("greetings", "greet_by_name", ["Hello Lisbon!", "Hello Oslo!"]),
    Run("greetings", "greet_by_function", ["Hello A!", "Hello B!"], ["A", "B"]),
    Run("greetings", "greet_by_keyword", ["Hello Quito!", {"length": 12, "function": "measure"}]),
    Run("greetings", "GreetUnderAnotherName", "Good day, Ada.", "Ada"),
    Run("parallel", "square_all", 30, [1, 2, 3, 4]),
    Run("parallel", "square_all_by_keyword", [0, 1, 4, 9]),
    Run("parallel", "square_in_batches", [0, 1, 4, 9, 16, 25, 36]),
    Run("parallel", "square_in_children", [1, 4, 9]),
    Run("parallel", "first_of_two", [True, 25, True]),
    Run("parallel", "as_they_finish", [1, 4, 9]),
    Run("parallel", "two_steps_and_a_sum", 25),
    Run("waiting", "approve_or_escalate", "processed Ada", "o-1", (("ApprovalEvent", {"by": "Ada"}),)),
    Run("waiting", "approve_or_escalate", "escalated o-2", "o-2"),
    Run("waiting", "verify_code", True, "+1", (("CodeEntered", 1), ("CodeEntered", 4711))),
    Run("waiting", "verify_code", False, "+1", (("CodeEntered", 1),)),
    Run("waiting", "watch_until_clear", 3),
    Run("waiting", "remind_for_days", ["day 0", "day 1", "day 2"], 3),
    Run("waiting", "collect_two_events", {"started": "s", "finished": 7}, None, (("finished", 7), ("started", "s"))),
    Run("waiting", "all_signatures", True, None, (("finance", True), ("legal", True))),
    Run("eternal", "count_up", 2, 0, (("operation", "add"), ("operation", "add"), ("operation", "end"))),
    Run("eternal", "clean_up_periodically", 3),
    Run("eternal", "again_without_waiting", "done", 5),
    Run("failing", "retry_until_it_works", 3),
    Run("failing", "retry_in_vain", "Activity function 'broken' failed:  ValueError: x"),
    Run("failing", "take_a_failure_apart", ["broken", "ValueError", "pay", "pay"]),
    Run("failing", "compensate", ["flight reserved, cancelled", "hotel reserved, cancelled"]),
    Run("failing", "one_of_many_fails", True),
    Run("failing", "a_failed_task_tells", [True, "FAILED"]),
    Run("mixed", "NamedAbove", 2, ["a", "b"]),
    Run("mixed", "NamedBelow", 20, ["a", "b"]),
    Run("mixed", "on_the_function_app", 3),
    Run("status", "report_progress", "2 of 2"),
    Run("status", "make_an_id", True),
    Run("status", "know_the_parent", True),
    Run("status", "choose_a_child", "2 of 2", '{"report": true}'),
    Run("status", "without_a_yield", {"got": {"a": [1]}}, {"a": [1]}),
    Run("classic", "Chain", "copied in/a.txt", "in"),
    Run("classic", "Backup", 3, "in"),
    Run("classic", "Serialize", ["number 5", "number 6"], 5),
    Run("classic", "Approval", "approved", None, (("Approved", None),)),
    Run("classic", "Approval", "too late"),
    Run("classic", "Plain", "no step was needed"),
]


@pytest.mark.parametrize("run", RUNS, ids=[f"{run.app}-{run.name}" for run in RUNS])
def test_an_orchestrator_of_an_app_runs_as_it_stands(run: Run) -> None:
    with TestHub(definitions=app_of(run.app).definitions, auto_advance=False) as hub:
        handle = hub.client.start_new(run.name, run.input)
        handle.wait_for_start(30)
        for name, data in run.events:
            handle.raise_event(name, data)
        hub.settle()
        hub.advance(run.later)
        assert handle.wait_for_completion(30) == run.expected


def test_the_apps_have_the_shapes_that_are_asked_for() -> None:
    names = {
        d.name for app in {run.app for run in RUNS} for d in app_of(app).definitions if isinstance(d, Orchestrator)
    }
    assert len({(run.app, run.name) for run in RUNS}) >= 33
    # These fail, or say that something cannot be had: below.
    assert names - {run.name for run in RUNS} == {
        "let_it_fail",
        "refuse_its_input",
        "retry_a_child",
        "ask_an_entity",
        "write_an_order",
    }


# --- failures in Azure's words --------------------------------------------------------------------


def ended(hub: TestHub, name: str, value: Any = None) -> df.DurableOrchestrationStatus:
    handle = hub.client.start_new(name, value)
    with pytest.raises(dr.OrchestrationFailed):
        handle.wait_for_completion(30)
    client = df.DurableOrchestrationClient(hub.async_client)
    return asyncio.run(client.get_status(handle.instance_id, show_history=True))


def test_the_output_of_a_failure_is_azures() -> None:
    with TestHub(definitions=app_of("failing").definitions) as hub:
        failed = ended(hub, "let_it_fail", "why")
        chain, _, details = failed.output.partition(" \n ")
        assert (
            chain == "Orchestrator function 'let_it_fail' failed: Activity function 'broken' failed:  ValueError: why"
        )
        assert json.loads(details)["Message"] == " ValueError: why"
        assert failed.history is not None
        (entry,) = [entry for entry in failed.history if entry["EventType"] == "TaskFailed"]
        assert entry["Reason"] == "Activity function 'broken' failed:  ValueError: why"
        assert json.loads(entry["Details"]) == json.loads(details)
        refused = ended(hub, "refuse_its_input")
        assert refused.output == "Orchestrator function 'refuse_its_input' failed: an amount is required"
        assert refused.to_json()["output"] == refused.output


def test_a_childs_failure_names_both() -> None:
    with TestHub(definitions=app_of("failing").definitions) as hub:
        said = hub.client.start_new("retry_a_child").wait_for_completion(30)
    chain = "Orchestrator function 'let_it_fail' failed: Activity function 'broken' failed:  ValueError: child \n "
    assert said.startswith(chain)


def test_what_cannot_be_had_is_said_when_it_is_called() -> None:
    with TestHub(definitions=app_of("mixed").definitions) as hub:
        assert "there are no entities" in ended(hub, "ask_an_entity").output
        assert "also takes target" in ended(hub, "write_an_order").output
    module = app_of("mixed").module
    assert module is not None
    with pytest.raises(NotImplementedError, match="signal_with_start"):
        module.counter(None)
    with pytest.raises(NotImplementedError, match=r"route.*no Functions host"):
        module.plain()
    out: list[str] = []
    answer = module.plain(
        func.HttpRequest("GET", "http://h/api/plain", body=b""), types.SimpleNamespace(set=out.append)
    )
    assert (answer.get_body(), out) == (b"ok", ["seen"])


# --- starters -------------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[TestHub]:
    with TestHub(definitions=app_of("greetings").definitions) as hub:
        address = GatewayAddress("http://127.0.0.1:7071", "key", hub.client.hub)
        hub.on_loop(hub.hub.registry.set_gateway(address)).result(10)
        yield hub


def request(name: str, body: Any = None) -> func.HttpRequest:
    url = f"http://app.example/api/orchestrators/{name}"
    return func.HttpRequest("POST", url, body=json.dumps(body).encode(), route_params={"functionName": name})


def test_starters_are_called_with_their_client_in_either_order(hub: TestHub) -> None:
    module = app_of("greetings").module
    assert module is not None
    client = df.DurableOrchestrationClient(hub.async_client)
    answer = asyncio.run(module.http_start(request("greet_by_function", ["A"]), client=client))
    assert isinstance(answer, func.HttpResponse)
    assert (answer.status_code, answer.mimetype) == (202, "application/json")
    urls = json.loads(answer.get_body())
    assert answer.headers["Location"] == urls["statusQueryGetUri"]
    assert urls == client.create_http_management_payload(urls["id"])
    assert urls == client.get_client_response_links(None, urls["id"])
    done = asyncio.run(module.http_start_and_wait(request("greet_by_name"), client=client))
    assert (done.status_code, json.loads(done.get_body())) == (200, ["Hello Lisbon!", "Hello Oslo!"])


def test_check_status_is_not_awaited_and_says_without_a_gateway_what_is_missing(hub: TestHub) -> None:
    client = df.DurableOrchestrationClient(hub.async_client)

    async def inside_a_loop() -> Any:
        return client.create_check_status_response(None, "x")

    assert asyncio.run(inside_a_loop()).headers["Retry-After"] == "10"
    hub.on_loop(hub.hub.registry.set_gateway(None)).result(10)
    with pytest.raises(dr.InvalidState, match="no HTTP gateway"):
        client.create_check_status_response(None, "x")


def test_errors_of_the_client_are_in_azures_words(hub: TestHub) -> None:
    client = df.DurableOrchestrationClient(hub.async_client, "an-invocation")

    async def manage() -> None:
        with pytest.raises(dr.InstanceNotFound, match=r"^No instance with ID nobody found\.$"):
            await client.raise_event("nobody", "e", 1, task_hub_name="Hub", connection_name="Storage")
        with pytest.raises(dr.InstanceNotFound, match=r"^No instance with ID 'nobody' found\.$"):
            await client.terminate("nobody", "why")
        name = await client.start_new("greet_by_name", "done", None)
        await hub.async_client.wait_for_completion(name, 30)
        with pytest.raises(dr.InstanceFinished, match=r"^Instance with ID done is gone: either completed or failed$"):
            await client.raise_event("done", "e", 1)
        with pytest.raises(dr.UnknownDefinition, match=r"^The function 'nope' doesn't exist, is disabled, or is not"):
            await client.start_new("nope")
        late = r"Total timeout 100 \(ms\) should be bigger than retry timeout 300 \(ms\)"
        with pytest.raises(ValueError, match=late):
            await client.wait_for_completion_or_create_check_status_response(None, "done", 100, 300)

    asyncio.run(manage())


def test_timers_keep_a_singleton_running() -> None:
    app = app_of("eternal")
    assert app.module is not None
    with TestHub(definitions=app.definitions) as hub:
        client = df.DurableOrchestrationClient(hub.async_client)
        assert asyncio.run(app.module.keep_one_running(None, starter=client)) == "the-only-one"
        assert asyncio.run(app.module.keep_one_running(None, client)) == "it runs already"


# --- loading --------------------------------------------------------------------------------------


def test_azures_own_package_is_as_it_was_after_a_load() -> None:
    import azure.durable_functions as real

    app_of("mixed")
    assert real.__name__ == "azure.durable_functions"
    assert sys.modules["azure.durable_functions"] is real
    assert "azure.durable_functions.models.Task" not in sys.modules or (
        sys.modules["azure.durable_functions.models.Task"].__name__ == "azure.durable_functions.models.Task"
    )


def test_a_folder_without_an_app_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"function_app\.py"):
        df.load(tmp_path)


def test_modules_below_models_are_there_with_the_import_line_changed() -> None:
    from durable_ray.azure import models
    from durable_ray.azure.models.RetryOptions import RetryOptions
    from durable_ray.azure.models.Task import TaskBase, TimerTask
    from durable_ray.azure.models.utils.entity_utils import EntityId

    assert RetryOptions is df.RetryOptions is models.RetryOptions
    assert (EntityId, TimerTask) == (df.EntityId, TaskBase)
    assert {"DurableOrchestrationContext", "PurgeHistoryResult", "TaskBase"} <= set(models.__all__)


def test_functions_import_across_their_folders(tmp_path: Path) -> None:
    described = {"orchestrationTrigger": "Azure_Across", "activityTrigger": "Azure_Step"}
    for kind, name in described.items():
        folder = tmp_path / name
        folder.mkdir()
        binding = {"name": "given", "type": kind, "direction": "in"}
        (folder / "function.json").write_text(json.dumps({"bindings": [binding], "entryPoint": "run"}))
    (tmp_path / "common.py").write_text("def doubled(n):\n    return 2 * n\n")
    (tmp_path / "Azure_Step" / "__init__.py").write_text(
        "from ..common import doubled\n\n\ndef run(given):\n    return doubled(given)\n"
    )
    orchestrator = "def any_name(given):\n    return (yield given.call_activity('Azure_Step', 4))\n"
    script = f"import azure.durable_functions as df\n\n{orchestrator}\nrun = df.Orchestrator.create(any_name)\n"
    (tmp_path / "Azure_Across" / "__init__.py").write_text(script)
    catalog = DefinitionCatalog()
    for definition in df.load(tmp_path):
        catalog.register(definition)
    with TestHub(definitions=catalog) as hub:
        assert hub.client.start_new("Azure_Across").wait_for_completion(30) == 8


def test_a_function_that_does_not_fit_its_description_says_so_when_it_is_called_and_the_others_load() -> None:
    loaded = app_of("broken")
    with TestHub(definitions=loaded.definitions) as hub:
        client = hub.client
        assert client.start_new("Calls", "Fits").wait_for_completion(20) == "Hello Oslo!"
        for name, why in (
            ("OtherParameter", "main has no parameter named 'city'"),
            ("NoParameter", "its trigger names no parameter"),
            ("NoEntry", "__init__.py has no function 'main'"),
        ):
            with pytest.raises(dr.OrchestrationFailed, match=f"{name}/function.json does not fit the function: {why}"):
                client.start_new("Calls", name).wait_for_completion(20)
        with pytest.raises(dr.OrchestrationFailed, match=r"PlainOrchestrator/function.json.*Orchestrator.create"):
            client.start_new("PlainOrchestrator").wait_for_completion(20)
