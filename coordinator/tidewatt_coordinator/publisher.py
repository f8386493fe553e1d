"""MQTT out: the policy set and the dispatch table, retained, again after every reconnect."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_coordinator.config import Dispatch
from tidewatt_coordinator.connection import Connection
from tidewatt_coordinator.dispatch import weigh
from tidewatt_coordinator.energytopic import EnergyTopics
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.models.folder import ModelFolder, Offered
from tidewatt_coordinator.policytopic import PolicyTopic
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import DispatchTable, Model, PolicySet
from tidewatt_wire.signing import Signer
from tidewatt_wire.topics import FleetTopic, ModelTopic

log = logging.getLogger(__name__)

RETRY_S = 1.0
#: Real seconds between two tables at the least, however fast virtual time runs.
SHORTEST_PAUSE_S = 0.2
#: Real seconds between two looks at the folder of models.
MODELS_EVERY_S = 1.0


class Publisher:
    """Keeps the broker's retained policy set and dispatch table fresh. `run` never ends by itself."""

    def __init__(
        self,
        broker: Connection,
        current: Callable[[], PolicySet],
        fleet: Fleet,
        price_per_kwh: float,
        settings: Dispatch,
        clock: Clock,
        may_publish: Callable[[], bool] = lambda: True,
        signers: Callable[[], Sequence[Signer]] = tuple,
        models: ModelFolder | None = None,
        name: str = "one",
        energy: EnergyTopics | None = None,
    ) -> None:
        """`signers`: the keys to sign policy sets with, asked at every look; with none none is published."""
        self._broker, self._current, self._fleet = broker, current, fleet
        self._may_publish, self._models, self._name = may_publish, models, name
        self._energy = energy
        self.policy = PolicyTopic(current, may_publish, signers)
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
        fleet = self._current().fleet
        async with self._broker.client(
            identifier=f"tidewatt-{fleet}-publisher-{self._name}",
        ) as client:
            works = [
                self._dispatch(client, fleet),
                self.policy.keep(client, fleet),
                self.policy.listen(client),
                self._keep_models(client, fleet),
                *([self._energy.keep(client)] if self._energy else []),
            ]
            tasks = [asyncio.create_task(work) for work in works]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_models(self, client: aiomqtt.Client, fleet: str) -> None:
        """Have the broker hold the chunks of every model that is offered, and of none that was removed."""
        done: set[tuple[bool, str]] = set()
        while True:
            offered, gone = await asyncio.to_thread(_look, self._models if self._may_publish() else None)
            for one in [*offered, *(Offered(model, b"") for model in gone)]:
                held = bool(one.content), one.model.sha256
                if held not in done:
                    done = (done - {(not held[0], held[1])}) | {held}
                    for index in range(one.model.chunks):
                        topic = str(ModelTopic(fleet, one.model.sha256, index))
                        await client.publish(topic, one.chunk(index), qos=1, retain=True)
            await asyncio.sleep(MODELS_EVERY_S)

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


def _look(models: ModelFolder | None) -> tuple[list[Offered], list[Model]]:
    """The models to be offered, and those to be cleared away."""
    if models is None:
        return [], []
    try:
        return models.offered(), models.gone()
    except (OSError, ValueError, msgspec.DecodeError) as error:
        log.error("models can't be offered: %s", error)  # noqa: TRY400
        return [], []
