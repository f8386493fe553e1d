"""What is fuzzed: good inputs to begin with, and what takes one. Any exception out of it is a finding."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from tests.fuzz.mutation import mutate

#: What was found once, one input a file, by target: tried first, always.
CORPUS = Path(__file__).parent / "corpus"


class Target(msgspec.Struct, frozen=True):
    """A door through which something strange may come."""

    one: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    short: int = 300
    """Inputs of the short run; about a second of them."""
    longest: int = 20_000
    """Bytes of an input."""


def kept(name: str) -> list[bytes]:
    """What was found of this target before."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def inputs(name: str, target: Target, seed: int) -> Iterator[bytes]:
    """Inputs without end, the same for a seed: what was found before, the good ones, then changed ones."""
    known = [*kept(name), *target.seeds()]
    yield from known
    chance = random.Random(seed)
    while True:
        yield mutate(chance.choice(known), chance, known, target.longest)
