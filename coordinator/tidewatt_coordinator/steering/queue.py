"""The SQS queue of interruptions: a message is deleted when the table that follows it is on the broker.

So a coordinator that dies between gets it again, or its successor does; the order has the same id then, and
is followed once. boto3 is optional: tidewatt-coordinator[aws].
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.interruptions import EventError, orders_of, parse
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_wire.clock import Clock

log = logging.getLogger(__name__)

#: Real seconds that a request waits for a message: 500,000 requests a month, half of what is free.
WAIT_S = 5
#: Real seconds that SQS keeps a message from others while we have it, and that a table is waited for.
HIDDEN_S, PATIENCE_S = 60, 30.0
RETRY_S = 5.0
MOST_MESSAGES = 10


class QueueError(RuntimeError):
    """The queue can't be read; the sentence says why."""


class Interruptions:
    """Reads the queue while this coordinator steers. `run` never ends by itself."""

    def __init__(
        self,
        settings: Dispatch,
        steering: Steering,
        book: Book,
        clock: Clock,
        may: Callable[[], bool] = lambda: True,
        real_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._settings, self._steering, self._book = settings, steering, book
        self._clock, self._may, self._real_ms = clock, may, real_ms
        self._client: Any = None
        self.events: Counter[str] = Counter()
        """By what they were; `malformed` are no events, `repeated` were known."""
        self.warned_s: float | None = None
        """From the last warning's own time until it was read,"""
        self.followed_s: float | None = None
        """and from there until the table without its pool was on the broker."""
        self.failing = ""

    async def run(self) -> None:
        """Read for ever; without a queue there is nothing to read."""
        while True:
            if not self._settings.spot.queue or not self._may():
                await asyncio.sleep(1.0)
                continue
            try:
                await self.look()
            except QueueError as error:
                if not self.failing:
                    log.error("interruptions can't be read: %s", error)  # noqa: TRY400
                self.failing = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                if self.failing:
                    log.warning("interruptions are read again")
                self.failing = ""

    async def look(self, wait_s: int = WAIT_S) -> int:
        """Wait for messages and follow them; how many came. QueueError where they can't be read."""
        messages = await asyncio.to_thread(self._receive, wait_s)
        if not messages:
            return 0
        begun_s = time.monotonic()
        ordered, news = await asyncio.to_thread(self._keep, messages)
        if ordered:
            # Those that are known, too: whoever knew them may have died before a table followed.
            await self._followed(begun_s)
        if news:
            self.followed_s = time.monotonic() - begun_s
            log.warning("%s: in force after %.3f s; it may drain now", "; ".join(news), self.followed_s)
        await asyncio.to_thread(self._delete, messages)
        return len(messages)

    async def _followed(self, begun_s: float) -> None:
        answer = self._steering.call()
        while self._steering.answered < answer:
            if time.monotonic() - begun_s > PATIENCE_S:
                raise QueueError(f"no table follows: {self._steering.obstacle or 'none was published'}")
            await asyncio.sleep(0.01)

    def _keep(self, messages: list[dict[str, Any]]) -> tuple[bool, list[str]]:
        """Whether anything is ordered, and the sentences of what is new."""
        ordered, news = False, list[str]()
        for message in messages:
            try:
                event = parse(str(message.get("Body", "")))
            except EventError as error:
                self.events["malformed"] += 1
                log.warning("a message of the queue is left out: %s", error)
                continue
            real_ms, now_ms = self._real_ms(), self._clock.now_ms()
            orders = orders_of(event, self._settings.pools, self._settings.spot, now_ms, real_ms)
            ordered = ordered or bool(orders)
            try:
                fresh = [one for one in orders if self._book.order(one)]
            except SQLAlchemyError as error:
                raise QueueError(str(error).partition("\n")[0]) from error
            self.events["repeated" if orders and not fresh else event.what] += 1
            if fresh:
                self.warned_s = max(0.0, (real_ms - event.at_ms) / 1000.0)
                news += [one.sentence for one in fresh]
        return ordered, news

    def _receive(self, wait_s: int) -> list[dict[str, Any]]:
        def receive(client: Any) -> list[dict[str, Any]]:
            answer = client.receive_message(
                QueueUrl=self._settings.spot.queue,
                MaxNumberOfMessages=MOST_MESSAGES,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=HIDDEN_S,
            )
            return list(answer.get("Messages", []))

        found: list[dict[str, Any]] = self._ask(receive)
        return found

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        entries = [
            {"Id": str(place), "ReceiptHandle": one["ReceiptHandle"]} for place, one in enumerate(messages)
        ]
        self._ask(
            lambda client: client.delete_message_batch(QueueUrl=self._settings.spot.queue, Entries=entries)
        )

    def _ask(self, request: Callable[[Any], Any]) -> Any:
        try:
            import boto3  # noqa: PLC0415 - optional
            from botocore.config import Config  # noqa: PLC0415
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise QueueError("SQS can't be asked: install tidewatt-coordinator[aws]") from error
        spot = self._settings.spot
        try:
            if self._client is None:
                retries = {"mode": "standard", "total_max_attempts": 3}
                self._client = boto3.session.Session(profile_name=spot.profile or None).client(
                    "sqs",
                    region_name=spot.aws_region,
                    endpoint_url=spot.endpoint or None,
                    config=Config(retries=retries, connect_timeout=5, read_timeout=WAIT_S + 5),
                )
            return request(self._client)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise QueueError(f"SQS: {error}") from error
