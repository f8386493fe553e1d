"""The link to the broker: one subscription, to the fleet's dispatch table, for ever."""

import asyncio
import logging
import random
from collections.abc import Callable

import aiomqtt

from tidewatt_link.connection import Connection
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

KEEPALIVE_S = 15
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 15.0


class Link:
    """The subscriber. `run` never ends by itself."""

    def __init__(self, broker: Connection, fleet: str, name: str, on_table: Callable[[bytes], None]) -> None:
        """`on_table` takes each table's envelope."""
        self._broker, self._fleet, self._name, self._on_table = broker, fleet, name, on_table
        self.connected = False

    @property
    def certificate_ends_s(self) -> float | None:
        """When the certificate that is shown to the broker ends, in Unix seconds; None without one."""
        return self._broker.certificate_ends_s()

    async def run(self) -> None:
        """Stay subscribed; ends only by cancellation."""
        failures = 0
        while True:
            try:
                async with self._broker.client(
                    identifier=f"tidewatt-{self._fleet}-router-{self._name}", keepalive=KEEPALIVE_S
                ) as client:
                    await client.subscribe(str(FleetTopic(self._fleet, "dispatch")), qos=1)
                    log.info("link: connected to %s", self._broker.url)
                    self.connected, failures = True, 0
                    async for message in client.messages:
                        if payload := bytes(message.payload):  # an empty one takes a retained table away
                            self._on_table(payload)
            except aiomqtt.MqttError as error:
                log.warning("link: %s; trying again", error)
            finally:
                self.connected = False
            failures += 1
            longest_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures, 10))
            await asyncio.sleep(longest_s * random.random())  # noqa: S311 - no secret
