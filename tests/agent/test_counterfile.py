"""Counters survive restarts and power cuts: never double, never back, at most ten seconds lost."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.counterfile import SAVE_EVERY_S, CounterFile, Kept
from tidewatt_wire.messages import Counters


def kept(energy_mj: int) -> Kept:
    return Kept("e", Counters(energy_mj=energy_mj, mode_ms={"7W": 5}))


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    first = CounterFile(path).load()
    assert first.counters == Counters()
    assert CounterFile(path).load().epoch != first.epoch, "counters that begin anew are a new epoch"
    CounterFile(path).save(kept(7), 0.0)
    assert CounterFile(path).load() == kept(7)
    assert [file.name for file in tmp_path.iterdir()] == ["counters.json"]


def test_it_is_due_every_ten_seconds(tmp_path: Path) -> None:
    file = CounterFile(tmp_path / "c.json")
    assert file.due(100.0)
    file.save(kept(1), 100.0)
    assert not file.due(100.0 + SAVE_EVERY_S - 0.1)
    assert file.due(100.0 + SAVE_EVERY_S)


@given(st.integers(0, 200), st.binary(max_size=20))
@settings(derandomize=True, deadline=None)
def test_a_damaged_file_is_put_aside_and_never_believed_in_part(cut: int, junk: bytes) -> None:
    import tempfile  # noqa: PLC0415 - hypothesis and tmp_path do not mix

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.json"
        CounterFile(path).save(kept(123_456), 0.0)
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
    CounterFile(path).save(kept(1), 0.0)
    path.with_suffix(".new").write_bytes(b'{"epoch":"e","cou')
    assert CounterFile(path).load() == kept(1)
    CounterFile(path).save(kept(2), 1.0)
    assert CounterFile(path).load() == kept(2)


def test_a_disk_that_can_not_be_written_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = CounterFile(tmp_path / "none" / "c.json")
    for second in range(3):
        file.save(kept(second), float(second))
    assert caplog.text.count("can't be written: No such file or directory") == 1
    (tmp_path / "none").mkdir()
    file.save(kept(9), 9.0)
    assert "is written again" in caplog.text
    assert CounterFile(tmp_path / "none" / "c.json").load() == kept(9)


def test_without_a_path_nothing_is_kept() -> None:
    file = CounterFile(None)
    file.save(kept(1), 0.0)
    assert file.load().counters == Counters()
