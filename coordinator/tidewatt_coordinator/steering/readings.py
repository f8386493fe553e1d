"""What Prometheus said last, and when. Asked in the background: a table never waits for it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from tidewatt_coordinator.outward import ask_async
from tidewatt_coordinator.steering.settings import Dispatch, queries
from tidewatt_coordinator.steering.vectors import Vector, VectorError, parse
from tidewatt_wire.clock import Clock

log = logging.getLogger(__name__)

#: Real seconds that an answer may take, and between two rounds at the least.
PATIENCE_S, SHORTEST_S = 5.0, 1.0
MOST_BYTES = 4 * 1024 * 1024


class Reading(msgspec.Struct, frozen=True):
    """A query's answer."""

    vector: Vector
    at_ms: int
    """By the fleet's clock, when it was asked."""


class Readings:
    """The last good answer to every query; `run` never ends by itself."""

    def __init__(self, settings: Dispatch, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self.last: dict[str, Reading] = {}
        self.failing: dict[str, str] = {}
        """By query, why it has no new answer."""

    async def run(self, changed: Callable[[], object] = lambda: None) -> None:
        """Ask for ever, in step with the tables; `changed` is called after the first round."""
        wanted = queries(self._settings)
        pause_s = max(SHORTEST_S, self._clock.real_seconds(self._settings.every_s))
        while True:
            first = not self.last
            if wanted:
                async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
                    await asyncio.gather(*(self._ask(client, query) for query in wanted))
                if first and self.last:
                    changed()
            await asyncio.sleep(pause_s)

    async def _ask(self, client: httpx.AsyncClient, query: str) -> None:
        at_ms = self._clock.now_ms()
        try:
            headers = await asyncio.to_thread(_headers, self._settings.token_file)
            url = f"{self._settings.prometheus.rstrip('/')}/api/v1/query"
            asked = {"query": query}
            answer = await ask_async(client, "GET", url, MOST_BYTES, params=asked, headers=headers)
            self.last[query] = Reading(parse(answer.content), at_ms)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, VectorError) as error:
            if query not in self.failing:
                log.warning("%s: %s", query, error or type(error).__name__)
            self.failing[query] = str(error) or type(error).__name__
        else:
            if self.failing.pop(query, None):
                log.warning("%s: is answered again", query)


def _headers(token_file: str) -> dict[str, str]:
    if not token_file:
        return {}
    return {"Authorization": f"Bearer {Path(token_file).read_text('utf-8').strip()}"}
