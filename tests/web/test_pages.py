"""Every page on a real fleet in a real browser: its content is right, nothing complains, all can use it."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.fleets import Fleet
from tests.web.viewing import viewing

#: What stands on each page, by the fleet of conftest.py.
PAGES = {
    "fleet": ["Devices online", "3 of 3", "no site", "roof-1", "5.3 W"],
    "device/roof-2": ["Power now", "promise 60 ms", "No application holds a floor.", "orin-nano-super"],
    "cost": ["This month at its end", "<b>Amazon S3</b>", "functions", "exceeded", "the median of"],
    "dispatch": ["Cost by the hour", "Gap", "roof-3", "Shadow prices", "Nobody has asked for anything"],
    "rollouts": ["Wave 1", "role=canary", "Wave 2", "to come", "Gates", "History"],
    "recommendations": ["make queue 0 smaller", "promise unknown", "22.00 USD/month (12.00 to 42.00)"],
    "audit": ["policy", "access key made", "first key"],
}  # fmt: skip


@pytest.mark.parametrize("place", PAGES)
def test_a_page_tells_what_stands(fleet: Fleet, key: str, browser: Browser, shots: Path, place: str) -> None:
    name = place.replace("/", "-")
    with viewing(browser, fleet.address("east"), key) as viewer:
        viewer.go(place)
        for words in PAGES[place]:
            expect(viewer.page.locator("main")).to_contain_text(words)
        viewer.page.screenshot(path=shots / f"{name}-light.png", full_page=True)
        assert viewer.violations() == []
        viewer.page.emulate_media(color_scheme="dark")
        assert viewer.violations("color-contrast") == []
        viewer.narrow()
        viewer.page.screenshot(path=shots / f"{name}-dark-390.png")
        cut = "all => all.filter(one => one.offsetWidth && one.scrollWidth > one.clientWidth).length"
        assert viewer.page.eval_on_selector_all(".devices tbody > tr > :not(.c-problem)", cut) == 0
        assert viewer.complaints == []


def test_what_is_wrong_comes_first_and_the_page_is_live(fleet: Fleet, key: str, browser: Browser) -> None:
    with viewing(browser, fleet.address("east"), key) as viewer:
        viewer.go("fleet")
        rows = viewer.page.locator("table.devices tbody th")
        expect(rows).to_have_count(3)
        before = viewer.page.locator("#clock").text_content()
        other = fleet.agent("roof-0")
        expect(rows).to_have_count(4)
        other.kill()
        expect(viewer.page.locator("table.devices tbody tr.bad, table.devices tbody tr.warn")).to_have_count(
            1
        )
        expect(rows.first).to_have_text("roof-0")
        expect(viewer.page.locator("main")).to_contain_text("its connection broke without a goodbye")
        assert viewer.page.locator("#clock").text_content() != before
        viewer.page.get_by_role("button", name="Problems only").click()
        expect(rows).to_have_count(1)
        assert viewer.complaints == []


def test_the_keyboard_is_enough(fleet: Fleet, key: str, browser: Browser) -> None:
    with viewing(browser, fleet.address("east"), key) as viewer:
        viewer.go("fleet")
        keys = viewer.page.keyboard
        keys.press("Tab")
        expect(viewer.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        keys.press("Enter")
        expect(viewer.page.locator("#main")).to_be_focused()
        viewer.page.get_by_role("searchbox").focus()
        keys.type("roof-2")
        expect(viewer.page.locator("table.devices tbody th")).to_have_text(["roof-2"])
        viewer.page.get_by_role("columnheader", name="Power").get_by_role("button").focus()
        keys.press("Enter")
        expect(viewer.page.get_by_role("columnheader", name="Power")).to_have_attribute(
            "aria-sort", "descending"
        )
        viewer.page.get_by_role("link", name="roof-2").focus()
        keys.press("Enter")
        expect(viewer.page.get_by_role("heading", level=1)).to_be_focused()
        expect(viewer.page).to_have_title("roof-2 · Tidewatt")


def test_without_events_the_page_asks(fleet: Fleet, key: str, browser: Browser) -> None:
    with viewing(browser, fleet.address("east"), key) as viewer:
        viewer.page.route("**/v1/stream", lambda route: route.fulfill(status=503))
        viewer.page.goto(f"{fleet.address('east')}/")
        expect(viewer.page.locator("#connection")).to_have_attribute("data-state", "asking")
        expect(viewer.page.locator("main")).to_contain_text("roof-1")


def test_nothing_is_applied_without_being_asked(fleet: Fleet, key: str, browser: Browser) -> None:
    with viewing(browser, fleet.address("east"), key) as viewer:
        viewer.go("recommendations")
        page = viewer.page
        apply = page.get_by_role("button", name="Apply make queue 2 smaller")
        apply.click()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(apply).to_be_focused()
        page.get_by_role("button", name="Apply make queue 1 smaller").click()
        page.get_by_role("button", name="Apply it").click()
        expect(page.get_by_role("dialog")).to_be_visible()  # the promise is unknown: that is to be said
        page.keyboard.press("Escape")
        apply.click()
        page.get_by_role("button", name="Apply it").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        row = page.locator("[data-id=p2]")
        expect(row).to_contain_text("approved by")
        row.get_by_role("button", name="Take back").click()
        page.get_by_role("button", name="Take it back").click()
        expect(row.get_by_role("button", name="Apply")).to_be_visible()
        assert viewer.complaints == []


def test_what_if_changes_nothing(fleet: Fleet, key: str, browser: Browser) -> None:
    with viewing(browser, fleet.address("east"), key) as viewer:
        viewer.go("device/roof-1")
        viewer.page.get_by_role("button", name="Try it").click()
        expect(viewer.page.get_by_role("region", name="Weights, now and then")).to_contain_text("roof-1")
        assert viewer.complaints == []
