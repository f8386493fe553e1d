"""A short run through every door, the same inputs each time; `make fuzz` goes on for as long as is wished."""

import logging
from collections.abc import Iterator
from itertools import islice

import pytest
from tests.fuzz.doors import TARGETS
from tests.fuzz.target import inputs, kept


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is refused is logged each time, which isn't looked at here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_strange_things_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    known = len(kept(name)) + len(target.seeds())
    for number, data in enumerate(islice(inputs(name, target, 1), known + target.short)):
        try:
            target.one(data)
        except Exception as error:
            raise AssertionError(f"input {number} of {name}: {data[:2000]!r}") from error
