"""Which hints have to be said: those that changed, and those that would soon be void. Pure.

One message per board, on its own topic (docs/decisions/0032).
"""

from collections.abc import Collection, Mapping

import msgspec

from tidewatt_coordinator.hinting.enough import stands
from tidewatt_wire.planned import PlanHint
from tidewatt_wire.sleeping import SleepHint
from tidewatt_wire.topics import HintTopic, PlanTopic

Hint = PlanHint | SleepHint


class Saying(msgspec.Struct, frozen=True):
    """A message for a topic; None takes away what is there."""

    topic: PlanTopic | HintTopic
    hint: Hint | None


class Said:
    """What boards were told last."""

    def __init__(self, fleet: str) -> None:
        self._fleet = fleet
        self._last: dict[str, Hint] = {}

    def forget(self) -> None:
        """Nothing is known of what the broker holds: all has to be said again."""
        self._last.clear()

    def due(
        self,
        wanted: Mapping[str, Hint],
        planned: Collection[str],
        now_ms: int,
        rates: Mapping[str, float] | None = None,
    ) -> list[Saying]:
        """What to say, by device. `planned`: all of whom the plan knows. Of one that isn't heard of its last
        hint ends by itself, and costs no message. `rates`: what a device is expected to see itself.
        """
        found = []
        for device in sorted(planned):
            was, now = self._last.get(device), wanted.get(device)
            if was is not None and (now is None or type(now) is not type(was)):
                found.append(Saying(self._topic(device, was), None))
            if now is not None and (
                was is None or _differs(was, now, (rates or {}).get(device)) or _ages(was, now_ms)
            ):
                found.append(Saying(self._topic(device, now), now))
        return found

    def note(self, saying: Saying) -> None:
        """The broker has it."""
        device = saying.topic.device
        if saying.hint is not None:
            self._last[device] = saying.hint
        elif device in self._last and self._topic(device, self._last[device]) == saying.topic:
            del self._last[device]

    def _topic(self, device: str, hint: Hint) -> PlanTopic | HintTopic:
        kind = PlanTopic if isinstance(hint, PlanHint) else HintTopic
        return kind(self._fleet, device)


def _differs(was: Hint, now: Hint, rps: float | None) -> bool:
    if isinstance(was, PlanHint) and isinstance(now, PlanHint):
        return (was.point, was.guarded) != (now.point, now.guarded) or not stands(was, now, rps)
    if isinstance(was, SleepHint) and isinstance(now, SleepHint):
        return was.serve_at_ms != now.serve_at_ms
    return True


def _ages(was: Hint, now_ms: int) -> bool:
    return 2 * (now_ms - was.issued_at_ms) >= was.expires_at_ms - was.issued_at_ms
