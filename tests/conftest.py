"""Fixtures that many tests share: a PostgreSQL database of one's own, a Ray, a hub on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import hypothesis
import pytest

from tests.postgres_server import PostgresServer, PostgresUnavailable, running_postgres
from tests.ray_cluster import running_hub, running_ray

if TYPE_CHECKING:
    import durable_ray as dr


# No example fails for being slow: these machines are shared. And CI tries the same examples every time: what chance finds, it
# finds on a developer's machine, where somebody looks at it.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI", "").lower() in {"1", "true"} else "here")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One private server for the whole run. Where none can be: skips with the reason; if CI=true, fails."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
        except PostgresUnavailable as missing:
            # A CI run that skipped every PostgreSQL test would be green for the wrong reason.
            if os.environ.get("CI", "").lower() in {"1", "true"}:
                pytest.fail(f"CI has to run the PostgreSQL tests: {missing}", pytrace=False)
            pytest.skip(f"no PostgreSQL: {missing}")
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database that is empty and this test's alone."""
    name = f"test_{uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray for all tests of the run that want one."""
    with running_ray():
        yield


@pytest.fixture(scope="module")
def ray_client(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dr.Client]:
    """A client of a hub that the tests of one module share."""
    with running_hub(tmp_path_factory.mktemp("hub")) as client:
        yield client


@pytest.fixture
def fresh_ray_client(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dr.Client]:
    """A client of a hub of the test's own: for tests that break things."""
    with running_hub(tmp_path_factory.mktemp("hub"), max_dedicated=8) as client:
        yield client
