"""Somebody who looks at the page: what the browser complains of is kept, and axe looks, too."""

import contextlib
from collections.abc import Iterator
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect
from tests.actuators import wait_for

#: The strictest policy that the page is to live under.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
LIMIT_MS = 20_000
expect.set_options(timeout=LIMIT_MS)


class Viewer:
    """One page, opened under the policy."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self._address = page, address
        self.complaints: list[str] = []
        page.set_default_timeout(LIMIT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.route(f"{address}/", _under_policy)

    def go(self, place: str) -> None:
        """Open a page, and wait until it is live."""
        self.page.goto(f"{self._address}/#/{place}")
        self.page.wait_for_selector("main h1")
        self.page.wait_for_selector("#connection[data-state=live]")

    def violations(self, *rules: str) -> list[str]:
        """What axe finds by these rules, or by all; a line each."""
        options = {"runOnly": list(rules)} if rules else {}
        found: dict[str, Any] = Axe().run(self.page, options=options).response
        return [
            f"{one['id']}: {node['target']}: {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def narrow(self) -> None:
        """As on a phone: charts follow, and nobody has to scroll sideways."""
        self.page.set_viewport_size({"width": 390, "height": 844})
        fits = "document.documentElement.scrollWidth <= innerWidth"
        wait_for(lambda: self.page.evaluate(fits), "the page to fit a phone")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location['url']})")


@contextlib.contextmanager
def viewing(
    browser: Browser,
    address: str,
    key: str = "",
    *,
    width: int = 1440,
    height: int = 1000,
    scheme: Any = "light",
) -> Iterator[Viewer]:
    """A viewer with nothing remembered; who brings an API key may do what it may."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        extra_http_headers={"Authorization": f"Bearer {key}"} if key else {},
    )
    try:
        yield Viewer(context.new_page(), address)
    finally:
        context.close()


def _under_policy(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": POLICY})
