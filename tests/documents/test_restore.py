"""A backup is restored with the very lines of docs/operate.md, and one more report makes the ledger whole."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import Postgres, postgres_programs
from tests.documents.blocks import blocks, commands, is_shell

from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.messages import Counters, Gauges, Report, Verdict

PAGE = "docs/operate.md"
STATE = "/var/lib/tidewatt-coordinator"
#: Who gets what root puts back; who isn't root can only give it to himself.
OWNER = (65534, 65534) if os.getuid() == 0 else (os.getuid(), os.getgid())
DAY_MS = 1_795_000_000_000


def lines(*begins: str) -> list[str]:
    """Of the page: those that begin so, in its order."""
    typed = [one.text for block in blocks(PAGE) if is_shell(block) for one in commands(block)]
    found = [one for one in typed if one.startswith(begins)]
    assert len(found) >= len(begins)
    return found


def report(seq: int) -> Report:
    """The device's counters at that minute: they only rise."""
    counters = Counters(energy_mj=seq * 600_000, requests=seq * 300, mode_ms={"15W": seq * 60_000})
    return Report(
        device="jetson-17",
        session="s",
        epoch="e",
        seq=seq,
        at_ms=DAY_MS + seq * 60_000,
        counters=counters,
        gauges=Gauges(point="15W", watts=10.0),
        verdict=Verdict(point="15W", rule="cheapest", reason="", outcome="unchanged"),
    )


def take(url: str, *numbers: int) -> None:
    with contextlib.closing(Ledger(url, 300_000)) as ledger:
        ledger.take([report(seq) for seq in numbers])


def energy_mj(url: str) -> int:
    with contextlib.closing(Ledger(url, 300_000)) as ledger:
        (total,) = ledger.totals()
        return total.values[0]


def shell(line: str, folder: Path, path: str = "") -> None:
    environment = os.environ | {"PATH": f"{path}:{os.environ['PATH']}"}
    line = line.replace("sudo ", "").replace(STATE, str(folder / "state"))
    line = line.replace("-o tidewatt-coordinator -g tidewatt-coordinator", "-o {} -g {}".format(*OWNER))
    line = line.replace("tidewatt-coordinator:tidewatt-coordinator", "{}:{}".format(*OWNER))
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def judged(url: str) -> None:
    """What the page says of a restored ledger, of which minutes 6 to 9 were lost."""
    assert energy_mj(url) == 5 * 600_000
    with contextlib.closing(Ledger(url, 300_000)) as ledger:
        assert Trail(ledger.engine).verify()[1] is None
    take(url, 4, 5)  # a spool's replay: counted already
    assert energy_mj(url) == 5 * 600_000
    take(url, 10)  # the next report of a board that was never told of all this
    assert energy_mj(url) == 10 * 600_000


def test_sqlite(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    database = tmp_path / "state/tidewatt.db"
    url = f"sqlite:///{database}"
    with contextlib.closing(Ledger(url, 300_000)) as running:  # a coordinator has it open all the while
        running.take([report(seq) for seq in range(1, 6)])
        Trail(running.engine).record("policy", "f", after="before the backup")
        for line in lines("mkdir -p -m 700 backup", "sudo sqlite3 "):
            shell(line, tmp_path)
        running.take([report(seq) for seq in range(6, 10)])
    for line in lines("sudo rm -f ", "sudo install -o tidewatt-coordinator "):
        shell(line, tmp_path)
    found = database.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*OWNER, 0o600)
    judged(url)


def test_keys(tmp_path: Path) -> None:
    """The folders come back as the service's user's, each file as closed as it was."""
    kept = {"pki/ca.key": 0o600, "pki/ca.crt": 0o644, "policy-keys/a.key": 0o600}
    for name, mode in kept.items():
        path = tmp_path / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    for line in lines("mkdir -p -m 700 backup", "sudo tar -czf "):
        shell(line, tmp_path)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").mkdir()
    for line in lines("sudo tar -xzf ", "sudo chown "):
        shell(line, tmp_path)
    for name, mode in kept.items():
        found = (tmp_path / "state" / name).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*OWNER, mode)


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL: sudo apt install --no-install-recommends postgresql")
    server = Postgres(programs, tmp_path_factory.mktemp("restored"))
    server.start()
    try:
        yield server
    finally:
        sys.stdout.write(server.log())  # shown where the test failed
        server.stop()


def test_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.database("tidewatt")
    take(url, *range(1, 6))
    with contextlib.closing(Ledger(url, 300_000)) as ledger:
        Trail(ledger.engine).record("policy", "f", after="before the backup")
    (dump,) = lines("pg_dump ")
    programs, here = str(postgres_programs()), f"127.0.0.1 --port {postgres.port}"

    def typed(line: str, database: str) -> None:
        line = line.replace("@db.example/tidewatt", f"@127.0.0.1:{postgres.port}/{database}")
        line = line.replace("--host db.example", f"--host {here}")
        shell(line, tmp_path, programs)

    typed(dump, "tidewatt")
    take(url, *range(6, 10))
    shell(f"dropdb --host {here} --username tidewatt tidewatt", tmp_path, programs)
    for line in lines("createdb ", "pg_restore "):
        typed(line, "tidewatt")
    judged(url)
