"""The fleet's changes by server-sent events, and the same by asking: once a second at the most."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Scope

from tidewatt_coordinator.access.least import VIEWER_BY_SITE
from tidewatt_coordinator.web.live import Delta, Live
from tidewatt_coordinator.web.rate import caller_of
from tidewatt_link.ending import within

#: Real seconds between two looks for a viewer.
EVERY_S = 1.0
#: Looks without news before a comment is sent, so that proxies keep the connection and we notice its end.
QUIET_LOOKS = 15
#: Looks after which a viewer has to come again, and to show anew who he is: else one whose key was taken
#: back, or whose session ended, would go on watching. Browsers come back by themselves.
MOST_LOOKS = 60
#: Viewers at once, and of them from one address; the rest are told to ask instead.
MOST_VIEWERS, MOST_FROM_ONE = 200, 20
#: Real milliseconds until a browser comes back.
RETRY_MS = 2000
#: Real seconds that one who has to ask should wait.
ASK_AGAIN_S = 3


class Streams:
    """Who watches."""

    def __init__(self, live: Live, every_s: float = EVERY_S) -> None:
        self.live = live
        self._from: Counter[str] = Counter()
        self._every_s, self._ending = every_s, asyncio.Event()

    @property
    def viewers(self) -> int:
        """How many watch."""
        return self._from.total()

    def full(self, caller: str) -> bool:
        """Whether one more from there is one too many."""
        return self.viewers >= MOST_VIEWERS or self._from[caller] >= MOST_FROM_ONE

    def end(self) -> None:
        """Let everybody go: the process ends."""
        self._ending.set()

    async def events(self, seen: str, sites: Collection[str] = (), caller: str = "") -> AsyncIterator[bytes]:
        """One viewer's events, MOST_LOOKS at the most: a slow one is told less often, never more."""
        self._from[caller] += 1
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            quiet = 0
            for _ in range(MOST_LOOKS):
                if self._ending.is_set():
                    break
                delta = await run_in_threadpool(self.live.since, seen, sites)
                quiet = 0 if delta.id != seen else quiet + 1
                if not quiet:
                    seen = delta.id
                    yield event(delta)
                elif quiet % QUIET_LOOKS == 0:
                    yield b": still here\n\n"
                await self._pause()
        finally:
            self._from[caller] -= 1
            self._from += Counter()  # who has gone is forgotten

    async def _pause(self) -> None:
        try:
            await within(self._ending.wait(), self._every_s)
        except asyncio.TimeoutError:
            return


def event(delta: Delta) -> bytes:
    """As server-sent events have it."""
    return b"event: fleet\nid: " + delta.id.encode() + b"\ndata: " + _json(delta) + b"\n\n"


def router(streams: Streams, address: Callable[[Scope], str] = lambda _scope: "") -> APIRouter:
    """The routes under /v1/stream; `address`: whose request it is."""
    routes = APIRouter(dependencies=[VIEWER_BY_SITE], tags=["fleet"])

    @routes.get("/v1/stream", response_class=StreamingResponse)
    async def stream(
        request: Request, last_event_id: Annotated[str, Header()] = "", since: Annotated[str, Query()] = ""
    ) -> StreamingResponse:
        """The fleet's changes as server-sent events `fleet`; Last-Event-ID resumes where a viewer was."""
        caller = caller_of(address(request.scope))
        if streams.full(caller):
            again = {"Retry-After": str(ASK_AGAIN_S)}
            raise HTTPException(503, "too many viewers: ask /v1/stream/poll instead", headers=again)
        # A proxy that buffers would hold everything back.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        told = streams.events(last_event_id or since, _sites(request), caller)
        return StreamingResponse(told, media_type="text/event-stream", headers=headers)

    @routes.get("/v1/stream/poll", response_class=Response)
    def poll(request: Request, since: Annotated[str, Query()] = "") -> Response:
        """What an event would tell: everything, or what changed since an event's id."""
        found = streams.live.since(since, _sites(request))
        return Response(_json(found), media_type="application/json", headers={"Cache-Control": "no-store"})

    return routes


def _sites(request: Request) -> tuple[str, ...]:
    """The sites that the caller is bound to; none: he sees all."""
    return tuple(getattr(getattr(request.state, "actor", None), "sites", ()))


def _json(delta: Delta) -> bytes:
    return msgspec.json.encode(delta)
