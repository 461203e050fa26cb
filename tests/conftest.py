"""Fixtures that many tests share: so far, a PostgreSQL database of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.postgres_server import PostgresServer, PostgresUnavailable, running_postgres


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
