"""Which modules others can import, where an import was given up half-way."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from durable_ray.actors.code.local_modules import is_installed


def test_a_folder_whose_parent_failed_to_import_is_where_its_top_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an optional part of a package leaves its own parts behind, when it finds that something it needs is missing."""
    inner = tmp_path / "halfway" / "optional" / "parts"
    inner.mkdir(parents=True)
    (tmp_path / "halfway" / "__init__.py").touch()
    (tmp_path / "halfway" / "optional" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("halfway.optional.parts")
    monkeypatch.delitem(sys.modules, "halfway.optional")
    try:
        assert not is_installed("halfway.optional.parts")
    finally:
        for name in ("halfway", "halfway.optional.parts"):
            del sys.modules[name]
