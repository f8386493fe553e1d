"""Which fault comes when, and to whom: all of it from one number. Pure.

A schedule is a sequence without end, so that a longer run of a seed begins as a shorter one did.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec


class Step(msgspec.Struct, frozen=True):
    """One fault as it is planned."""

    number: int
    fault: str
    target: str
    after_s: float
    """Real seconds from the fault before it."""
    hold_s: float
    """Real seconds until it is undone; others may begin meanwhile."""
    amount: float
    """What the fault makes of it: from 0 to 1."""

    def __str__(self) -> str:
        """As it stands in a run's output."""
        return f"{self.number:4} {self.fault} {self.target} (held {self.hold_s:.1f} s, {self.amount:.2f})"


class Choice(msgspec.Struct, frozen=True):
    """A fault that may be drawn."""

    targets: Sequence[str]
    weight: float = 1.0
    longest_s: float = 4.0


def schedule(seed: int, choices: Mapping[str, Choice]) -> Iterator[Step]:
    """The steps of a seed, from the first, without end.

    Each fault comes once in a shuffled round before any comes again in proportion to its weight, so
    that a short run has seen many kinds.
    """
    chance = random.Random(seed)
    names = sorted(choices)
    weights = [choices[name].weight for name in names]
    for number in itertools.count(1):
        if number % (2 * len(names)) == 1:
            waiting = list(names)
            chance.shuffle(waiting)
        fault = waiting.pop() if waiting else chance.choices(names, weights)[0]
        choice = choices[fault]
        yield Step(
            number=number,
            fault=fault,
            target=chance.choice(sorted(choice.targets)),
            after_s=round(chance.expovariate(1.0), 3),
            hold_s=round(chance.uniform(0.0, choice.longest_s), 3),
            amount=round(chance.random(), 3),
        )
