"""Each section of the page, with real data from one running server."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from conftest import Seen, Shop

pytestmark = pytest.mark.timeout(600)
Visit = Callable[..., tuple[Page, Seen]]
SECTIONS = ("now", "learning", "try", "backtests", "data", "made")
SLOW_MS = 200_000  # processes that stand back behind everything else, on a crowded machine
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """The server of this module."""
    return open_shop()


def _ask(shop: Shop, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(shop.address + path, data), timeout=30) as answer:
        return json.load(answer)


def _titles(page: Page) -> list[str]:
    return page.locator(".listed .title").all_text_contents()


def _changed(page: Page, before: list[str]) -> None:
    """Wait until the list is another one."""
    titles = "[...document.querySelectorAll('.listed .title')].map(one => one.textContent)"
    page.wait_for_function(f"old => {titles}.length > 0 && {titles}.join('|') !== old", arg="|".join(before))


def test_now_tells_what_the_server_tells(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address)
    status = _ask(shop, "/v1/status")
    expect(page.locator(".flow")).to_contain_text("Events")
    expect(page.locator(".facts")).to_contain_text(f"{status['items']:,} items")
    expect(page.locator(".pulse")).to_contain_text("events/s")
    expect(page.get_by_role("button", name="Play made traffic")).to_be_visible()


def test_a_click_changes_the_list_and_then_the_weights_learn_it(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "try")
    expect(page.locator(".listed")).to_have_count(12)
    before, events = _titles(page), _ask(shop, "/v1/status")["events"]
    page.locator(".listed").nth(2).get_by_role("button", name=re.compile("^Click")).click()
    expect(page.locator("[data-test=list-ms]")).to_have_text(re.compile(r"\d.* m?s"))
    expect(page.locator("[data-test=weights-ms]")).to_have_text(re.compile(r"\d.* m?s"))
    after = _titles(page)
    assert after != before
    assert before[2] not in after, "what was clicked was had, and is left out"
    expect(page.locator(".history")).to_contain_text(before[2])
    expect(page.locator("[data-test=moved]")).not_to_have_text("0")
    assert _ask(shop, "/v1/status")["events"] == events + 1


def test_what_is_dismissed_leaves_the_list(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "try")
    page.get_by_label("Leave out what they had").uncheck()
    expect(page.locator(".listed")).to_have_count(12)
    first = _titles(page)[0]
    page.locator(".listed").first.get_by_role("button", name=re.compile("^Dismiss")).click()
    expect(page.locator("[data-test=list-ms]")).to_have_text(re.compile(r"\d"))
    assert first not in _titles(page)


def test_a_user_has_a_history_and_another_list(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "try")
    expect(page.locator(".listed")).to_have_count(12)
    page.get_by_role("button", name="A user", exact=True).click()
    user = _ask(shop, "/v1/people?k=30")["people"][-1]["id"]
    page.get_by_label("User id").fill(user)
    page.get_by_role("button", name=re.compile(rf"^{user} ")).click()
    expect(page.get_by_role("heading", name=f"The list for user {user}")).to_be_visible()
    told = _ask(shop, f"/v1/history?user={user}&k=14")["events"]
    expect(page.locator(".history li")).to_have_count(min(14, len(told)))
    expect(page.locator(".history li").first).to_contain_text(told[0]["title"])
    expect(page.locator(".reason").first).to_be_visible()


def test_wishes_change_the_list_and_a_wrong_filter_is_shown_at_its_character(shop: Shop, visit: Visit) -> None:
    page, seen = visit(shop.address, "try")
    expect(page.locator(".listed")).to_have_count(12)
    before = _titles(page)
    page.get_by_label("Filter").fill("length > 20")
    _changed(page, before)
    for title in _titles(page):
        found = _ask(shop, f"/v1/catalogue?search={quote(title)}")["items"]
        assert any(_ask(shop, f"/v1/items/{one['id']}")["properties"]["length"] > 20 for one in found)
    page.get_by_label("Filter").fill("length > 20 and lenkth < 3")
    expect(page.locator("[data-test=filter-at] mark")).to_have_text("lenkth")
    expect(page.get_by_role("alert")).to_contain_text("Did you mean 'length'?")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("[data-test=filter-at]")).to_have_count(0)
    expect(page.locator(".listed .title").first).to_have_text(before[0])
    page.get_by_label("Diversity").fill("0.9")
    expect(page.locator("output").first).to_have_text("0.90")
    _changed(page, before)
    assert all("400" in one for one in seen.errors), "the browser notes the answer to the wrong filter, and no more"
    seen.errors.clear()


def test_an_item_tells_what_is_like_it_and_why_it_is_not_in_the_list(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "try")
    expect(page.locator(".listed")).to_have_count(12)
    rare = _ask(shop, "/v1/catalogue?k=120&shown=visible")["items"][-1]
    page.get_by_label("Find an item by its title").fill(rare["title"])
    page.locator(".found .link").first.click()
    panel = page.get_by_role("dialog")
    expect(panel.locator("[data-test=why]")).to_contain_text("Ranked")
    expect(panel.get_by_role("heading", name="What is like it")).to_be_visible()
    expect(panel.locator(".similar li").first).to_be_visible()
    expect(panel.get_by_role("heading", name="Who takes it")).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)


def test_learning_shows_lines_and_going_back_works_from_the_page(shop: Shop, visit: Visit) -> None:
    people = [{"user": f"u{n % 50}", "item": f"i{n * 7 % 120}", "kind": "view"} for n in range(300)]
    for start in range(0, 300, 50):  # few at a time, as live traffic comes, so that each is judged
        offset = _ask(shop, "/v1/events", {"events": people[start : start + 50]})["offset"]
    assert _ask(shop, f"/v1/learned?offset={offset}&wait_ms=10000")["reached"]
    page, _ = visit(shop.address, "learning")
    expect(page.locator(".chart canvas").first).to_be_visible()
    expect(page.locator(".legend").first).to_contain_text("Live")
    expect(page.locator(".legend").first).to_contain_text("Anchor")
    page.get_by_role("button", name="Log-loss").click()
    expect(page.locator(".section-learning")).to_contain_text("nats an event")
    page.get_by_role("button", name="Roll back …").click()
    page.locator("dialog input[type=radio]").first.check()
    page.locator("dialog").get_by_role("button", name="Roll back", exact=True).click()
    page.locator("[data-test=yes]").click()
    expect(page.locator(".note.good")).to_contain_text("Rolled back to")
    decisions = _ask(shop, "/v1/versions")["decisions"]
    assert any(one["action"] == "rollback" and one["because"] == "Asked for." for one in decisions)
    expect(page.locator(".decisions")).to_contain_text("rolled back")


def test_pause_and_resume_ask_first(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "learning")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    assert not _ask(shop, "/v1/versions")["gate"]["paused"]
    page.get_by_role("button", name="Pause", exact=True).click()
    page.locator("[data-test=yes]").click()
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    assert _ask(shop, "/v1/versions")["gate"]["paused"]
    page.get_by_role("button", name="Resume", exact=True).click()
    page.locator("[data-test=yes]").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


def test_data_counts_checks_and_hides(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "data")
    expect(page.locator(".kinds")).to_contain_text("view")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator(".checks")).to_contain_text("items have a record", timeout=SLOW_MS)
    one = _ask(shop, "/v1/catalogue?k=1&shown=visible")["items"][0]
    page.get_by_label("Title or id").fill(one["title"])
    page.get_by_role("button", name=f"Hide {one['title']}").first.click()
    expect(page.get_by_role("button", name=f"Show {one['title']}").first).to_be_visible()
    assert _ask(shop, f"/v1/items/{one['id']}")["hidden"] is True
    page.get_by_role("button", name=f"Show {one['title']}").first.click()
    expect(page.get_by_role("button", name=f"Hide {one['title']}").first).to_be_visible()


def test_a_backtest_runs_from_the_page_to_its_figures(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "backtests")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="Running")).to_be_visible()
    expect(page.locator("table.reports .link")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator("table.plain tr.strong").first).to_contain_text("All together")
    (found,) = _ask(shop, "/v1/backtests")["reports"]
    shown = f"{found['mixture']['hit_rate@20']:.4f}"
    expect(page.locator("table.plain tr.strong").first).to_contain_text(shown)


def test_made_traffic_is_marked_and_stops(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "made")
    page.get_by_role("radio", name=re.compile("A shop")).check()
    page.get_by_role("button", name="Play", exact=True).click()
    page.locator("[data-test=yes]").click()
    expect(page.locator(".banner")).to_contain_text("Made traffic is playing")
    page.wait_for_function("() => Number(document.querySelector('.three .big').textContent) > 20")
    page.locator(".banner").get_by_role("button", name="Stop").click()
    expect(page.locator(".banner")).to_have_count(0)
    sent = _ask(shop, "/v1/made-traffic")
    assert (sent["state"], sent["error"]) == ("stopped", None)
    made = _ask(shop, "/v1/people?search=made-&k=5")["people"]
    assert made
    assert all(one["id"].startswith("made-") for one in made)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_anybody(shop: Shop, visit: Visit, scheme: str) -> None:
    page, _ = visit(shop.address, color_scheme=scheme)
    found = {}
    for section in SECTIONS:
        page.goto(f"{shop.address}/#/{section}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator(".waiting")).to_have_count(0)
        page.evaluate(AXE.read_text(encoding="utf-8") + "; void 0")
        told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found[section] = [
            f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary'][:300]}"
            for one in told["violations"] if one["impact"] in ("serious", "critical", "moderate")
        ]
    assert not any(found.values()), found


def test_a_phone_needs_no_sideways_scrolling(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    for section in SECTIONS:
        page.goto(f"{shop.address}/#/{section}")
        expect(page.locator(".waiting")).to_have_count(0)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, (section, wide)
        expect(page.get_by_role("navigation", name="Sections").get_by_role("link").first).to_be_in_viewport()


def test_the_keyboard_reaches_everything(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, "try")
    expect(page.locator(".listed")).to_have_count(12)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    before = _titles(page)
    act = page.locator(".listed").first.get_by_role("button", name=re.compile("^Like"))
    act.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-test=list-ms]")).to_have_text(re.compile(r"\d"))
    assert _titles(page) != before
    expect(page.locator("[data-test=weights-ms]")).to_have_text(re.compile(r"\d.* m?s"))  # and the list
    page.locator(".listed .title").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".listed .title:focus")).to_have_count(1)


def test_an_hour_of_digests_leaves_no_more_in_memory(shop: Shop, visit: Visit) -> None:
    with urllib.request.urlopen(f"{shop.address}/v1/stream", timeout=30) as answer:
        while not (line := answer.readline()).startswith(b"data: "):
            pass
    page, _ = visit(shop.address)

    def held_bytes(digests: int) -> int:
        body = (b"event: status\n" + line + b"\n") * digests
        page.goto("about:blank")  # else the page that was there may take the stream when it connects again
        page.route("**/v1/stream", lambda route: route.fulfill(body=body, content_type="text/event-stream"), times=1)
        page.goto(shop.address)
        expect(page.locator(".flow")).to_be_visible()
        loaded = "performance.getEntriesByType('resource').some(one => one.name.endsWith('/v1/stream'))"
        page.wait_for_function(f"() => {loaded}", timeout=100_000)  # some 20 MB, on a busy machine
        heap = page.context.new_cdp_session(page)
        heap.send("HeapProfiler.collectGarbage")
        return int(heap.send("Runtime.getHeapUsage")["usedSize"])

    few, many = held_bytes(300), held_bytes(7_200)
    assert many < few + 3_000_000, (few, many)


def test_colours_switch_and_are_remembered(shop: Shop, visit: Visit) -> None:
    page, _ = visit(shop.address, color_scheme="light")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "light"
    for _ in range(2):
        page.get_by_role("button", name=re.compile("^Colours")).click()
    assert page.evaluate(theme) == "dark"
    page.reload()
    assert page.evaluate(theme) == "dark"
