"""The page where keys are set, where nothing is there yet, and where the server goes away."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from conftest import Seen, Shop

pytestmark = pytest.mark.timeout(600)
Visit = Callable[..., tuple[Page, Seen]]
KEYS = {"read": "read-secret-1", "write": "write-secret-2", "admin": "admin-secret-3"}
SET = f"serve.keys={json.dumps([f'{scope}:{secret}' for scope, secret in KEYS.items()])}"


@pytest.fixture(scope="module")
def locked(open_shop: Callable[..., Shop]) -> Shop:
    """A server with a key for each scope, and nothing in it."""
    return open_shop(SET, empty=True)


def _give(page: Page, secret: str) -> None:
    page.get_by_placeholder("ek_…").fill(secret)
    page.get_by_role("button", name="Use it").click()


def _forgive(seen: Seen) -> None:
    """The browser notes refused requests; nothing else may be there."""
    assert all("401" in one or "403" in one for one in seen.errors), seen.errors
    seen.errors.clear()


def test_the_page_comes_without_a_key_and_nothing_else_does(locked: Shop) -> None:
    with urllib.request.urlopen(locked.address, timeout=30) as answer:
        told = answer.read().decode()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert answer.headers["Cache-Control"] == "no-cache"
    names = [part.split('"')[0] for part in told.split('"/page/')[1:]]
    assert len(names) == 2
    for name in names:
        asked = urllib.request.Request(f"{locked.address}/page/{name}", headers={"Accept-Encoding": "br"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.headers["Content-Encoding"] == "br"
            assert "immutable" in answer.headers["Cache-Control"]
            tag = answer.headers["ETag"]
        asked.add_header("If-None-Match", tag)
        with pytest.raises(urllib.error.HTTPError) as unchanged:
            urllib.request.urlopen(asked, timeout=30)
        assert unchanged.value.code == 304
        unchanged.value.close()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{locked.address}/v1/catalogue", timeout=30)
    assert refused.value.code == 401
    refused.value.close()


def test_the_description_shows_and_sends_what_stands_behind_the_question_mark(locked: Shop, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{locked.address}/docs")
    page.locator("#key").fill(KEYS["read"])

    def opened(path: str) -> Locator:
        route = page.locator("details").filter(has=page.locator("summary > code", has_text=re.compile(f"^{path}$")))
        route.locator("summary").click()
        return route

    explain = opened("/v1/explain")
    expect(explain.locator("td", has_text=re.compile("^item$")).first).to_be_visible()
    explain.get_by_role("button", name="Send").click()
    expect(explain.locator("pre")).to_contain_text("400")
    explain.locator("input[name=item]").fill("nothing & more")
    explain.get_by_role("button", name="Send").click()
    expect(explain.locator("pre")).to_contain_text("404")
    trending = opened("/v1/trending")
    trending.locator("input[name=k]").fill("3")
    trending.get_by_role("button", name="Send").click()
    expect(trending.locator("pre")).to_contain_text("200")
    stream = opened("/v1/stream")
    expect(stream.get_by_role("button", name="Send")).to_have_count(0)
    page.close()


def test_a_key_is_asked_for_kept_in_the_tab_alone_and_not_enough_for_more(locked: Shop, visit: Visit) -> None:
    page, seen = visit(locked.address)
    expect(page.get_by_role("dialog")).to_contain_text("A key must be sent")
    _give(page, "a-wrong-secret")
    expect(page.get_by_role("dialog")).to_contain_text("a key that is not known")
    _give(page, KEYS["read"])
    expect(page.locator(".pulse")).to_contain_text("events/s")
    page.goto(f"{locked.address}/#/made")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("'admin'")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator(".note.bad")).to_contain_text("'admin'")
    assert page.evaluate("[Object.values(sessionStorage), Object.values(localStorage)]") == [[KEYS["read"]], []]
    page.get_by_role("button", name="Play", exact=True).click()
    _give(page, KEYS["admin"])
    expect(page.locator(".banner")).to_contain_text("Made traffic is playing")
    page.locator(".banner").get_by_role("button", name="Stop").click()
    expect(page.locator(".banner")).to_have_count(0)
    _forgive(seen)


def test_an_empty_installation_says_what_to_do(open_shop: Callable[..., Shop], visit: Visit) -> None:
    empty = open_shop(empty=True)
    page, _ = visit(empty.address, "try")
    expect(page.locator(".empty")).to_contain_text("There is nothing to show yet")
    page.goto(f"{empty.address}/#/data")
    expect(page.get_by_text("No events yet")).to_be_visible()
    expect(page.get_by_text("No items yet")).to_be_visible()
    page.goto(f"{empty.address}/#/learning")
    expect(page.get_by_text("Nothing was judged yet")).to_be_visible()
    page.goto(f"{empty.address}/#/backtests")
    expect(page.get_by_text("No report yet")).to_be_visible()
    page.goto(f"{empty.address}/#/made")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".banner")).to_contain_text("A shop")
    page.goto(f"{empty.address}/#/try")
    expect(page.locator(".listed").first).to_be_visible()


def test_a_lost_connection_is_told_and_found_again(open_shop: Callable[..., Shop], visit: Visit) -> None:
    shop = open_shop("learner.mode=off", empty=True)
    page, seen = visit(shop.address)
    banner = page.get_by_role("alert").filter(has_text="The connection is lost.")
    expect(page.locator(".pulse")).to_contain_text("events/s")
    expect(banner).to_have_count(0)
    shop.stop()
    expect(banner).to_be_visible()
    expect(page.locator(".pulse")).to_contain_text("not connected")
    shop.start(shop.address.rpartition(":")[2])
    expect(page.locator(".pulse")).to_contain_text("events/s")
    expect(banner).to_have_count(0)
    assert all("ERR_" in one for one in seen.errors), seen.errors  # a browser notes what it could not reach
    seen.errors.clear()
