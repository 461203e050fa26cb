"""Loading the user's code by what people call it: a module or a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

from durable_ray.cli.exits import CommandError, Exit, usage


def load(module_or_file: str) -> types.ModuleType | None:
    """Import a module (also from the working directory), a Python file, or a Functions app from its folder.

    Raises:
        Problem: there is none, or importing it failed.
    """
    is_file = module_or_file.endswith(".py") or "/" in module_or_file
    try:
        folder = Path(module_or_file).expanduser()
        if folder.is_dir() and (is_file or (folder / "host.json").is_file()):
            _load_app(folder)
            return None
        return _load_file(Path(module_or_file)) if is_file else _load_module(module_or_file)
    except CommandError:
        raise
    except Exception as error:
        place = f"{type(error).__name__}: {error}"
        raise CommandError(
            Exit.FAILURE, f"{module_or_file} cannot be imported: {place}", "--debug shows where"
        ) from error


def _load_app(folder: Path) -> None:
    from durable_ray.azure.loading import NoApp
    from durable_ray.azure.loading import load as load_app

    try:
        load_app(folder)
    except NoApp as error:
        raise usage(str(error)) from error


def _load_module(name: str) -> types.ModuleType:
    # As `python -m` does; a console script has its own folder there instead.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise usage(f"there is no module {name!r}", f"a file needs its ending: {name}.py") from error


def _load_file(path: Path) -> types.ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise usage(f"there is no file {path}")
    sys.path.insert(0, str(path.parent))
    # Under a name that is taken, its functions would be mistaken for those of the module of that name.
    name = path.stem if path.stem not in sys.stdlib_module_names | sys.modules.keys() else f"{path.stem}_file"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise usage(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
