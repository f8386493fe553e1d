"""Traffic that comes in steps: a rate holds for some minutes, then another, on a beat of its own.

Schedulers, batch jobs and anything fed from five-minute means do that. Between two steps nothing rises, so
nothing needs a margin; at a step everything that can happen happens at once. Both are seen from when the
rate changed: if every one of the last changes lies on one beat, that is the beat, and the first one
beside it ends the belief.
"""

import math
from collections.abc import Sequence

import msgspec

#: Steps that must lie on the beat, and that are looked back on.
STEPS = 12
#: Rates that differ by less than this share are the same one.
SAME = 1e-3
#: A shorter beat leaves no minute between two steps to be sure of.
SHORTEST_MIN = 3
#: A step that falls within a minute is seen in two.
MOST_WIDTH = 2


class Beat(msgspec.Struct, frozen=True):
    """When steps come. Minutes count from any origin."""

    minutes: int
    """From one step to the next."""
    begins: int
    """A minute with a step in it."""
    width: int
    """Minutes until a step is seen whole: 2 where it falls within a minute, else 1."""

    def since(self, minute: int) -> int:
        """Minutes of its row before `minute`: 0 for one with a step in it."""
        return (minute - self.begins) % self.minutes

    def left(self, minute: int) -> int:
        """Minutes after `minute` that are sure to be as it was: 0 while its step isn't seen whole."""
        since = self.since(minute)
        return self.minutes - 1 - since if since >= self.width - 1 else 0


def changed(before: float, now: float) -> bool:
    """Whether two rates are different ones."""
    return abs(now - before) > SAME * max(before, now)


def with_change(changes: tuple[int, ...], minute: int) -> tuple[int, ...]:
    """The minutes of the last changes with one more, as many as `beat_of` looks back on."""
    return (*changes, minute)[-MOST_WIDTH * (STEPS + 1) :]


def beat_of(changes: Sequence[int]) -> Beat | None:
    """The beat that all of the last changes lie on; None if there is none, or too few to tell."""
    steps: list[int] = []
    runs: list[int] = []
    for before, minute in zip((None, *changes), changes, strict=False):
        if before is not None and minute == before + 1:
            runs[-1] += 1
        else:
            steps.append(minute)
            runs.append(1)
    steps, runs = steps[1:][-STEPS:], runs[1:][-STEPS:]  # of the oldest the beginning may be forgotten
    if len(steps) < STEPS:
        return None
    # One change in two minutes among changes in one is a change beside the beat.
    width = max(runs)
    if width > MOST_WIDTH or (width > 1 and runs.count(width) < STEPS / 2):
        return None
    minutes = math.gcd(*(minute - steps[0] for minute in steps))
    return Beat(minutes, steps[0], width) if minutes >= max(SHORTEST_MIN, width + 1) else None
