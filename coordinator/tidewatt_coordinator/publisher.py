"""MQTT out: the policy set and the dispatch table, retained, again after every reconnect."""

import asyncio
import logging
import math
from collections.abc import Callable

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_coordinator.config import Dispatch
from tidewatt_coordinator.dispatch import weigh
from tidewatt_coordinator.fleet import Fleet
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import DispatchTable, PolicySet
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

RETRY_S = 1.0
#: Real seconds between two tables at the least, however fast virtual time runs.
SHORTEST_PAUSE_S = 0.2


class Publisher:
    """Keeps the broker's retained policy set and dispatch table fresh. `run` never ends by itself."""

    def __init__(
        self,
        broker: tuple[str, int],
        current: Callable[[], PolicySet],
        fleet: Fleet,
        price_per_kwh: float,
        settings: Dispatch,
        clock: Clock,
        may_publish: Callable[[], bool] = lambda: True,
    ) -> None:
        self._broker, self._current, self._fleet = broker, current, fleet
        self._may_publish = may_publish
        self._price_per_kwh, self._settings, self._clock = price_per_kwh, settings, clock
        self.table: DispatchTable | None = None
        """The table last published."""

    def next_table(self) -> DispatchTable:
        """The dispatch table for now; its epoch is above every one before."""
        now_ms = self._clock.now_ms()
        policies = self._current()
        weights = weigh(
            self._fleet.backends(policies, self._price_per_kwh, now_ms),
            self._fleet.demand_rps(now_ms),
            self._settings.fill,
        )
        self.table = DispatchTable(
            fleet=policies.fleet,
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
        host, port = self._broker
        fleet = self._current().fleet
        async with aiomqtt.Client(
            host,
            port,
            protocol=aiomqtt.ProtocolVersion.V5,
            identifier=f"tidewatt-{fleet}-publisher",
        ) as client:
            dispatching = asyncio.create_task(self._dispatch(client, fleet))
            try:
                await self._keep_policy(client, fleet, dispatching)
            finally:
                dispatching.cancel()
                await asyncio.gather(dispatching, return_exceptions=True)

    async def _keep_policy(self, client: aiomqtt.Client, fleet: str, beside: "asyncio.Task[None]") -> None:
        published = 0
        while not beside.done():
            policies = self._current()
            if not self._may_publish():
                published = (
                    0  # whoever publishes now may have published an older one late: say it again after
                )
            elif policies.revision != published:
                topic = str(FleetTopic(fleet, "policy"))
                await client.publish(topic, encode(policies), qos=1, retain=True)
                published = policies.revision
            await asyncio.sleep(SHORTEST_PAUSE_S)
        beside.result()

    async def _dispatch(self, client: aiomqtt.Client, fleet: str) -> None:
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        # The broker forgets a table that nobody should use any more; at the least a second.
        expiry.MessageExpiryInterval = math.ceil(self._clock.real_seconds(self._settings.valid_s))
        pause_s = max(SHORTEST_PAUSE_S, self._clock.real_seconds(self._settings.every_s))
        while True:
            if self._may_publish():
                table = encode(self.next_table())
                topic = str(FleetTopic(fleet, "dispatch"))
                await client.publish(topic, table, qos=1, retain=True, properties=expiry)
            await asyncio.sleep(pause_s)
