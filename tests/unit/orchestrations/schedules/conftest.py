"""A checkout whose .venv is older than the dependency on cronsim leaves these tests out until that is installed; CI never."""

from __future__ import annotations

import importlib.util
import os

if importlib.util.find_spec("cronsim") is None and os.environ.get("CI", "").lower() not in {"1", "true"}:
    collect_ignore_glob = ["test_*.py"]
