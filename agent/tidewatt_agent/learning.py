"""What this board has shown of its operating points: learned from the counters, kept on disk.

A minute counts when every tick in it was in one mode, with the power and the load known: then what
the counters grew by is the board's mean power at its mean load.
"""

import asyncio
import logging
from pathlib import Path

import msgspec

from tidewatt_agent.counters import UNKNOWN_MODE
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.learn import Known, Origin, fresh, learn, learned_points, origin, usable
from tidewatt_governor.points import find
from tidewatt_link.durable import replace_file
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Counters, OperatingPoint
from tidewatt_wire.units import joules, seconds

log = logging.getLogger(__name__)

MINUTE_S = 60.0
#: A minute that a slow tick stretches beyond this is none.
LONGEST_S = 120.0
#: What a power cut may lose is little; a card wears by writing.
SAVE_EVERY_S = 600.0


class Learning:
    """The board's points as far as they are known. Without a path nothing outlives the process."""

    def __init__(self, profile: BoardProfile | None, path: Path | None = None) -> None:
        self._profile, self._path = profile, path
        self._known: dict[str, Known] = {}
        self._since: Counters | None = None
        """The counters when the present minute began; None while none can begin."""
        self._last: Counters | None = None
        self._failing = False
        self.points: list[OperatingPoint] = list(profile.points) if profile else []
        """The profile's, with what has been learned."""

    def load(self) -> None:
        """Take up what was kept; what can't be read is put aside, and the profile rules."""
        try:
            kept = self._read()
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._put_aside(error)
            return
        profiles = {point.name: point for point in self._profile.points} if self._profile else {}
        self._known = {
            name: known for name, known in kept.items() if name in profiles and usable(known, profiles[name])
        }
        if left := sorted(set(kept) - set(self._known)):
            log.info("learned figures of %s are not of this profile: learned anew", ", ".join(left))
        self._renew()

    def note(self, counters: Counters, *, capped: bool = False) -> bool:
        """Take the counters after a tick; whether that ended a minute which was learned from.

        `capped`: the board was under caps of ours, which tells nothing of the mode without them.
        """
        before, self._last = self._last, counters
        if capped or self._profile is None or before is None or not _clean(before, counters, self._since):
            self._since = None
            return False
        if self._since is None:
            self._since = counters
            return False
        elapsed_s = _elapsed_s(self._since, counters)
        if elapsed_s < MINUTE_S:
            return False
        began, self._since = self._since, counters
        point = find(self._profile.points, _mode(began, counters) or "")
        if point is None or elapsed_s > LONGEST_S:
            return False
        watts = joules(counters.energy_mj - began.energy_mj) / elapsed_s
        rps = (counters.requests - began.requests) / elapsed_s
        self._known[point.name] = learn(self._known.get(point.name) or fresh(point), point, watts, rps)
        self._renew()
        return True

    def origins(self) -> dict[str, Origin]:
        """Where the figures of each point come from."""
        if self._profile is None:
            return {}
        return {point.name: origin(self._profile, point.name, self._known) for point in self.points}

    def known(self, point: str) -> Known | None:
        """What the minutes at this point have shown; None before the first."""
        return self._known.get(point)

    async def keep(self, clock: Clock) -> None:
        """Save now and then, for ever."""
        while True:
            await asyncio.sleep(clock.real_seconds(SAVE_EVERY_S))
            await asyncio.to_thread(self.save)

    def save(self) -> None:
        """Put what is known on the disk. For any thread; the first failure is logged."""
        if self._path is None or not self._known:
            return
        try:
            replace_file(self._path, msgspec.json.encode(dict(self._known)))
        except OSError as error:
            if not self._failing:
                log.error("learned figures: %s can't be written: %s", self._path, error.strerror)  # noqa: TRY400
            self._failing = True
        else:
            self._failing = False

    def _renew(self) -> None:
        if self._profile:
            self.points = learned_points(self._profile.points, self._known)

    def _read(self) -> dict[str, Known]:
        if self._path is None:
            return {}
        return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Known])

    def _put_aside(self, why: Exception) -> None:
        assert self._path is not None  # noqa: S101 - it was read
        aside = self._path.with_suffix(".unreadable")
        log.error("learned figures: %s can't be read (%s); put aside as %s", self._path, why, aside.name)
        try:
            self._path.replace(aside)
        except OSError as obstacle:
            log.error("learned figures: %s", obstacle)  # noqa: TRY400 - a sentence is enough


def _clean(before: Counters, now: Counters, since: Counters | None) -> bool:
    """Whether the tick between was in one known mode, that of the minute, with nothing unknown in it."""
    known = before.unmeasured_ms == now.unmeasured_ms and before.unjudged_ms == now.unjudged_ms
    mode = _mode(before, now)
    same = since is None or _mode(since, now) is not None
    return known and before.switches == now.switches and same and mode not in (None, UNKNOWN_MODE)


def _mode(before: Counters, now: Counters) -> str | None:
    """The one mode in which the time between was spent; None if there were several, or no time passed."""
    grown = [mode for mode, ms in now.mode_ms.items() if ms > before.mode_ms.get(mode, 0)]
    return grown[0] if len(grown) == 1 else None


def _elapsed_s(before: Counters, now: Counters) -> float:
    return seconds(sum(now.mode_ms.values()) - sum(before.mode_ms.values()))
