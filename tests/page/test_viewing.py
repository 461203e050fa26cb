"""The page in a real browser: what it shows, live, whatever the values are, by keyboard and at a phone's width."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from durable_ray.testing import TestHub
from tests.page import world
from tests.page.conftest import SHOTS, log_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def filled(hub: TestHub) -> None:
    client = hub.client
    for at in range(4):
        client.start_new("shop.order", "lamp", instance_id=f"order-{at}", tags={"customer": "ada"})
    client.start_new("shop.order", "sofa", instance_id="order-bad")
    client.start_new("shop.approval", instance_id="approval-1")
    client.start_new("shop.hostile", world.HARM, instance_id=world.HARMFUL_ID, tags={"k": world.HARM})
    hub.settle()


def test_the_list_is_live_and_filters(page: Page, hub: TestHub) -> None:
    rows = page.locator("table.list tbody tr")
    expect(rows).to_have_count(7)
    page.get_by_role("link", name="order-2").focus()
    hub.client.start_new("shop.approval", instance_id="approval-new")
    expect(page.get_by_role("link", name="approval-new")).to_be_visible(timeout=10_000)
    expect(page.get_by_role("link", name="order-2")).to_be_focused()
    page.get_by_role("link", name=re.compile("^Failed 1$")).click()
    expect(rows).to_have_count(1)
    assert "status=Failed" in page.url
    page.goto("/?tag=customer%3Dada")
    expect(rows).to_have_count(4)
    page.get_by_title("Remove this filter").click()
    expect(rows).to_have_count(8)
    page.get_by_label("ID begins with").fill("order-")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(5)
    page.goto("/?limit=3")
    page.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(3)
    page.goto("/")
    page.locator(".histogram a").first.click()
    assert "created_from=" in page.url
    page.screenshot(path=SHOTS / "list.png")


def test_a_failure_comes_first_and_the_history_is_searched(page: Page) -> None:
    page.goto("/page/instances/order-bad")
    expect(page.locator(".failure").first).to_contain_text("card refused for sofa")
    page.get_by_role("link", name="History").click()
    page.locator("select[name=type]").select_option("ActivityScheduled")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("table.events tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    assert download.value.suggested_filename == "order-bad.history.json"


def test_an_open_instance_shows_its_end(page: Page, hub: TestHub) -> None:
    hub.client.start_new("shop.approval", instance_id="approval-live")
    page.goto("/page/instances/approval-live")
    expect(page.locator("#status")).to_have_text("Running")
    expect(page.locator(".waits")).to_contain_text("Approval")
    hub.client.raise_event("approval-live", "Approval", "yes")
    expect(page.locator("#status")).to_have_text("Completed", timeout=10_000)
    expect(page.locator(".payloads")).to_contain_text('"yes"')


def test_values_are_text_whatever_they_are(page: Page, hub: TestHub) -> None:
    page.get_by_role("link", name=world.HARMFUL_ID).click()
    expect(page.locator("h1")).to_have_text(world.HARMFUL_ID)
    overview = page.url
    for part in ("", "/history"):
        page.goto(overview + part)
        assert page.evaluate("window.harmed") is None
        assert page.locator("main img, main script").count() == 0
    page.goto(overview)
    event = world.HARM.replace("/", "").replace("#", "").replace("?", "")
    hub.client.raise_event(world.HARMFUL_ID, event, {world.HARM: world.HARM})
    expect(page.locator("#status")).to_have_text("Failed", timeout=10_000)
    page.goto(overview)
    expect(page.locator(".failure .message")).to_have_text(world.HARM)
    assert page.evaluate("window.harmed") is None
    assert page.locator("main img, main script").count() == 0
    page.goto("/?col=id&col=tags&col=custom_status&id_prefix=%3Cscript%3E&tag=%22%3E%3Cscript%3E%3D1")
    assert page.locator("main img, main script").count() == 0


def test_keys_walk_through_the_list(page: Page) -> None:
    page.wait_for_load_state()  # the keys are a script's
    links = page.locator(".list tbody .c-id a")
    for key, at in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        expect(links.nth(at)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Parts of the instance")).to_be_visible()
    page.goto("/")
    page.wait_for_load_state()
    page.keyboard.press("/")
    expect(page.locator("[data-key='/']")).to_be_focused()
    page.keyboard.type("order-1")
    page.keyboard.press("Enter")
    expect(page.locator("table.list tbody tr")).to_have_count(1)


def test_a_phone_shows_all_without_scrolling_sideways(context: BrowserContext) -> None:
    page = log_in(context.new_page(), world.READ_KEY)
    page.set_viewport_size({"width": 375, "height": 740})
    for url in ("/", "/page/instances/order-bad", "/page/instances/order-bad/history"):
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, url
    expect(page.get_by_text("read-only")).to_be_visible()
