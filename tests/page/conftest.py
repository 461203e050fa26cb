"""A browser, and a gateway over a hub in this process, which it visits through a real socket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from durable_ray.testing import TestHub
from tests.http.listening import listening
from tests.page import world

#: Where pictures of the page go: for people to look at, kept by the hosted workflow.
SHOTS = Path(__file__).parent / "shots"
#: As root, in a container, without a network: what Chromium needs to be told.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Where there is none: skips with the reason; if CI=true, fails.

    Of one module: as long as Playwright lives, its event loop is the running one of this thread, and no other test's can run.
    """
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        missing = "there is no chromium: scripts/test_servers.sh installs it"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"CI has to run the browser's tests: {missing}", pytrace=False)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def hub() -> Iterator[TestHub]:
    """A hub on real time."""
    with TestHub(start=None) as hub:
        yield hub


@pytest.fixture(scope="module")
def gateway(hub: TestHub) -> Iterator[str]:
    """The URL of its gateway."""
    with listening(hub.async_client, world.SETTINGS, world.RING) as url:
        yield url


@pytest.fixture
def context(browser: Browser, gateway: str) -> Iterator[BrowserContext]:
    """A browser without cookies, in which whatever goes wrong in a page fails the test."""
    context = browser.new_context(base_url=gateway, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(5000)
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    context.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield context
    context.close()
    # A refusal is shown to the visitor, and Chromium writes of each that a resource "failed to load".
    assert [line for line in wrong if "the server responded with a status of" not in line] == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page, logged in with the full key."""
    return log_in(context.new_page(), world.KEY)


def log_in(page: Page, key: str) -> Page:
    page.goto("/login")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Log in").click()
    return page
