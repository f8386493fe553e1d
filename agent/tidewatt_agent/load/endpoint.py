"""The application's metrics endpoint, read once a tick.

http.client in one worker thread: httpx would be the nicer client, but on the device its
client object costs 10 MB of resident memory (ADR 0006).
"""

import asyncio
import http.client
import logging
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from tidewatt_agent.config import Load as LoadConfig
from tidewatt_agent.load.exposition import Reading, Unreadable, load_between, parse_page
from tidewatt_governor.sample import Load

log = logging.getLogger(__name__)

#: A metrics page of a large application is under 1 MB.
MAX_PAGE_BYTES = 4_000_000


class Endpoint:
    """One application's endpoint; remembers the last reading, so each read gives what came since."""

    def __init__(self, config: LoadConfig) -> None:
        """Raises ValueError for a URL that isn't http://host[:port]/path."""
        url = urllib.parse.urlsplit(config.url)
        if url.scheme != "http" or not url.hostname:
            raise ValueError(f"load.url {config.url!r} is not an http:// URL")
        self._config = config
        self._host, self._port = url.hostname, url.port or 80
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._connection: http.client.HTTPConnection | None = None
        self._thread = ThreadPoolExecutor(1, "load")
        self._last: tuple[float, Reading] | None = None
        self._failing = False

    async def read(self, now_s: float) -> Load | None:
        """The load since the last good read (`now_s`: monotonic seconds); None when it isn't known."""
        try:
            page = await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch)
            reading = parse_page(page, self._config.counter, self._config.histogram, self._config.labels)
        except (OSError, http.client.HTTPException, Unreadable) as error:
            self._log_failure(error)
            return None
        if self._failing:
            log.info("load: %s answers again", self._config.url)
            self._failing = False
        before, self._last = self._last, (now_s, reading)
        if before is None or now_s <= before[0]:
            return None
        return load_between(before[1], reading, now_s - before[0])

    def close(self) -> None:
        """Let go of the connection and the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._connection:
            self._connection.close()

    def _log_failure(self, error: Exception) -> None:
        # The first failure is news, the following ones are not.
        if not self._failing:
            log.warning("load: %s gives no load: %s", self._config.url, error or type(error).__name__)
        self._failing = True

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
            self._connection.close()
            self._connection = None
            raise
        if answer.status != http.HTTPStatus.OK:
            raise Unreadable(f"HTTP {answer.status} {answer.reason}")
        return body.decode("utf-8", "replace")
