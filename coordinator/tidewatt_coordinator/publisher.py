"""MQTT out: the policy set and the dispatch table, retained, again after every reconnect."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import aiomqtt
import msgspec

from tidewatt_coordinator.dispatchtopic import DispatchTopic
from tidewatt_coordinator.energytopic import EnergyTopics
from tidewatt_coordinator.hinting.topic import PlanTopics
from tidewatt_coordinator.models.folder import ModelFolder, Offered
from tidewatt_coordinator.policytopic import PolicyTopic
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import DispatchTable, Model, PolicySet
from tidewatt_wire.signing import Signer
from tidewatt_wire.topics import ModelTopic

log = logging.getLogger(__name__)

RETRY_S = 1.0
#: Real seconds between two looks at the folder of models.
MODELS_EVERY_S = 1.0


class Publisher:
    """Keeps the broker's retained policy set and dispatch table fresh. `run` never ends by itself."""

    def __init__(
        self,
        broker: Connection,
        current: Callable[[], PolicySet],
        steering: Steering,
        clock: Clock,
        may_publish: Callable[[], bool] = lambda: True,
        signers: Callable[[], Sequence[Signer]] = tuple,
        models: ModelFolder | None = None,
        name: str = "one",
        energy: EnergyTopics | None = None,
        plans: PlanTopics | None = None,
    ) -> None:
        """`signers`: the keys to sign with, asked at every look; with none nothing is published."""
        self._broker, self._current = broker, current
        self._may_publish, self._models, self._name = may_publish, models, name
        self._energy, self._plans, self._steering = energy, plans, steering
        self.policy = PolicyTopic(current, may_publish, signers)
        self._dispatch = DispatchTopic(steering, clock, may_publish, signers)

    @property
    def table(self) -> DispatchTable | None:
        """The table last published."""
        return self._steering.last.message if self._steering.last else None

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
                self._dispatch.keep(client, fleet),
                self.policy.keep(client, fleet),
                self.policy.listen(client),
                self._keep_models(client, fleet),
                *([self._energy.keep(client)] if self._energy else []),
                *([self._plans.keep(client)] if self._plans else []),
            ]
            tasks = [asyncio.create_task(work) for work in works]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await ended(*tasks)

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


def _look(models: ModelFolder | None) -> tuple[list[Offered], list[Model]]:
    """The models to be offered, and those to be cleared away."""
    if models is None:
        return [], []
    try:
        return models.offered(), models.gone()
    except (OSError, ValueError, msgspec.DecodeError) as error:
        log.error("models can't be offered: %s", error)  # noqa: TRY400
        return [], []
