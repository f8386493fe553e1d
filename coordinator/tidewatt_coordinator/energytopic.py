"""MQTT out: what energy is worth at each site by the hour, retained."""

import asyncio
import logging
import math

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy import Engine

from tidewatt_coordinator.carbon.intensity import Kind
from tidewatt_coordinator.carbon.store import kept
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.electricity.charges import Place
from tidewatt_coordinator.electricity.files import load_places
from tidewatt_coordinator.electricity.rates import Rate
from tidewatt_coordinator.electricity.worth import AHEAD_MS, BEFORE_MS, steps
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import EnergySignal
from tidewatt_wire.topics import EnergyTopic, check_name

log = logging.getLogger(__name__)

#: Between two looks at tariffs and intensities: prices change on the quarter hour.
LOOK_EVERY_S = 900.0
#: Real seconds between two looks at the least, however fast virtual time runs.
SHORTEST_S = 1.0
#: Real seconds that the broker holds a signal at the least.
SHORTEST_EXPIRY_S = 60.0


class EnergyTopics:
    """Every site's signal. Several coordinators say the same, so any of them may."""

    def __init__(self, config: Config, database: Engine, clock: Clock) -> None:
        self._fleet, self._edge, self._tariff = config.coordinator.fleet, config.edge, config.ledger.tariff
        self._database, self._clock = database, clock

    def signals(self, now_ms: int) -> list[EnergySignal]:
        """The signal of every site whose hours differ. OSError or ValueError for a bad file."""
        if not self._edge.sites:
            return []
        by_site: dict[str, list[Place]] = {}
        for place in load_places(self._edge.sites, self._tariff, {}):
            by_site.setdefault(check_name(place.site.name, "site"), []).append(place)
        found = [self._signal(name, places, now_ms) for name, places in sorted(by_site.items())]
        return [one for one in found if one.steps]

    async def keep(self, client: aiomqtt.Client) -> None:
        """Have the broker hold them; never ends by itself."""
        said: dict[str, object] = {}
        while True:
            wanted = await asyncio.to_thread(self._wanted)
            if wanted is None:  # what was said stands until it expires
                await asyncio.sleep(self._pause_s())
                continue
            for zone in said.keys() - wanted.keys():
                await client.publish(str(EnergyTopic(self._fleet, zone)), b"", qos=1, retain=True)
            for zone, signal in wanted.items():
                if said.get(zone) != _identity(signal):
                    topic = str(EnergyTopic(self._fleet, zone))
                    await client.publish(topic, encode(signal), qos=1, retain=True, properties=self._expiry())
            said = {zone: _identity(signal) for zone, signal in wanted.items()}
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        return max(SHORTEST_S, self._clock.real_seconds(LOOK_EVERY_S))

    def _wanted(self) -> dict[str, EnergySignal] | None:
        try:
            return {one.zone: one for one in self.signals(self._clock.now_ms())}
        except (OSError, ValueError) as error:
            log.error("what energy is worth can't be said: %s", error)  # noqa: TRY400
            return None

    def _signal(self, name: str, places: list[Place], now_ms: int) -> EnergySignal:
        from_ms, to_ms = now_ms - BEFORE_MS, now_ms + AHEAD_MS
        rates: list[Rate] = []
        for place in places:
            start_ms, end_ms = max(from_ms, place.from_ms), min(to_ms, place.to_ms)
            rates += place.clockwork.rates(start_ms, end_ms)
        zone = places[0].site.carbon_zone
        kinds: tuple[Kind, ...] = ("marginal", "average") if zone else ()
        carbon = [one for kind in kinds for one in kept(self._database, zone, kind, from_ms, to_ms)]
        return EnergySignal(
            fleet=self._fleet,
            zone=name,
            issued_at_ms=now_ms,
            expires_at_ms=to_ms,
            steps=steps(rates, carbon, now_ms),
        )

    def _expiry(self) -> Properties:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = math.ceil(
            max(SHORTEST_EXPIRY_S, self._clock.real_seconds(AHEAD_MS / 1000))
        )
        return properties


def _identity(signal: EnergySignal) -> object:
    """What must not change without a new message; twelve hours must not pass without one, either."""
    return signal.steps, signal.issued_at_ms // (AHEAD_MS // 4)
