"""The pytest plugin: the fixture `durable_hub`. It imports nothing: every pytest that finds durable_ray installed loads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from durable_ray.testing import TestHub

_MARKER = (
    "durable_hub(store=..., start=..., auto_advance=..., settings=...): with which arguments the fixture `durable_hub` makes "
    "its durable_ray.testing.TestHub"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def durable_hub(request: pytest.FixtureRequest) -> Iterator[TestHub]:
    """A hub in this process on virtual time: a `durable_ray.testing.TestHub` of the test's own.

    What the test decorates is forgotten afterwards, so two tests may define functions of the same name.
    `@pytest.mark.durable_hub(auto_advance=False)` gives arguments.
    """
    from durable_ray.orchestrations.authoring.catalog import catalog
    from durable_ray.testing import TestHub

    marker = request.node.get_closest_marker("durable_hub")
    if marker is not None and marker.args:
        raise pytest.UsageError(f"the marker durable_hub takes arguments by name, as TestHub does, not {marker.args!r}")
    before, _ = catalog.changes(since=0)
    try:
        with TestHub(**(marker.kwargs if marker else {})) as hub:
            yield hub
    finally:
        for definition in catalog.changes(since=before)[1]:
            catalog.forget(definition)
