"""Whether a coordinator is there, kept true on the fleet's state topic (retained).

Online by its own word; stopped by its own word; lost by the broker's, its last will. Where several
coordinators serve one fleet, the will of one that died must not bury the one that lives: each
answers another's `stopped` or `lost` with its own `online`. One session is one connection.
"""

import asyncio
import logging
import uuid
from typing import Literal

import aiomqtt

from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import Refused, decode, encode
from tidewatt_wire.messages import CoordinatorState
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

RETRY_S = 1.0
#: The broker misses a coordinator that died without a word after one and a half of it.
KEEPALIVE_S = 15
#: Real seconds that the goodbye may wait for a broker that may be gone.
GOODBYE_S = 2.0


def answers(own_session: str, payload: bytes) -> bool:
    """Whether what stands on the topic must be answered by a coordinator that lives."""
    try:
        said = decode(CoordinatorState, payload)
    except Refused as error:
        # Retained nonsense would mislead every device that connects.
        log.warning("coordinator state: %s; answering it", error)
        return True
    return said.session != own_session and said.state != "online"


class Presence:
    """Says that this coordinator is there. `run` never ends by itself, and cancelled says goodbye."""

    def __init__(self, broker: Connection, fleet: str, clock: Clock) -> None:
        self._broker, self._fleet, self._clock = broker, fleet, clock
        self._topic = str(FleetTopic(fleet, "state"))
        self._leaving = False
        self.connected = False
        self.answered = 0
        """Times that another's end was answered."""

    async def run(self) -> None:
        """Be there for ever; ends only by cancellation."""
        while True:
            try:
                await self._one_connection(uuid.uuid4().hex)
            except aiomqtt.MqttError as error:
                if self._leaving:  # the goodbye failed, but gone we are
                    raise asyncio.CancelledError from error
                log.warning("presence: %s; trying again in %.0f s", error, RETRY_S)
            finally:
                self.connected = False
            await asyncio.sleep(RETRY_S)

    async def _one_connection(self, session: str) -> None:
        async with self._broker.client(
            # Two coordinators must not take each other's place at the broker.
            identifier=f"tidewatt-{self._fleet}-presence-{session[:8]}",
            keepalive=KEEPALIVE_S,
            will=aiomqtt.Will(self._topic, self._state(session, "lost"), qos=1, retain=True),
        ) as client:
            try:
                await client.publish(self._topic, self._state(session, "online"), qos=1, retain=True)
                await client.subscribe(self._topic, qos=1)
                self.connected = True
                await self._stand(client, session)
            except asyncio.CancelledError:
                self._leaving = True
                goodbye = self._state(session, "stopped")
                await client.publish(self._topic, goodbye, qos=1, retain=True, timeout=GOODBYE_S)
                raise

    async def _stand(self, client: aiomqtt.Client, session: str) -> None:
        async for message in client.messages:
            if answers(session, bytes(message.payload)):
                self.answered += 1
                await client.publish(self._topic, self._state(session, "online"), qos=1, retain=True)

    def _state(self, session: str, state: Literal["online", "stopped", "lost"]) -> bytes:
        return encode(
            CoordinatorState(fleet=self._fleet, session=session, at_ms=self._clock.now_ms(), state=state)
        )
