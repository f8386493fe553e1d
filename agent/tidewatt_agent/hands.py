"""The hands: what sets the board's mode and reads it back.

The agent asks the actuator over a Unix socket (actuator/server.py has the vocabulary). The actuator
knows how the board was found and puts that back; the agent only says when. A switch counts only
when reading back shows it.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tidewatt_agent.exchange import Lines
from tidewatt_wire.messages import OperatingPoint, OutcomeKind

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
#: A switch that hangs is ended by the actuator, rolled back and read back: each may take its time.
SWITCH_TIMEOUT_S = 60.0
#: What an actuator says of a switch that was not done.
FAILED: dict[object, OutcomeKind] = {
    "needs_reboot": "needs_reboot",
    "refused": "refused",
    "rolled_back": "rolled_back",
    "stuck": "stuck",
}


#: What an actuator says of a reboot that is over.
ENDED: dict[object, OutcomeKind] = {"reached": "reboot_reached", "missed": "reboot_missed"}


class Outcome(msgspec.Struct, frozen=True):
    """What became of a decision, and where the board stands now (None: not known)."""

    kind: OutcomeKind
    point: str | None
    detail: str = ""
    reached: bool = True
    """Whether the board's actuator answered at all."""


class Stance(msgspec.Struct, frozen=True):
    """Where the board stands, by one look."""

    point: str | None
    """The mode's name; None when it stands in none of its own, or can't be looked at."""
    seen: bool = True
    """Whether it could be looked at."""
    changed: bool = True
    """Whether the actuator holds a change that it would put back."""
    pinned: tuple[str, ...] = ()
    """Clocks that are held at their maximum, as jetson_clocks does."""
    caps: dict[str, int] = {}
    """Upper clock caps now, the mode's or ours, in hertz by clock."""

    def above(self, caps: Mapping[str, int]) -> list[str]:
        """The clocks that the board lets run above these caps, or of which it shows none.

        Below is good: heat holds clocks down, too. `cpu` stands for every CPU policy.
        """
        return [clock for clock, hertz in caps.items() if self._shown(clock) > hertz]

    def _shown(self, clock: str) -> float:
        policies = [hertz for name, hertz in self.caps.items() if name.startswith("policy")]
        return self.caps.get(clock, max(policies if clock == "cpu" and policies else [math.inf]))


class Hands(Protocol):
    """What the tick needs of an actuator."""

    @property
    def acts(self) -> bool:
        """Whether `go_to` moves the board, or only says what it would do."""

    async def look(self) -> Stance:
        """Where the board stands. Never raises."""

    async def go_to(self, point: str) -> Outcome:
        """Bring the board to `point` and say what really happened."""

    async def trim(self, caps: Mapping[str, int | None]) -> Outcome:
        """Cap clocks within the mode, in hertz, None taking a cap away, and say what really happened."""

    async def plan_reboot(self, point: str) -> Outcome:
        """Have a reboot into `point` put on file: `reboot_planned`, or why not."""

    async def reboot(self, point: str) -> Outcome:
        """Have the planned reboot done: `rebooting`, or why not."""

    def reboot_ended(self) -> Outcome | None:
        """How the last reboot ended, until `reboot_seen`: `reboot_reached`, `reboot_missed`."""

    async def reboot_seen(self) -> None:
        """Say that it has been told on."""

    async def restore(self) -> None:
        """Have the board put back as it was found, if this agent changed it."""

    async def close(self) -> None:
        """Let go of the board."""


class BoardUnreachableError(OSError):
    """The actuator's socket didn't answer as it should."""


class SocketHands:
    """An actuator behind a Unix socket."""

    acts = True

    def __init__(self, path: str, points: Sequence[OperatingPoint]) -> None:
        self._path = path
        # Until the board has said which modes it has, those of its profile are believed.
        self._ids = {point.name: point.mode_id for point in points}
        self._door: Lines | None = None
        self._changed = False
        self._away = False
        self._reboot: dict[str, Any] = {}

    @property
    def modes(self) -> list[str]:
        """The names of the modes that the board says it has."""
        return list(self._ids)

    async def look(self) -> Stance:
        """See Hands.look; the first failure is logged."""
        try:
            answer = await self._ask({"op": "state"})
        except BoardUnreachableError as error:
            if not self._away:
                log.warning("board: %s", error)
            self._away = True
            return Stance(None, seen=False)
        if self._away:
            log.info("board: %s answers again", self._path)
            self._away = False
        reboot, mode_id = answer.get("reboot"), answer.get("mode_id")  # any JSON may come
        self._reboot = reboot if isinstance(reboot, dict) else {}
        pinned, caps = answer.get("pinned"), answer.get("caps")
        return Stance(
            self._name(mode_id),
            changed=answer.get("changed") is not False,
            pinned=tuple(map(str, pinned)) if isinstance(pinned, list) else (),
            caps={name: hertz for name, hertz in caps.items() if isinstance(hertz, int)}
            if isinstance(caps, dict)
            else {},
        )

    def _name(self, mode_id: object) -> str | None:
        return next((name for name, one in self._ids.items() if one == mode_id), None)

    async def go_to(self, point: str) -> Outcome:
        """See Hands.go_to: ask, then look, and believe only what is seen."""
        stands = (await self.look()).point
        if point not in self._ids:
            return Outcome(
                "refused", stands, f"this board has no mode {point}; it has {', '.join(self._ids)}"
            )
        # Said before it is done: an answer that never comes must not hide a change.
        self._changed = True
        try:
            answer = await self._ask({"op": "set_mode", "id": self._ids[point]}, SWITCH_TIMEOUT_S)
        except BoardUnreachableError as error:
            return Outcome("refused", (await self.look()).point, str(error), reached=False)
        after = await self.look()
        stands = after.point
        if "error" in answer:
            return Outcome("refused", stands, str(answer["error"]))
        kind, detail = answer.get("kind"), str(answer.get("detail", ""))
        if kind in FAILED:
            return Outcome(FAILED[kind], stands, detail)
        if stands != point:
            why = f"asked for {point}, the board stands at {stands}"
            return Outcome("refused", stands, why, reached=after.seen)
        return Outcome("applied", stands)

    async def trim(self, caps: Mapping[str, int | None]) -> Outcome:
        """See Hands.trim: ask, then look, and believe only what is seen."""
        self._changed = True  # as in go_to
        try:
            answer = await self._ask({"op": "set_caps", "caps": dict(caps)}, SWITCH_TIMEOUT_S)
        except BoardUnreachableError as error:
            return Outcome("refused", (await self.look()).point, str(error), reached=False)
        after = await self.look()
        if "error" in answer:
            return Outcome("refused", after.point, str(answer["error"]))
        kind, detail = answer.get("kind"), str(answer.get("detail", ""))
        if kind in FAILED:
            return Outcome(FAILED[kind], after.point, detail)
        wanted = {clock: hertz for clock, hertz in caps.items() if hertz is not None}
        if missed := after.above(wanted):
            why = f"asked for {wanted}, the board shows {after.caps} ({', '.join(missed)})"
            return Outcome("refused", after.point, why, reached=after.seen)
        return Outcome("unchanged" if kind == "unchanged" else "applied", after.point)

    async def plan_reboot(self, point: str) -> Outcome:
        """See Hands.plan_reboot."""
        return await self._reboot_step("plan_reboot", point, "reboot_planned")

    async def reboot(self, point: str) -> Outcome:
        """See Hands.reboot."""
        outcome = await self._reboot_step("reboot", point, "rebooting")
        self._changed = self._changed and outcome.kind != "rebooting"  # it was put back for that
        return outcome

    async def _reboot_step(self, op: str, point: str, done: OutcomeKind) -> Outcome:
        try:
            answer = await self._ask({"op": op, "id": self._ids[point]}, SWITCH_TIMEOUT_S)
        except BoardUnreachableError as error:
            return Outcome("refused", None, str(error), reached=False)
        detail = str(answer.get("detail") or answer.get("error") or "")
        return Outcome(done if answer.get("kind") == done else "refused", point, detail)

    def reboot_ended(self) -> Outcome | None:
        """See Hands.reboot_ended."""
        kind = ENDED.get(self._reboot.get("stage"))
        mode_id = self._reboot.get("to")
        if kind is None or self._reboot.get("seen") is not False or not isinstance(mode_id, int):
            return None
        return Outcome(kind, self._name(mode_id))

    async def reboot_seen(self) -> None:
        """See Hands.reboot_seen."""
        with contextlib.suppress(BoardUnreachableError):  # then it is told again
            await self._ask({"op": "reboot_seen"})

    async def restore(self) -> None:
        """See Hands.restore."""
        if not self._changed:
            return
        try:
            answer = await self._ask({"op": "restore"}, SWITCH_TIMEOUT_S)
        except BoardUnreachableError as error:
            log.warning("board: not put back by us: %s", error)
        else:
            log.info("the board is put back: %s", answer.get("kind", answer))

    async def close(self) -> None:
        """Close the socket."""
        door, self._door = self._door, None
        if door:
            door.close()

    async def _ask(self, question: dict[str, Any], timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
        try:
            if self._door is None:
                _, self._door = await asyncio.get_running_loop().create_unix_connection(Lines, self._path)
                # Ids differ from board to board and from release to release; names say what they mean.
                self._learn((await self._converse({"op": "modes"}, timeout_s)).get("modes"))
            return await self._converse(question, timeout_s)
        except asyncio.CancelledError:
            # The answer is still to come: on this connection it would be taken for the next one's.
            await self.close()
            raise
        except (OSError, msgspec.DecodeError, ValueError) as error:
            await self.close()
            raise BoardUnreachableError(
                f"no answer from {self._path}: {error or type(error).__name__}"
            ) from error

    async def _converse(self, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        assert self._door  # noqa: S101 - the caller has opened it
        self._door.ask(msgspec.json.encode(question) + b"\n", timeout_s)
        return msgspec.json.decode(await self._door.answer(), type=dict[str, Any])

    def _learn(self, modes: object) -> None:
        if isinstance(modes, dict) and modes and all(isinstance(one, int) for one in modes.values()):
            self._ids = modes


class NoReboots:
    """Hands that can't reboot the board, nor cap its clocks."""

    async def trim(self, caps: Mapping[str, int | None]) -> Outcome:
        """Nothing is done."""
        return Outcome("refused", None, f"nothing here can cap {', '.join(caps)}")

    async def plan_reboot(self, point: str) -> Outcome:
        """Nothing is planned."""
        return Outcome("refused", None, f"nothing here can reboot the board into {point}")

    async def reboot(self, point: str) -> Outcome:
        """Nothing is done."""
        return await self.plan_reboot(point)

    def reboot_ended(self) -> Outcome | None:
        """There was none."""
        return None

    async def reboot_seen(self) -> None:
        """There was none."""


class FoldedHands(NoReboots):
    """Observe mode: looks where it can, says what it would do, changes nothing."""

    acts = False

    def __init__(self, inner: Hands | None) -> None:
        self._inner = inner

    async def look(self) -> Stance:
        """See Hands.look."""
        return await self._inner.look() if self._inner else Stance(None, seen=False)

    async def go_to(self, point: str) -> Outcome:
        """Nothing is done: the outcome is `observed`."""
        return Outcome("observed", (await self.look()).point, f"would go to {point}")

    async def trim(self, caps: Mapping[str, int | None]) -> Outcome:
        """Nothing is done: the outcome is `observed`."""
        return Outcome("observed", (await self.look()).point, f"would cap {', '.join(caps)}")

    async def restore(self) -> None:
        """There is nothing to restore."""

    async def close(self) -> None:
        """See Hands.close."""
        if self._inner:
            await self._inner.close()
