"""MQTT out: the policy set and the dispatch table, retained, again after every reconnect."""

import asyncio
import hashlib
import logging
import math

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_coordinator.config import Dispatch
from tidewatt_coordinator.connection import Connection
from tidewatt_coordinator.dispatch import weigh
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import DispatchTable, PolicySet, Rule
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

RETRY_S = 1.0
#: Real seconds between two tables at the least, however fast virtual time runs.
SHORTEST_PAUSE_S = 0.2


def policy_set(fleet: str, rules: list[Rule], ledger: Ledger, now_ms: int) -> PolicySet:
    """The policy set of these rules, with a higher revision than before if they changed.

    The revision follows the clock, so that it still rises when the ledger was lost.
    """
    digest = hashlib.sha256(msgspec.json.encode(rules, order="deterministic")).hexdigest()
    revision = int(ledger.fact("policy_revision") or 0)
    if ledger.fact("policy_sha256") != digest or revision == 0:
        revision = max(revision + 1, now_ms // 1000)
        ledger.keep_fact("policy_revision", str(revision))
        ledger.keep_fact("policy_sha256", digest)
    return PolicySet(fleet=fleet, revision=revision, issued_at_ms=now_ms, rules=rules)


class Publisher:
    """Keeps the broker's retained policy set and dispatch table fresh. `run` never ends by itself."""

    def __init__(
        self,
        broker: Connection,
        policies: PolicySet,
        fleet: Fleet,
        price_per_kwh: float,
        settings: Dispatch,
        clock: Clock,
    ) -> None:
        self._broker, self._policies, self._fleet = broker, policies, fleet
        self._price_per_kwh, self._settings, self._clock = price_per_kwh, settings, clock
        self.table: DispatchTable | None = None
        """The table last published."""

    def next_table(self) -> DispatchTable:
        """The dispatch table for now; its epoch is above every one before."""
        now_ms = self._clock.now_ms()
        weights = weigh(
            self._fleet.backends(self._policies, self._price_per_kwh, now_ms),
            self._fleet.demand_rps(now_ms),
            self._settings.fill,
        )
        self.table = DispatchTable(
            fleet=self._policies.fleet,
            epoch=max(now_ms, self.table.epoch + 1 if self.table else 0),
            issued_at_ms=now_ms,
            expires_at_ms=now_ms + round(self._settings.valid_s * 1000),
            weights=weights.parts,
            reason=weights.reason,
        )
        return self.table

    async def run(self) -> None:
        """Publish for ever; ends only by cancellation."""
        while True:
            try:
                await self._one_connection()
            except aiomqtt.MqttError as error:
                log.warning("publisher: %s; trying again in %.0f s", error, RETRY_S)
            await asyncio.sleep(RETRY_S)

    async def _one_connection(self) -> None:
        fleet = self._policies.fleet
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        # The broker forgets a table that nobody should use any more; at the least a second.
        expiry.MessageExpiryInterval = math.ceil(self._clock.real_seconds(self._settings.valid_s))
        pause_s = max(SHORTEST_PAUSE_S, self._clock.real_seconds(self._settings.every_s))
        async with self._broker.client(
            identifier=f"tidewatt-{fleet}-publisher",
        ) as client:
            await client.publish(str(FleetTopic(fleet, "policy")), encode(self._policies), qos=1, retain=True)
            while True:
                table = encode(self.next_table())
                await client.publish(
                    str(FleetTopic(fleet, "dispatch")), table, qos=1, retain=True, properties=expiry
                )
                await asyncio.sleep(pause_s)
