"""`make network-trial`: a device behind a cable that loses, narrows, and is pulled; nothing is lost by it.

Apart from the suite, as it needs root and each fault lasts longer than a broker's patience.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.actuators import wait_for
from tests.fleets import Fleet, fleet_of
from tests.network.namespace import Namespace
from tests.world import Mosquitto

from tidewatt_agent.link import KEEPALIVE_S

#: Real seconds that a fault lasts: longer than the broker waits for a silent client before it says its will.
LASTS_S = 2.0 * KEEPALIVE_S
#: And a device may take so long to be back, as TCP and the agent wait longer after each try in vain.
HEALED_S = 120.0
#: Of the packets; what is left of a line on which nobody would work any more.
LOST = 0.3

FAULTS: dict[str, Callable[[Namespace], AbstractContextManager[None]]] = {
    "three packets in ten are lost": lambda net: net.losing(LOST),
    "32 kbit a second": Namespace.thin,
    "the cable is out": Namespace.pulled,
    "heard, and hears nothing": Namespace.deaf,
    "hears, and is not heard": lambda net: net.losing(1.0, ("OUTPUT",)),
}


@pytest.fixture
def net() -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("a network of its own needs root")
    made = Namespace()
    try:
        made.lay()
        yield made
    finally:
        made.remove()


@pytest.fixture
def fleet(mosquitto: Mosquitto, net: Namespace, tmp_path: Path) -> Iterator[Fleet]:
    mosquitto.kill()
    mosquitto.settings = f"listener {mosquitto.port} {net.here}\nallow_anonymous true\n"
    mosquitto.start()
    with fleet_of(mosquitto, tmp_path) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_on_a_bad_line(fleet: Fleet, net: Namespace, fault: str) -> None:
    fleet.coordinator()
    fleet.until_up("east")
    away = f"mqtt://{net.here}:{fleet.broker.port}"
    agent = fleet.agent("d1", broker=away, before=net.within)
    fleet.until_applied("d1", promise_ms=60.0)
    begun = fleet.ledgers("d1").get("energy_mj", 0)
    with FAULTS[fault](net):
        until_s = time.monotonic() + LASTS_S
        fleet.ask("policy", "apply", fleet.document(41.0), "--now")
        ticks = fleet.ticks("d1")
        wait_for(lambda: time.monotonic() > until_s, "the fault's end")
        assert fleet.ticks("d1") > ticks + LASTS_S, "it decides on, whoever hears it"
    healed_s = time.monotonic()
    revision = fleet.standing.revision
    wait_for(lambda: fleet.watcher.answer("d1") == ("applied", revision), "the policy to arrive", HEALED_S)
    sys.stdout.write(f"\n{fault}: the policy is applied {time.monotonic() - healed_s:.1f} s after the end\n")
    assert fleet.promise("d1") == 41.0
    agent.stop()
    fleet.until_in_ledger("d1")
    assert fleet.ledgers("d1")["energy_mj"] > begun
