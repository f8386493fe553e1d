"""The applications' status pages, read once a tick.

http.client in one worker thread: httpx would be the nicer client, but on the device its
client object costs 10 MB of resident memory (ADR 0006).
"""

import asyncio
import http.client
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tidewatt_agent.config import Load as LoadConfig
from tidewatt_agent.config import http_url
from tidewatt_agent.load.pages import KNOWN, parse_exposition, parse_stub_status
from tidewatt_agent.load.reading import Reading, Unreadable, load_between, together
from tidewatt_governor.sample import Load

log = logging.getLogger(__name__)

#: A metrics page of a large application is under 1 MB.
MAX_PAGE_BYTES = 4_000_000
FAILURES = (OSError, http.client.HTTPException, Unreadable)


class Endpoint:
    """One application's page over a connection that is kept. Blocking: for a worker thread."""

    def __init__(self, config: LoadConfig) -> None:
        """Raises ValueError for a URL that isn't http://host[:port]/path."""
        url = http_url(config.url)
        self._config = config
        self._host, self._port = url.hostname or "", url.port or http.client.HTTP_PORT
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._connection: http.client.HTTPConnection | None = None
        self._failing = False

    def read(self) -> Reading | None:
        """What the application has counted, None when it can't be known; the first failure is logged."""
        try:
            reading = self._parse(self._fetch())
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

    def why_not(self) -> str:
        """Why the application gives no load now, in a few words; empty when it does."""
        try:
            self._parse(self._fetch())
        except FAILURES as error:
            return str(error) or type(error).__name__
        return ""

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def _parse(self, page: str) -> Reading:
        if self._config.kind == "nginx":
            return parse_stub_status(page)
        counter, histogram = KNOWN.get(self._config.kind, (self._config.counter, self._config.histogram))
        return parse_exposition(page, counter, histogram, self._config.labels)

    def _fetch(self) -> str:
        reused = self._connection is not None
        try:
            return self._get()
        except (OSError, http.client.HTTPException):
            if not reused:
                raise
            return self._get()  # the server had closed the idle connection: not a failure

    def _get(self) -> str:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._host, self._port, timeout=self._config.timeout_s
            )
        try:
            self._connection.request("GET", self._path, headers={"Accept": "text/plain"})
            answer = self._connection.getresponse()
            body = answer.read(MAX_PAGE_BYTES)
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.status != http.HTTPStatus.OK:
            raise Unreadable(f"HTTP {answer.status} {answer.reason}")
        if answer.length or len(body) == MAX_PAGE_BYTES:
            # A last number may have lost digits: a page is believed whole or not at all.
            self.close()
            raise Unreadable(f"the page was cut off after {len(body)} bytes")
        return body.decode("utf-8", "replace")


class Applications:
    """The board's load: all its endpoints together, since the last time all of them answered.

    With one of them away the load is not known, rather than lower; what was served meanwhile
    is counted when it answers again.
    """

    def __init__(self, configs: Sequence[LoadConfig]) -> None:
        """Raises ValueError for a bad URL."""
        self._endpoints = [Endpoint(config) for config in configs]
        self._thread = ThreadPoolExecutor(1, "load")
        self._last: tuple[float, list[Reading]] | None = None

    async def read(self, now_s: float) -> Load | None:
        """The load since the last good read (`now_s`: monotonic seconds); None when it isn't known."""
        readings = await asyncio.get_running_loop().run_in_executor(self._thread, self._read_all)
        if readings is None:
            return None
        before, self._last = self._last, (now_s, readings)
        if before is None or now_s <= before[0]:
            return None
        interval_s = now_s - before[0]
        pairs = zip(before[1], readings, strict=True)
        return together([load_between(then, now, interval_s) for then, now in pairs])

    def close(self) -> None:
        """Let go of the connections and the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        for endpoint in self._endpoints:
            endpoint.close()

    def _read_all(self) -> list[Reading] | None:
        readings = [endpoint.read() for endpoint in self._endpoints]
        known = [reading for reading in readings if reading is not None]
        return known if known and len(known) == len(readings) else None
