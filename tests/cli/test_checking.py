"""New code against the histories of a hub, at the command line: export, replay, check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from durable_ray.actors.settings import HubSettings
from durable_ray.cli.commands import running
from durable_ray.cli.exits import Exit
from durable_ray.cli.loading import load
from durable_ray.orchestrations.authoring import decorators
from durable_ray.orchestrations.authoring.catalog import DefinitionCatalog
from durable_ray.testing import TestHub
from tests.cli.conftest import Cli

OLD = """
import durable_ray as dr

@dr.activity(local=True)
def reserve(item):
    return f"{item} reserved"

@dr.orchestrator
async def order(ctx: dr.OrchestrationContext, item: str) -> str:
    reserved = await ctx.call_activity(reserve, item)
    await ctx.wait_for_external_event("Paid")
    return reserved
"""
#: What is changed of the old code, and what becomes of an instance that waits for its payment.
CHANGES = {
    "the end": (("return reserved", "return reserved.upper()"), "ok"),
    "an activity before": (("    reserved =", "    await ctx.call_activity('audit', item)\n    reserved ="), "breaks"),
    "another activity": (("call_activity(reserve, item)", "call_activity('hold', item)"), "breaks"),
    "an activity at the end": (
        ('await ctx.wait_for_external_event("Paid")', 'await ctx.call_activity("remind", item)'), "differs",
    ),
    "no waiting": (('    await ctx.wait_for_external_event("Paid")\n', ""), "differs"),
    "another name": (("async def order", "async def purchase"), "absent"),
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store whose hub has three orders that wait for payment and one that has ended."""
    anew(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old_shop.py").write_text(OLD)
    load("old_shop.py")
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with TestHub(url, definitions=decorators.catalog, settings=HubSettings(partitions=1)) as hub:
        hub.client.register()
        for number in range(4):
            hub.client.start_new("order", f"tea-{number}", instance_id=f"o-{number}", placement="shared")
        hub.settle()
        hub.client.raise_event("o-0", "Paid")
        hub.client.wait_for_completion("o-0", timeout=10)
    anew(monkeypatch)
    return url


def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was loaded, as another process does not know it."""
    empty = DefinitionCatalog()
    for module in (decorators, running):
        monkeypatch.setattr(module, "catalog", empty)


def code(folder: Path, name: str) -> str:
    old, new = CHANGES[name][0]
    assert old in OLD
    (folder / "new_shop.py").write_text(OLD.replace(old, new))
    return "new_shop.py"


def by_reference(file: Path) -> None:
    """As an export of a hub whose code is an installed package."""
    file.write_text(file.read_text().replace('"how": "value"', '"how": "reference"'))


@pytest.mark.parametrize("change", CHANGES)
def test_what_would_break_is_named_before_it_is_deployed(
    cli: Cli, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = tmp_path / "live.jsonl"
    cli.ok("export", "--live", "--out", str(file), "--store", shop)
    by_reference(file)
    module, verdict = code(tmp_path, change), CHANGES[change][1]
    said = cli.run("replay", str(file), "--module", module, "--json")
    assert said.exit_code == (Exit.FAILURE if verdict == "breaks" else Exit.OK), said.stderr
    found: list[dict[str, Any]] = json.loads(said.stdout)
    assert [(one["instance_id"], one["verdict"]) for one in found] == [(f"o-{number}", verdict) for number in (1, 2, 3)]
    if verdict == "breaks":
        assert found[0]["event"] == 3
        assert "'reserve'" in found[0]["detail"]
        assert "another version=" in found[0]["remedy"]


def test_a_thousand_that_break_alike_are_one_line(cli: Cli, shop: str, tmp_path: Path) -> None:
    file = tmp_path / "live.jsonl"
    file.write_text(cli.ok("export", "--live", "--store", shop))
    by_reference(file)
    said = cli.run("replay", str(file), "--module", code(tmp_path, "another activity"))
    assert said.exit_code == Exit.FAILURE
    assert said.stdout.count("order: ") == 1
    assert "breaks (3 instances, the first o-1)" in said.stdout


def test_a_hub_is_checked_and_what_keeps_its_code_breaks_nothing(
    cli: Cli, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = code(tmp_path, "another activity")
    found = cli.json("check", module, "--store", shop)
    assert {(one["verdict"], one["event"]) for one in found} == {("keeps", 3)}
    assert "rewind o-1 --latest would be refused" in found[0]["remedy"]
    anew(monkeypatch)
    assert cli.run("check", module, "--store", shop, "--strict").exit_code == Exit.FAILURE


def test_one_that_has_ended_can_be_exported_by_its_id(cli: Cli, shop: str, tmp_path: Path) -> None:
    lines = cli.ok("export", "o-0", "o-1", "--store", shop).splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["Completed", "Running"]
    assert "there is no instance 'nobody'" in cli.fails(Exit.NOT_FOUND, "export", "nobody", "--store", shop)
    assert "--live" in cli.fails(Exit.USAGE, "export", "--store", shop)


def test_what_is_no_export_is_refused_with_its_line(cli: Cli, shop: str, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    line = cli.ok("export", "o-1", "--store", shop)
    for bad in ('{"durable_ray_history": 2}', "no JSON", line.replace('"name"', '"nam"')):
        file.write_text(f"{line}\n{bad}\n")
        assert "line 3" in cli.fails(Exit.USAGE, "replay", str(file), "--module", "old_shop.py")


def test_a_pickle_in_a_file_is_opened_only_where_that_is_asked_for(
    cli: Cli, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from durable_ray.actors.code.packing import PYTHON_PAYLOADS

    file = tmp_path / "x.jsonl"
    line = json.loads(cli.ok("export", "o-1", "--store", shop))
    for event in line["history"]["e"]:
        if event["t"] == "ExecutionStarted":
            event["input"] = PYTHON_PAYLOADS.encode(slice(1, 2))
    file.write_text(json.dumps(line))
    assert "pickle" in json.loads(cli.run("replay", str(file), "--module", "old_shop.py", "--json").stdout)[0]["detail"]
    anew(monkeypatch)
    assert cli.json("replay", str(file), "--module", "old_shop.py", "--trust")[0]["verdict"] == "ok"
