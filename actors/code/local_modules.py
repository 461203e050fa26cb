"""Which modules every process of a cluster has, and which exist only here: what decides how code travels.

Installed packages, the standard library and durable_ray itself go by name. Everything else (a script, a
notebook, a module beside it, an editable checkout) has to be carried along.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

#: durable_ray counts as installed even when it is run from a checkout: its processes could not start
#: without it.
_OURSELVES = "durable_ray"

_SCRIPTS = frozenset({"__main__", "__mp_main__"})
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})


def is_installed(module_name: str | None) -> bool:
    """Whether the module is one that other processes can import too; False for what is not imported here.

    Example:
        >>> is_installed("json"), is_installed("__main__")
        (True, False)
    """
    if module_name is None or module_name in _SCRIPTS:
        return False
    top = module_name.partition(".")[0]
    if top == _OURSELVES or top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return True
    module = sys.modules.get(module_name)
    if not isinstance(module, ModuleType):  # not imported, or an object that poses as a module
        return False
    # Read past __getattr__: lazy modules import half the world when asked for an attribute.
    space = vars(module)
    file = space.get("__file__")
    if isinstance(file, str):
        return _is_installed_file(file)
    try:
        folders = list(space.get("__path__") or ())
    except KeyError:  # a folder without `__init__` asks its parent package for the path, and that one's import failed
        return is_installed(top)
    if folders:
        return all(_is_installed_file(folder) for folder in folders)
    # Made at run time; at home where its parent package is, if it has one (parts of extension modules do).
    parent = module_name.rpartition(".")[0]
    return bool(parent) and is_installed(parent)


def local_modules() -> Iterator[ModuleType]:
    """The imported modules that others may not have; not scripts, which no pickle names."""
    for name, module in list(sys.modules.items()):
        # Asked for every pickle, of thousands of modules: each is looked into once.
        known = _verdicts.get(name)
        if known is None or known[0] is not module:
            known = _verdicts[name] = (module, _goes_along(name, module))
        if known[1]:
            yield module


_verdicts: dict[str, tuple[object, bool]] = {}


def _goes_along(name: str, module: object) -> bool:
    return type(module) is ModuleType and name not in _SCRIPTS and not is_installed(name)


@lru_cache(maxsize=8192)
def _is_installed_file(file: str) -> bool:
    # Not all of sys.prefix: where that is /usr, /usr/src/app is nobody's installation.
    path = os.path.realpath(file)
    if _PACKAGE_FOLDERS & set(path.split(os.sep)):
        return True
    return path.startswith(_installation_folders())


@lru_cache(maxsize=1)
def _installation_folders() -> tuple[str, ...]:
    paths = [sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = [*paths, *site.getsitepackages(), site.getusersitepackages()]
    return tuple(os.path.join(os.path.realpath(folder), "") for folder in found if folder)
