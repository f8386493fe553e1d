"""The actuator's door for sleep: a connection for each question, as an answer may take a night."""

import asyncio
from typing import Any

import msgspec

from tidewatt_agent.actuator.nap import COMES_WITHIN_S, Slept
from tidewatt_link.ending import within

ANSWER_TIMEOUT_S = 5.0


class StayedAwakeError(Exception):
    """The board was not let asleep; the sentence says why."""


class Ready(msgspec.Struct, frozen=True):
    """Why the actuator would not let the board sleep (empty: it would), and its boot and clock."""

    why_not: str
    boot: str = ""
    rtc_s: int | None = None


class SleepDoor:
    """Asks the actuator."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def ready(self) -> Ready:
        """Whether the board could be let asleep. Never raises."""
        if not self._path:
            return Ready("no actuator is named (board.actuator_socket)")
        try:
            answer = await self._ask({"op": "sleep_ready"}, ANSWER_TIMEOUT_S)
            return msgspec.convert(answer, Ready)
        except (StayedAwakeError, msgspec.ValidationError) as error:
            return Ready(str(error))

    async def sleep(self, for_s: float) -> Slept:
        """Let the board sleep; returns when it is awake again. StayedAwakeError says why it did not sleep."""
        answer = await self._ask({"op": "sleep", "for_s": for_s}, for_s + 2.0 * COMES_WITHIN_S)
        try:
            return msgspec.convert([answer.get(name) for name in Slept._fields], Slept)
        except msgspec.ValidationError as error:
            raise StayedAwakeError(f"the actuator says something else: {error}") from error

    async def _ask(self, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise StayedAwakeError(f"no actuator at {self._path}: {error.strerror or error}") from error
        try:
            writer.write(msgspec.json.encode(question) + b"\n")
            line = await within(reader.readline(), timeout_s)
            answer = msgspec.json.decode(line or b"{}", type=dict[str, Any])
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise StayedAwakeError(f"no answer from {self._path}: {error or type(error).__name__}") from error
        finally:
            writer.close()
        if not answer or "error" in answer:
            raise StayedAwakeError(str(answer.get("error", f"{self._path} closed the connection")))
        return answer
