"""Counters survive restarts and power cuts: never double, never back, at most ten seconds lost."""

import errno
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.counterfile import SAVE_EVERY_S, CounterFile, Kept
from tidewatt_agent.farewells import AGAIN_S, MOST, MOST_HEARD, Farewell, Farewells
from tidewatt_link import durable
from tidewatt_wire.messages import Counters, Gauges, Report, Verdict


def kept(energy_mj: int) -> Kept:
    return Kept("e", Counters(energy_mj=energy_mj, mode_ms={"7W": 5}))


def report(energy_mj: int) -> Report:
    return Report(
        device="d", session="s", epoch="e", seq=1, at_ms=1, counters=kept(energy_mj).counters, gauges=Gauges()
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    first = CounterFile(path).load()
    assert first.counters == Counters()
    assert CounterFile(path).load().epoch != first.epoch, "counters that begin anew are a new epoch"
    CounterFile(path).keep(report(7), 0.0)
    assert CounterFile(path).load() == kept(7)
    assert [file.name for file in tmp_path.iterdir()] == ["counters.json"]


def test_it_is_due_every_ten_seconds(tmp_path: Path) -> None:
    file = CounterFile(tmp_path / "c.json")
    assert file.due(100.0)
    file.keep(report(1), 100.0)
    assert not file.due(100.0 + SAVE_EVERY_S - 0.1)
    assert file.due(100.0 + SAVE_EVERY_S)


@given(st.integers(0, 200), st.binary(max_size=20))
def test_a_damaged_file_is_put_aside_and_never_believed_in_part(cut: int, junk: bytes) -> None:
    import tempfile  # noqa: PLC0415 - hypothesis and tmp_path do not mix

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.json"
        CounterFile(path).keep(report(123_456), 0.0)
        whole = path.read_bytes()
        damaged = whole[:cut] + junk
        path.write_bytes(damaged)
        loaded = CounterFile(path).load()
        if loaded.epoch == "e":
            assert loaded.counters.energy_mj >= 0
            assert damaged.strip() == whole, "only the whole file is the file"
        else:
            assert loaded.counters == Counters()
            assert path.with_suffix(".unreadable").read_bytes() == damaged


def test_a_power_cut_before_the_rename_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    CounterFile(path).keep(report(1), 0.0)
    path.with_suffix(".new").write_bytes(b'{"epoch":"e","cou')
    assert CounterFile(path).load() == kept(1)
    CounterFile(path).keep(report(2), 1.0)
    assert CounterFile(path).load() == kept(2)


def test_on_a_failing_disk_nothing_is_hidden_or_told_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    file = CounterFile(folder / "c.json")
    told = [file.keep(report(1000), 0.0)]
    folder.rename(tmp_path / "gone")  # the disk is away
    told += [file.keep(report(energy_mj), 1.0) for energy_mj in (1500, 1800)]
    (tmp_path / "gone").rename(folder)  # and back
    told.append(file.keep(report(2000), 2.0))
    assert caplog.text.count("can't be written: No such file or directory") == 1

    restarted = CounterFile(folder / "c.json")
    found = restarted.load()
    assert found.epoch == told[-1].epoch != "e", "kept is what was told since the disk failed"
    assert found.counters.energy_mj == 1000
    told.append(restarted.keep(msgspec.structs.replace(report(1000 + 70), epoch=found.epoch), 3.0))

    # What the ledger makes of it: the greatest counter of every epoch, summed.
    ledger: dict[str, int] = {}
    for one in told:
        ledger[one.epoch] = max(ledger.get(one.epoch, 0), one.counters.energy_mj)
    assert sum(ledger.values()) == 2000 + 70


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1000),
            st.sampled_from(["works", "fails", "restart", "killed"]),
            st.sampled_from(["told", "lost", "kept"]),
        ),
        max_size=20,
    )
)
@settings(max_examples=200)
def test_whatever_the_disk_does_the_ledger_has_all_that_was_told_or_kept(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, str]]
) -> None:
    """Not all that is kept is told, as the file is written more often; what is told may get lost."""
    folder = tmp_path_factory.mktemp("disk")
    state, away = folder / "state", folder / "away"
    state.mkdir()
    file = CounterFile(state / "c.json")
    epoch, total = file.load().epoch, 0
    ledger: dict[str, int] = {}
    counted = 0

    def keep(what: str, now_s: float = 0.0) -> None:
        told = file.keep(msgspec.structs.replace(report(total), epoch=epoch), 0.0)
        for one in (*file.owed(now_s), told) if what != "kept" else ():
            if what == "told":
                ledger[one.epoch] = max(ledger.get(one.epoch, 0), one.counters.energy_mj)

    for more, what, tell in steps:
        if what in ("restart", "killed"):
            # A clean stop on a disk that works: the last report was kept and told, or lost. A kill: kept at
            # best; what was counted on a bad disk dies with the process that didn't tell it.
            if away.exists():
                away.rename(state)
            keep("told" if file._failing or what == "restart" else tell)
            file = CounterFile(state / "c.json")
            found = file.load()
            epoch, total = found.epoch, found.counters.energy_mj
        elif what == "fails" and state.exists():
            state.rename(away)
        elif what == "works" and away.exists():
            away.rename(state)
        total, counted = total + more, counted + more
        keep(tell)
    if away.exists():
        away.rename(state)
    keep("told", math.inf)
    assert sum(ledger.values()) == counted


def test_without_a_path_nothing_is_kept() -> None:
    file = CounterFile(None)
    file.keep(report(1), 0.0)
    assert file.load().counters == Counters()


def test_an_epochs_last_report_is_told_at_growing_distances_and_then_no_more() -> None:
    farewells, tellings = Farewells([Farewell(report(7))]), list[float]()
    for now_s in range(0, 200_000, 10):
        tellings += [float(now_s)] * len(farewells.due(now_s))
    assert tellings == [sum(AGAIN_S[:times]) for times in range(len(AGAIN_S) + 1)]
    assert farewells.kept == ()


def test_without_a_broker_it_waits_once_and_is_told_again_when_there_is_one() -> None:
    """Six of it in the spool would leave together, to a broker whose coordinators aren't back yet."""
    farewells = Farewells([Farewell(report(7))])
    away = [now_s for now_s in range(0, 200_000, 10) if farewells.due(now_s, heard=False)]
    assert away == [0]
    assert farewells.due(math.inf, heard=False) == []
    back = [now_s - 200_000 for now_s in range(200_000, 400_000, 10) if farewells.due(now_s)]
    assert back == [sum(AGAIN_S[1:times]) for times in range(1, len(AGAIN_S) + 1)]


def test_a_board_that_is_started_each_day_tells_it_so_often_and_no_more() -> None:
    kept: tuple[Farewell, ...] = (Farewell(report(7)),)
    told = 0
    for day in range(40):
        farewells = Farewells(kept)
        heard = day >= 10  # before there is no broker, and that counts for nothing
        told += heard * sum(len(farewells.due(now_s, heard=heard)) for now_s in range(0, 50_000, 10))
        kept = farewells.kept
        assert kept or heard
    assert (told, kept) == (MOST_HEARD, ())


def test_whoever_ends_tells_all_of_them_and_who_begins_tells_them_anew(tmp_path: Path) -> None:
    state, away = tmp_path / "state", tmp_path / "away"
    state.mkdir()
    file = CounterFile(state / "c.json")
    file.keep(report(1000), 0.0)
    state.rename(away)
    file.keep(report(1500), 1.0)
    away.rename(state)
    file.keep(report(2000), 2.0)
    assert [one.counters.energy_mj for one in file.owed(2.0)] == [1000]
    assert file.owed(3.0) == [], "not at every report"
    assert [one.counters.energy_mj for one in file.owed(math.inf)] == [1000], "there is no later"
    after = CounterFile(state / "c.json")
    after.load()
    assert [(one.epoch, one.counters.energy_mj) for one in after.owed(0.0)] == [("e", 1000)]


def test_what_was_replaced_on_a_disk_that_fails_right_after_is_not_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    file = CounterFile(tmp_path / "c.json")
    told = [file.keep(report(1000), 0.0)]
    monkeypatch.setattr(durable, "sync_folder", broken)
    told.append(file.keep(report(1500), 1.0))
    told += file.owed(1.0)
    monkeypatch.undo()  # and it is killed here
    after = CounterFile(tmp_path / "c.json")
    found = after.load()
    told.append(
        after.keep(msgspec.structs.replace(report(0), epoch=found.epoch, counters=found.counters), 2.0)
    )
    ledger: dict[str, int] = {}
    for one in told:
        ledger[one.epoch] = max(ledger.get(one.epoch, 0), one.counters.energy_mj)
    assert sum(ledger.values()) == 1500


def test_last_reports_that_another_version_kept_cost_no_counters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.json"
    strange = {
        "epoch": "f",
        "counters": {"energy_mj": 7},
        "farewells": [{"verdict": {"outcome": "unheard of"}}],
    }
    path.write_bytes(msgspec.json.encode(strange))
    assert CounterFile(path).load() == Kept("f", Counters(energy_mj=7))
    assert "can't be read" in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_a_last_report_says_what_was_counted_and_not_how_the_board_stood(tmp_path: Path) -> None:
    """It lies on a card that is written every ten seconds."""
    state, away = tmp_path / "state", tmp_path / "away"
    state.mkdir()
    file = CounterFile(state / "c.json")
    verdict = Verdict(point="7W", rule="demand", reason="10 requests/s are asked for", outcome="applied")
    full = msgspec.structs.replace(report(1000), gauges=Gauges(point="7W", watts=5.0), verdict=verdict)
    file.keep(full, 0.0)
    state.rename(away)
    told = file.keep(msgspec.structs.replace(full, counters=kept(1500).counters), 1.0)
    assert file.owed(1.0) == [report(1000)]
    assert (told.gauges, told.verdict) == (full.gauges, full.verdict)


def test_of_a_disk_that_fails_by_the_minute_the_newest_ends_are_kept() -> None:
    farewells = Farewells()
    for energy_mj in range(MOST + 5):
        farewells.add(report(energy_mj))
    assert [one.counters.energy_mj for one in farewells.due(0.0)] == list(range(5, MOST + 5))
