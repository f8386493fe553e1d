"""A site's tariff reaches the decisions of its boards: file, coordinator, broker, link, signals."""

import asyncio
from pathlib import Path

import aiomqtt
from tests.world import HandClock, Mosquitto, until

from tidewatt_agent.link import Link
from tidewatt_agent.signals import Signals, Worth
from tidewatt_coordinator.config import Config, Coordinator, Edge
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.energytopic import EnergyTopics
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.messages import Birth

MIDNIGHT_MS = 1_795_219_200_000
TARIFF = """
name = "night"
currency = "EUR"
price_per_kwh = "0.30"
valid_from = 2026-01-01
source = "test"
[[window]]
from = "22:00"
to = "06:00"
price_per_kwh = "0.10"
"""


async def ignore_policy(_payload: bytes) -> None:
    """No policy is published here."""


async def test_a_board_knows_what_its_sites_energy_is_worth_while_its_policy_names_the_site(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    (tmp_path / "night.toml").write_text(TARIFF)
    (tmp_path / "sites.toml").write_text('[[site]]\nname = "roof"\ntariff = "night.toml"\n')
    config = Config(coordinator=Coordinator(fleet="f"), edge=Edge(sites=str(tmp_path / "sites.toml")))
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db", 300_000)
    clock = HandClock(MIDNIGHT_MS)
    zone: list[str] = []
    signals = Signals("f", lambda: zone[0] if zone else None)
    birth = Birth(device="d1", session="s", epoch="e", at_ms=1, version="0", board="b", control="observe")
    broker = Connection("mqtt://{}:{}".format(*mosquitto.address))
    link = Link(broker, "f", lambda: birth, ignore_policy, on_signal=signals.take)
    async with aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        works = [link.run(), EnergyTopics(config, ledger.engine, clock).keep(client)]
        tasks = [asyncio.create_task(work) for work in works]
        await until(lambda: link.connected)
        assert signals.at(MIDNIGHT_MS) == Worth()
        zone.append("roof")
        link.follow(signals.topics)
        await until(lambda: signals.at(MIDNIGHT_MS) != Worth())
        # A mean of 0.2333: the night is worth 0.429 of it, the day 1.286, and in two days nobody knows.
        hours = {hour: signals.at(MIDNIGHT_MS + hour * HOUR_MS).price for hour in (0, 5, 6, 21, 22, 47, 48)}
        assert hours == {0: 0.429, 5: 0.429, 6: 1.286, 21: 1.286, 22: 0.429, 47: 0.429, 48: 1.0}
        await ended(*tasks)
    ledger.close()
