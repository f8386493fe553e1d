"""A board that misses its wake time is an alert: raised once, told, and over when the board is back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.alerts.episodes import Standing, changes
from tidewatt_coordinator.alerts.overdue import MOST_EACH, of_sleepers
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.troubles import Sleeper
from tidewatt_coordinator.alerts.wakewatch import KINDS, WakeWatch
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.messages import Birth
from tidewatt_wire.sleeping import Nap, SleepState

MINUTE_MS = 60_000
SITES = {f"b{number}": "rome" if number < 8 else "oslo" for number in range(11)}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield ledger
    ledger.close()


def word(state: Literal["asleep", "awake"], session: str, device: str = "a", **more: object) -> SleepState:
    fields = {"device": device, "session": session, "at_ms": 0, "state": state, **more}
    return SleepState(**fields)  # type: ignore[arg-type] # as the calls below give them


def asleep(device: str = "a") -> SleepState:
    return word("asleep", "1", device, until_ms=9 * MINUTE_MS, expires_at_ms=10 * MINUTE_MS)


def born(session: str) -> Birth:
    return Birth(
        device="a", session=session, epoch="e", at_ms=1, version="0", board="b", control="enforce",
        labels={"site": "rome"},
    )  # fmt: skip


def test_it_is_raised_once_told_to_all_and_over_with_how_it_woke(ledger: Ledger) -> None:
    fleet, book, now_ms = Fleet(1_000), AlertBook(ledger.engine, "f"), [0]
    watch = WakeWatch(book, fleet, ["mqtt", "pager"], lambda: now_ms[0], real_ms=lambda: 7)
    fleet.born(born("1"), 0)
    fleet.slumbered(asleep())
    now_ms[0] = 10 * MINUTE_MS
    assert watch.look() == [], "asleep is no cause for worry"
    now_ms[0] += 1
    (raised,) = watch.look()
    assert raised.state == "firing"
    assert raised.summary.startswith("a (site rome) was to wake at 1970-01-01T00:09:00Z and has not been")
    assert watch.look() == []
    assert {one.target for one in book.due(7)} == {"mqtt", "pager"}
    after_restart = WakeWatch(book, fleet, ["mqtt", "pager"], lambda: now_ms[0], real_ms=lambda: 7)
    assert after_restart.look() == [], "nobody is told twice"
    fleet.born(born("2"), now_ms[0])
    nap = Nap(began_ms=0, planned_s=540, outcome="late", detail="it woke 310 s after its alarm")
    fleet.slumbered(word("awake", "2", last=nap))
    over, unwell = after_restart.look()
    assert over.state == "recovered"
    assert over.summary == "a is back: it woke 310 s after its alarm; it sleeps no more for now"
    assert (unwell.name, unwell.state) == ("unwell.a", "firing")
    assert after_restart.look() == []


@settings(max_examples=100)
@given(st.lists(st.sets(st.sampled_from(sorted(SITES))), max_size=8))
def test_everybody_who_is_overdue_is_told_of_and_a_site_is_no_flood(looks: list[set[str]]) -> None:
    last: dict[str, Standing] = {}
    for number, late in enumerate([*looks, set[str]()]):
        sleepers = [
            Sleeper(device=name, site=site, overdue=name in late, state=asleep(name))
            for name, site in SITES.items()
        ]
        for _ in range(2):  # again: nothing is news
            found = list(changes(last, of_sleepers(sleepers, last), KINDS, number))
            last.update({one.alert.name: one.alert for one in found})
        assert not found
        open_ones = {name for name, one in last.items() if one.ended_ms is None}
        for site in ("rome", "oslo"):
            here = {f"sleep.{name}" for name in late if SITES[name] == site}
            own = open_ones & {f"sleep.{name}" for name, at in SITES.items() if at == site}
            assert own <= here
            assert len(own) == min(len(here), MOST_EACH)
            assert (f"sleep-site.{site}" in open_ones) == (len(here) > MOST_EACH)
    assert not open_ones


def test_who_woke_unwell_is_an_alert_until_it_may_sleep_again(ledger: Ledger) -> None:
    fleet, book = Fleet(1_000_000), AlertBook(ledger.engine, "f")
    watch = WakeWatch(book, fleet, ["mqtt"], lambda: 1, real_ms=lambda: 7)
    fleet.born(born("1"), 0)
    nap = Nap(began_ms=0, planned_s=540, outcome="unwell", detail="the health command says no")
    why = "disqualified: the health command says no"

    def say(**more: object) -> list[tuple[str, str]]:
        fleet.slumbered(word("awake", "1", "a", **more))
        return [(one.name, one.state) for one in watch.look()]

    assert say(able=True, last=Nap(began_ms=0, planned_s=540, outcome="woke")) == []
    assert say(last=nap, why_not=why) == [("unwell.a", "firing")]
    (alert,) = book.last().values()
    assert alert.kind == "unwell"
    assert alert.summary == (
        "a (site rome) did not wake as it should: the health command says no; "
        "it sleeps no more until it is qualified again"
    )
    assert say(why_not=why) == [], "its agent began anew, and nothing is better"
    assert WakeWatch(book, fleet, ["mqtt"], lambda: 1, real_ms=lambda: 7).look() == []
    assert say(able=True) == [("unwell.a", "recovered")]
    assert say(last=nap, why_not=why) == [("unwell.a", "firing")], "the next time is news again"
    assert say(why_not="the policy allows no sleep") == [("unwell.a", "recovered")]
    assert say(why_not=why) == [], "who failed its trial is no alert"
