"""The applications' status pages, read once a tick, in the loop: no thread waits for them (ADR 0045)."""

import contextlib
import http.client
import logging
from collections.abc import Sequence

from tidewatt_agent.config import Load as LoadConfig
from tidewatt_agent.config import http_url
from tidewatt_agent.load.pages import KNOWN, Exposition, parse_stub_status
from tidewatt_agent.load.reading import Reading, Unreadable, load_between, together
from tidewatt_agent.load.wire import Page, Wire, connect
from tidewatt_governor.sample import Load

log = logging.getLogger(__name__)

FAILURES = (OSError, http.client.HTTPException, Unreadable)


class Endpoint:
    """One application's page over a connection that is kept."""

    def __init__(self, config: LoadConfig) -> None:
        """Raises ValueError for a URL that isn't http://host[:port]/path."""
        url = http_url(config.url)
        self._config = config
        self._host, self._port = url.hostname or "", url.port or http.client.HTTP_PORT
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._request = _request(path, url.netloc.rpartition("@")[2])
        counter, histogram = KNOWN.get(config.kind, (config.counter, config.histogram))
        self._exposition = Exposition(counter, histogram, config.labels)
        self._wire: Wire | None = None
        self._failing = False

    def ask(self) -> None:
        """Ask on the connection that is kept, if there is one: then `read` has less to wait for."""
        if self._wire and not (self._wire.closed or self._wire.asked):
            with contextlib.suppress(OSError):
                self._put(self._wire)

    async def read(self) -> Reading | None:
        """What the application has counted, None when it can't be known; the first failure is logged."""
        try:
            reading = self._parse(await self._fetch())
        except FAILURES as error:
            # The first failure is news, the following ones are not.
            if not self._failing:
                log.warning("load: %s gives no load: %s", self._config.url, error or type(error).__name__)
            self._failing = True
            return None
        if self._failing:
            log.info("load: %s answers again", self._config.url)
            self._failing = False
        return reading

    async def why_not(self) -> str:
        """Why the application gives no load now, in a few words; empty when it does."""
        try:
            self._parse(await self._fetch())
        except FAILURES as error:
            return str(error) or type(error).__name__
        return ""

    def close(self) -> None:
        """Let go of the connection."""
        wire, self._wire = self._wire, None
        if wire:
            wire.close()

    def _parse(self, page: str) -> Reading:
        if self._config.kind == "nginx":
            return parse_stub_status(page)
        return self._exposition.read(page)

    async def _fetch(self) -> str:
        page = await self._ask()
        if page.status != http.HTTPStatus.OK:
            raise Unreadable(f"HTTP {page.status} {page.reason}")
        if not page.whole:
            # A last number may have lost digits: a page is believed whole or not at all.
            raise Unreadable(f"the page was cut off after {len(page.body)} bytes")
        return page.body.decode("utf-8", "replace")

    async def _ask(self) -> Page:
        if self._wire and (self._wire.asked or not self._wire.closed):
            try:
                if not self._wire.asked:
                    self._put(self._wire)
                return await self._wire.page()
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException):
                pass  # the server had closed the idle connection: not a failure
        self._wire = await connect(self._host, self._port, self._config.timeout_s)
        self._put(self._wire)
        return await self._wire.page()

    def _put(self, wire: Wire) -> None:
        wire.ask(self._request, self._config.timeout_s)


def _request(path: str, host: str) -> bytes:
    head = (f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: text/plain", "Accept-Encoding: identity")
    return "\r\n".join([*head, "", ""]).encode()


class Applications:
    """The board's load: all its endpoints together, since the last time all of them answered.

    With one of them away the load is not known, rather than lower; what was served meanwhile
    is counted when it answers again.
    """

    def __init__(self, configs: Sequence[LoadConfig]) -> None:
        """Raises ValueError for a bad URL."""
        self._endpoints = [Endpoint(config) for config in configs]
        self._last: tuple[float, list[Reading]] | None = None

    def ask(self) -> None:
        """Ask all of them, so that `read` needn't wait for one after the other."""
        for endpoint in self._endpoints:
            endpoint.ask()

    async def read(self, now_s: float) -> Load | None:
        """The load since the last good read (`now_s`: monotonic seconds); None when it isn't known."""
        readings = await self._read_all()
        if readings is None:
            return None
        before, self._last = self._last, (now_s, readings)
        if before is None or now_s <= before[0]:
            return None
        interval_s = now_s - before[0]
        pairs = zip(before[1], readings, strict=True)
        return together([load_between(then, now, interval_s) for then, now in pairs])

    def close(self) -> None:
        """Let go of the connections."""
        for endpoint in self._endpoints:
            endpoint.close()

    async def _read_all(self) -> list[Reading] | None:
        readings = [await endpoint.read() for endpoint in self._endpoints]
        known = [reading for reading in readings if reading is not None]
        return known if known and len(known) == len(readings) else None
