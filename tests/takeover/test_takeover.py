"""`make takeover`: the holder of the lease dies, with the times that are shipped, and the tables grow newer.

Apart from the suite, as each death costs a lease of ten seconds.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from tests.actuators import wait_for
from tests.databases import Postgres
from tests.fleets import Fleet, fleet_of
from tests.processes import Process
from tests.watchers import FLEET
from tests.world import Mosquitto

#: What is promised.
MOST_S = 15.0
DEATHS = 4


@pytest.fixture
def shared(mosquitto: Mosquitto, tmp_path: Path, postgres: Postgres) -> Iterator[Fleet]:
    with fleet_of(mosquitto, tmp_path, postgres.database("takeover")) as fleet:
        yield fleet


def begin(fleet: Fleet, name: str) -> Process:
    """A coordinator with nothing about its lease in its configuration."""
    listen = f"127.0.0.1:{fleet.port(name)}"
    return fleet.coordinator(name, coordinator={"fleet": FLEET, "name": name, "listen": listen})


def holds(fleet: Fleet, name: str) -> bool:
    return fleet.value(name, "tidewatt_policy_lease_held") == 1


def lost(fleet: Fleet, name: str) -> bool:
    return not holds(fleet, name)


def sees(fleet: Fleet, name: str, devices: int) -> bool:
    return bool(json.loads(fleet.get(name, "/v1/fleet"))["online"] == devices)


def newer(url: str) -> int:
    """What the next version's migration may do, all of it: more columns everywhere, and a table."""
    engine = create_engine(url)
    with engine.begin() as connection:
        # A partition's columns are its table's.
        found = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        found += " AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
        names = [str(name) for (name,) in connection.execute(text(found))]
        for name in names:
            connection.execute(text(f'ALTER TABLE "{name}" ADD COLUMN tomorrow_text TEXT'))
            column = "tomorrow_number BIGINT NOT NULL DEFAULT 7"
            connection.execute(text(f'ALTER TABLE "{name}" ADD COLUMN {column}'))
        connection.execute(text("CREATE TABLE tomorrow (id BIGINT PRIMARY KEY)"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    return len(names)


def test_the_other_takes_over_in_time_also_on_tomorrows_tables(shared: Fleet) -> None:
    """Killed and stopped holders in turn; halfway another version's migration goes through."""
    processes = {name: begin(shared, name) for name in ("east", "west")}
    agents = [shared.agent("d1"), shared.agent("d2")]
    for name in processes:
        shared.until_up(name)
    shared.until_applied("d1", "d2", promise_ms=60.0)
    taken = []
    for death in range(DEATHS):
        if death == DEATHS // 2:
            sys.stdout.write(f"\n{newer(shared.url)} tables are tomorrow's now\n")
        holder, other = ("east", "west") if holds(shared, "east") else ("west", "east")
        wait_for(partial(holds, shared, holder), "one that holds the lease")
        wait_for(partial(sees, shared, other, 2), "both devices")
        died_s = time.monotonic()
        if death % 2:
            processes[holder].signal(signal.SIGSTOP)
        else:
            processes[holder].kill()
        wait_for(partial(holds, shared, other), "the other to hold the lease")
        taken.append(time.monotonic() - died_s)
        sys.stdout.write(f"{'stopped' if death % 2 else 'killed'}: {taken[-1]:.1f} s\n")
        promise = 40.0 + death
        shared.ask("policy", "apply", shared.document(promise), "--now")
        shared.until_applied("d1", "d2", promise_ms=promise)
        if death % 2:
            processes[holder].signal(signal.SIGCONT)
            wait_for(partial(lost, shared, holder), "the late one to see that it is late")
        else:
            processes[holder] = begin(shared, holder)
            shared.until_up(holder)
    revisions = [one.revision for one in shared.watcher.sets()]
    assert revisions == sorted(revisions)
    for agent in agents:
        agent.stop()
    for device in ("d1", "d2"):
        shared.until_in_ledger(device)
    for process in processes.values():
        process.stop()
    assert max(taken) <= MOST_S, taken
