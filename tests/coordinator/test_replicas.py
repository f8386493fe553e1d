"""Coordinators that share the reports show the same as one that hears all of them."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tidewatt_coordinator import replicas
from tidewatt_coordinator.config import parse_config
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.replicas import Replicas
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import Counters, Gauges, Report

_numbers = itertools.count()
STALE_MS = 60_000


def report(device: str, session: str, seq: int) -> Report:
    return Report(
        device=device,
        session=session,
        epoch="e",
        seq=seq,
        at_ms=1000 * seq,
        counters=Counters(energy_mj=seq),
        gauges=Gauges(requests_rps=float(seq)),
    )


class Member:
    """One of them: what it hears, and what it shows."""

    def __init__(self, ledger: Ledger, fleet: str, name: str) -> None:
        self.fleet = Fleet(STALE_MS)
        self.shared = Replicas(ledger, self.fleet, fleet, name)
        self._heard: list[str] = []

    def hear(self, said: Report, now_ms: int) -> None:
        self.fleet.reported(said, now_ms)
        self._heard.append(said.device)

    def far_ahead(self, said: Report, now_ms: int) -> None:
        self.fleet.not_believed(said, now_ms)
        self._heard.append(said.device)

    def merge(self) -> None:
        self.shared.tell(self._heard)
        self._heard = []

    def look(self) -> None:
        self.shared.take(self.shared.look())

    def shown(self) -> dict[str, tuple[int, Report | None, str | None]]:
        return {name: (one.heard_ms, one.report, one.refused) for name, one in self.fleet.known()}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('replicas') / 'l.db'}", 60_000)
    yield ledger
    ledger.close()


class Said(NamedTuple):
    """A device's next word, who hears it, and who merges or looks then."""

    device: str
    restarts: bool
    hearer: int
    merges: frozenset[int]


SAID = st.builds(
    Said,
    st.sampled_from("ab"),
    st.booleans(),
    st.integers(0, 2),
    st.frozensets(st.integers(0, 2)),
)


@settings(max_examples=60)
@given(st.lists(SAID, min_size=1, max_size=25))
def test_all_show_what_one_that_hears_everything_shows(ledger: Ledger, script: list[Said]) -> None:
    fleet = f"f{next(_numbers)}"
    members = [Member(ledger, fleet, f"c{number}") for number in range(3)]
    for member in members:
        member.look()
    whole = Fleet(STALE_MS)
    runs, numbers = dict.fromkeys("ab", 0), dict.fromkeys("ab", 0)
    for now_ms, one in enumerate(script, start=1_000_000):
        runs[one.device] += one.restarts
        numbers[one.device] = 0 if one.restarts else numbers[one.device] + 1
        said = report(one.device, f"run {runs[one.device]}", numbers[one.device])
        whole.reported(said, now_ms)
        members[one.hearer].hear(said, now_ms)
        for number in sorted(one.merges):
            members[number].merge()
            members[number - 1].look()
    for member in members:  # in the order of their names, whatever the order of hearing was
        member.merge()
    expected = {name: (one.heard_ms, one.report, None) for name, one in whole.known()}
    for member in members:
        member.look()
        assert member.shown() == expected
        assert member.fleet.rates(1_000_030) == whole.rates(1_000_030)
    late = Member(ledger, fleet, "who came late")
    late.look()
    assert late.shown() == expected


def test_what_is_older_changes_nothing_whoever_merges_it_last(new_ledger_url: Callable[[], str]) -> None:
    ledger = Ledger(new_ledger_url(), 60_000)
    one, other = Member(ledger, "f", "one"), Member(ledger, "f", "other")
    one.look()
    other.look()
    one.hear(report("a", "s", 5), 1005)
    one.merge()
    other.hear(report("a", "s", 4), 1004)  # merged later, said earlier
    other.merge()
    other.look()
    one.look()
    assert one.shown()["a"] == other.shown()["a"] == (1005, report("a", "s", 5), None)
    assert one.shared.read == 0
    # A clock far ahead is everybody's news, with the last report that was believed.
    one.far_ahead(report("a", "s", 6), 1006)
    one.merge()
    other.look()
    heard_ms, last, refused = other.shown()["a"]
    assert (heard_ms, last) == (1006, report("a", "s", 5))
    assert refused
    assert "ahead" in refused
    other.hear(report("a", "s", 7), 1007)  # it was set right
    other.merge()
    one.look()
    assert one.shown()["a"] == (1007, report("a", "s", 7), None)
    # Another fleet in the same database is another's.
    stranger = Member(ledger, "g", "one")
    stranger.look()
    assert stranger.shown() == {}
    ledger.close()


def test_it_knows_when_it_doesnt_know(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can't read what the others hear must not take their devices for silent."""
    now_s = [100.0]
    monkeypatch.setattr("tidewatt_coordinator.replicas.time.monotonic", lambda: now_s[0])
    shared = Replicas(ledger, Fleet(STALE_MS), "f", "me")
    assert not shared.sees()
    for _ in range(4):
        asyncio.run(shared.turn())
        now_s[0] += 1.0
    assert shared.sees()
    now_s[0] += replicas.BLIND_S
    assert not shared.sees()
    with ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE device_now RENAME TO away"))
    asyncio.run(shared.turn())
    assert (shared.failing, shared.sees()) == (True, False)
    with ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO device_now"))
    asyncio.run(shared.turn())
    assert (shared.failing, shared.sees()) == (False, False), "not before it has looked for a while"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "broker.url"),
        ('[broker]\nurl = "mqtt://b:1883"', "PostgreSQL"),
        ('[broker]\nurl = "mqtt://b:1883"\n[ledger]\nurl = "postgresql+psycopg://u@h/d"', ""),
    ],
)
def test_reports_are_shared_only_where_that_works(more: str, said: str) -> None:
    document = f'[coordinator]\nreplicas = "share"\n{more}'
    if not said:
        assert parse_config(document, name="c").coordinator.replicas == "share"
        return
    with pytest.raises(DocumentError, match=said):
        parse_config(document, name="c")
