"""Loading an unchanged Functions app from its folder: its definitions are registered like any others.

While it is imported, `azure.durable_functions` is `durable_ray.azure`. Both programming models: `function_app.py`, and a folder
with a `function.json` for each function. A function that does not fit its `function.json` is registered all the same: the
others load, and calling it says what is wrong.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from durable_ray.azure.defining import Definition, define_activity, define_unusable, renamed
from durable_ray.orchestrations.authoring import definitions

_REAL = "azure.durable_functions"
_MODULES = ("orchestrator", "entity", "decorators", "decorators.durable_app")


class NoApp(FileNotFoundError):
    """The folder holds no Functions app."""


def load(folder: str | Path) -> list[Definition]:
    """Import a Functions app; answers the orchestrators and activities that it defines, which are registered too.

    Args:
        folder: the app's root, where `host.json` lies.

    Raises:
        NoApp: there is none in the folder.
        Whatever importing the app raises: its own dependencies have to be installed.

    Example:
        >>> load("my_app")  # doctest: +SKIP
    """
    from durable_ray.orchestrations.authoring.catalog import catalog

    root = Path(folder).expanduser().resolve()
    described = sorted(root.glob("*/function.json"))
    script = root / "function_app.py"
    if not script.is_file() and not described:
        raise NoApp(f"{root} is no Functions app: it has neither function_app.py nor a folder with function.json")
    since, _ = catalog.changes(0)
    with _in_place_of_azure(), _on_path(root):
        if script.is_file():
            importlib.import_module("function_app")
        for description in described:
            _load_function(root, description)
    return list(catalog.changes(since)[1])


def _load_function(root: Path, description: Path) -> None:
    declared: dict[str, Any] = json.loads(description.read_text(encoding="utf-8-sig"))
    bindings: list[dict[str, Any]] = declared.get("bindings", [])
    trigger = next((one for one in bindings if one.get("type") in ("orchestrationTrigger", "activityTrigger")), None)
    if trigger is None:
        return  # a starter or an entity: it is never called here
    name = description.parent.name
    script, point = Path(declared.get("scriptFile", "__init__.py")), declared.get("entryPoint", "main")
    module = importlib.import_module(_module_name(root, (description.parent / script).resolve()))
    entry = getattr(module, point, None)
    activity = trigger["type"] == "activityTrigger"
    try:
        if entry is None:
            raise ValueError(f"{script} has no function {point!r}, which is its entry point")
        if activity and not isinstance(entry, definitions.Definition):
            define_activity(entry, name, trigger.get("name"))
        elif not activity and not isinstance(entry, definitions.Orchestrator):
            raise ValueError(f"{point!r} in {script} is not made by durable_functions.Orchestrator.create")
        elif not activity and entry.name != name:
            renamed(entry, name)
    except ValueError as error:
        define_unusable(name, f"{name}/function.json does not fit the function: {error}", activity=activity)


def _module_name(root: Path, file: Path) -> str:
    parts = list(file.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(("__app__", *parts))


@contextmanager
def _on_path(root: Path) -> Iterator[None]:
    """Modules of the app are found, by their own names and (for relative imports across folders) below `__app__`."""
    package = types.ModuleType("__app__")
    package.__path__ = [str(root)]
    for name in [name for name in sys.modules if name == "function_app" or name.partition(".")[0] == "__app__"]:
        del sys.modules[name]  # of an app that was loaded before
    sys.modules["__app__"] = package
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))


@contextmanager
def _in_place_of_azure() -> Iterator[None]:
    """`import azure.durable_functions` means this package for as long as this lasts."""
    package = __name__.rpartition(".")[0]
    facade, app = sys.modules[package], importlib.import_module(f"{package}.app")
    importlib.import_module(f"{package}.models")
    before = {name: module for name, module in sys.modules.items() if f"{name}.".startswith(f"{_REAL}.")}
    try:
        parent: Any = importlib.import_module("azure")
    except ModuleNotFoundError:
        parent = sys.modules["azure"] = types.ModuleType("azure")
        parent.__path__ = []
    real = getattr(parent, "durable_functions", None)
    for name in before:
        del sys.modules[name]
    ours: dict[str, Any] = {_REAL: facade} | {f"{_REAL}.{name}": app for name in _MODULES}
    ours |= {
        name.replace(package, _REAL, 1): module
        for name, module in sys.modules.items()
        if f"{name}.".startswith(f"{package}.models.")
    }
    sys.modules.update(ours)
    parent.durable_functions = facade
    try:
        yield
    finally:
        for name in ours:
            sys.modules.pop(name, None)
        sys.modules.update(before)
        if real is None:
            del parent.durable_functions
        else:
            parent.durable_functions = real
