"""The spool's file: bounded, durable, and in any trouble begun anew or left alone with a reason."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tidewatt_agent.spool import Entry, Spool, SpoolFailedError

MANY = 10**9


def entries(first: int, count: int, epoch: str = "e", size: int = 700) -> list[Entry]:
    return [
        Entry(epoch, at_ms, f"{epoch} {at_ms}".encode().ljust(size)) for at_ms in range(first, first + count)
    ]


def spool_in(folder: Path, max_bytes: int = MANY, device: str = "d") -> Spool:
    return Spool(folder / "spool.db", "f", device, max_bytes)


def times(spool: Spool) -> list[int]:
    return [kept.at_ms for kept in spool.after(0, MANY)]


def test_what_is_kept_comes_back_in_order_until_it_is_sent(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    ids = spool.settle(entries(0, 5), ()).ids
    assert times(spool) == [0, 1, 2, 3, 4]
    assert [kept.at_ms for kept in spool.after(ids[1], 2)] == [2, 3]
    assert spool.settle((), ids[:3]).waiting == 2
    spool.close()
    again = spool_in(tmp_path)
    assert times(again) == [3, 4]
    assert again.settle(entries(9, 1), ids[3:]).ids[0] > ids[-1], "an id is never given twice"
    again.close()


def test_the_file_stays_within_its_bound_and_keeps_every_epochs_end(tmp_path: Path) -> None:
    bound = 300_000
    spool = spool_in(tmp_path, bound)
    thinned = 0
    for batch in range(100):
        settled = spool.settle(entries(batch * 20, 20, epoch=f"e{batch // 30}"), ())
        assert settled.size <= bound
        thinned += settled.thinned
    found = times(spool)
    assert thinned == 2000 - len(found)
    assert {599, 1199, 1799, 1999} <= set(found), "the ends"
    assert {0, 600, 1200, 1800} <= set(found), "and the beginnings"
    assert found[-100:] == list(range(1900, 2000)), "the newest in full"
    assert len(found) > 200, "not more than needed was given up"
    assert (tmp_path / "spool.db").stat().st_size <= bound
    spool.close()


def test_ends_of_epochs_stay_even_beyond_the_bound(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, 20_000)
    spool.settle([one for number in range(50) for one in entries(number, 1, epoch=f"e{number}")], ())
    assert len(times(spool)) == 50
    spool.close()


@pytest.mark.parametrize("damage", ["garbage", "empty_page", "middle", "foreign", "layout"])
def test_a_broken_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    spool = spool_in(tmp_path)
    spool.settle(entries(0, 200), ())
    spool.close()
    path = tmp_path / "spool.db"
    whole = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(b"once a database" * 1000)
    elif damage == "empty_page":
        path.write_bytes(whole[:4096] + bytes(4096) + whole[8192:])
    elif damage == "middle":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        path.unlink()
        other = spool_in(tmp_path, device="another")
        other.settle(entries(0, 1), ())
        other.close()
    else:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version=99")
        database.close()
    again = spool_in(tmp_path)
    settled = again.settle(entries(500, 2), (1, 2))
    assert (settled.waiting, again.set_aside) == (2, 1)
    assert times(again) == [500, 501]
    assert (tmp_path / "spool.db.broken").exists()
    again.close()


def test_a_file_that_breaks_while_it_is_open_is_noticed(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.settle(entries(0, 2000), ())  # more than SQLite holds in memory
    spool.close()
    spool.settle((), ())
    path = tmp_path / "spool.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * (path.stat().st_size - 4096))
    with pytest.raises(SpoolFailedError):
        spool.after(0, MANY)
    assert spool.settle(entries(900, 1), ()).waiting == 1
    assert spool.set_aside == 1
    spool.close()


def test_locked_it_says_so_and_works_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatt_agent.spool.LOCK_S", 0.0)
    spool = spool_in(tmp_path)
    spool.settle(entries(0, 1), ())
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolFailedError, match="locked"):
        spool.settle(entries(1, 1), ())
    other.close()
    assert spool.settle(entries(1, 1), ()).waiting == 2
    assert spool.set_aside == 0
    spool.close()


def test_where_no_file_can_be_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(SpoolFailedError, match="No such file"):
        spool_in(tmp_path / "missing").settle(entries(0, 1), ())
    (tmp_path / "spool.db").mkdir()
    with pytest.raises(SpoolFailedError, match="Is a directory"):
        spool_in(tmp_path).settle(entries(0, 1), ())


#: A process that may write files of so many bytes only: what it meets is what a full disk says.
FULL = """
import resource, signal, sys
from pathlib import Path
from tidewatt_agent.spool import Entry, Spool, SpoolFailedError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), "f", "d", 10**9)
ids = spool.settle([Entry("e", 1, b"x" * 700)], ()).ids
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    spool.settle([Entry("e", n, b"x" * 700) for n in range(2, 1000)], ids)
except SpoolFailedError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
settled = spool.settle([Entry("e", 9, b"y")], ())
print(settled.waiting, [kept.at_ms for kept in spool.after(0, 10)], spool.set_aside)
spool.close()
"""


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "spool.db")], capture_output=True, text=True, check=True
    )
    refusal, after = done.stdout.splitlines()
    assert "full" in refusal or "I/O error" in refusal
    assert after == "2 [1, 9] 0"


#: A process that dies in the middle of its work, without a word.
KILLED = """
import os, sys
from pathlib import Path
from tidewatt_agent.spool import Entry, Spool
spool = Spool(Path(sys.argv[1]), "f", "d", 10**9)
spool.settle([Entry("e", n, b"x" * 700) for n in range(100)], ())
spool._database.execute("BEGIN IMMEDIATE")
spool._database.execute("DELETE FROM report")
os.kill(os.getpid(), 9)
"""


def test_a_death_in_the_middle_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "spool.db")], check=False)
    spool = spool_in(tmp_path)
    assert times(spool) == list(range(100))
    assert oct((tmp_path / "spool.db").stat().st_mode)[-3:] == "600"
    spool.close()
