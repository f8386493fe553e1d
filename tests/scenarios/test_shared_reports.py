"""Two coordinators on one PostgreSQL share the reports: both show all, one is killed, nothing is lost."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.actuators import wait_for
from tests.databases import Postgres
from tests.fleets import LEASE_S, Fleet, fleet_of
from tests.world import Mosquitto

DEVICES = {"d1", "d2", "d3"}


@pytest.fixture
def shared(mosquitto: Mosquitto, tmp_path: Path, postgres: Postgres) -> Iterator[Fleet]:
    with fleet_of(mosquitto, tmp_path, postgres.database("shared")) as fleet:
        yield fleet


def taken(fleet: Fleet, name: str) -> int:
    """Reports that one of them took."""
    found = re.search(r'tidewatt_ingest_messages_total\{kind="report"\} ([\d.]+)', fleet.page(name))
    return int(float(found[1])) if found else 0


def reported(fleet: Fleet, name: str) -> set[str]:
    """The devices that are online and have reported, by one of them."""
    page = fleet.get(name, "/v1/fleet")
    devices = json.loads(page)["devices"] if page else []
    return {
        one["device"] for one in devices if one["status"] == "online" and one["reported_at_ms"] is not None
    }


def test_they_share_the_reports_and_one_is_killed(shared: Fleet) -> None:
    fleet = shared
    both = {}
    for name in ("east", "west"):
        both[name] = fleet.coordinator(name, replicas="share")
        fleet.until_up(name)
    agents = [fleet.agent(device) for device in DEVICES]
    fleet.until_applied(*DEVICES)
    for name in both:
        wait_for(lambda: reported(fleet, name) == DEVICES, f"{name} to show all")  # noqa: B023
        wait_for(lambda: taken(fleet, name) >= 4, f"{name} to take its part")  # noqa: B023

    # Each took a part: together no more than all, though both show all.
    wait_for(lambda: fleet.get("east", "/v1/dispatch") or fleet.get("west", "/v1/dispatch"), "a table")
    holder = "east" if fleet.get("east", "/v1/dispatch") else "west"
    other = "west" if holder == "east" else "east"
    both[holder].kill()
    killed_s = time.monotonic()
    wait_for(lambda: fleet.get(other, "/v1/dispatch"), "the other to publish")
    assert time.monotonic() - killed_s < LEASE_S + 8.0, "the lease, a tick, and a busy machine"
    wait_for(lambda: reported(fleet, other) == DEVICES, "the other to hear all by itself")

    # The one that comes back shows all at once, and the ledger has what was counted, to the millijoule.
    both[holder] = fleet.coordinator(holder, replicas="share")
    fleet.until_up(holder)
    wait_for(lambda: reported(fleet, holder) == DEVICES, f"{holder} to show all again")
    for agent in agents:
        agent.stop()
    for device in DEVICES:
        fleet.until_in_ledger(device)
    for process in both.values():
        process.stop()
