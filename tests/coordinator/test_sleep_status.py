"""A sleeping board is neither dead nor online: by its own word, for its session, until that expires."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Literal

import pytest

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth, PolicySet, Will
from tidewatt_wire.sleeping import SleepState
from tidewatt_wire.topics import DeviceTopic


def birth(session: str) -> Birth:
    return Birth(device="a", session=session, epoch="e", at_ms=1, version="0", board="b", control="enforce")


def said(state: Literal["asleep", "awake"], session: str) -> SleepState:
    return SleepState(
        device="a", session=session, at_ms=2, state=state, until_ms=50_000, expires_at_ms=60_000
    )


def test_asleep_until_its_time_then_overdue_then_born_again() -> None:
    fleet = Fleet(stale_after_ms=1_000)
    fleet.born(birth("s1"), 1_000)
    fleet.slumbered(said("awake", "s1"))
    assert fleet.status("a", 1_500) == "online"
    fleet.slumbered(said("asleep", "s1"))
    assert fleet.status("a", 59_999) == "asleep", "silent for a minute, and no outage"
    assert fleet.able(PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[]), 2_000) == []
    assert fleet.status("a", 60_001) == "overdue"
    fleet.born(birth("s2"), 60_500)
    assert fleet.status("a", 60_600) == "online"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_is_retained_may_come_in_any_order(order: tuple[int, ...]) -> None:
    fleet = Fleet(stale_after_ms=1_000)
    deeds: list[Callable[[], object]] = [
        lambda: fleet.born(birth("s2"), 1_000),
        lambda: fleet.slumbered(said("asleep", "s1")),
        lambda: fleet.ended(Will(device="a", session="s1", epoch="e", cause="lost")),
    ]
    for index in order:
        deeds[index]()
    assert fleet.status("a", 1_500) == "online"


def test_a_will_of_the_session_that_fell_asleep_buries_nobody_before_its_time() -> None:
    fleet = Fleet(stale_after_ms=1_000)
    fleet.born(birth("s1"), 1_000)
    fleet.slumbered(said("asleep", "s1"))
    fleet.ended(Will(device="a", session="s1", epoch="e", cause="lost"))
    assert fleet.status("a", 2_000) == "asleep"


def test_it_comes_by_the_ingest(tmp_path: Path) -> None:
    fleet, ledger = Fleet(1_000), Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", fleet, ledger, lambda: 3_000)
    ingest.take(str(DeviceTopic("f", "a", "sleep")), encode(said("asleep", "s1")))
    ingest.take(str(DeviceTopic("f", "b", "sleep")), encode(said("asleep", "s1")))
    assert fleet.status("a", 3_000) == "asleep"
    assert ingest.refused == {"wrong_topic": 1}
    ledger.close()
