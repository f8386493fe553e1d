"""The dispatch table on its topic: checked, sealed, retained, again before it expires.

Without a key, or where no table may be published, the last one stays, and past its expiry its safe half.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_coordinator.steering.choosing import NoTable
from tidewatt_coordinator.steering.wheel import Made, Steering
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.signing import DISPATCH_TYPE, Signer, seal
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

NO_KEY = "no key is there to sign it with"


class DispatchTopic:
    """One fleet's dispatch topic. `keep` never ends by itself."""

    def __init__(
        self,
        steering: Steering,
        clock: Clock,
        may_publish: Callable[[], bool],
        signers: Callable[[], Sequence[Signer]],
    ) -> None:
        self._steering, self._clock = steering, clock
        self._may_publish, self._signers = may_publish, signers

    async def keep(self, client: aiomqtt.Client, fleet: str) -> None:
        """Have the broker hold the table that is in force."""
        topic = str(FleetTopic(fleet, "dispatch"))
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        # The broker forgets a table that nobody should use any more; at the least a second.
        expiry.MessageExpiryInterval = math.ceil(self._clock.real_seconds(self._steering.settings.valid_s))
        while True:
            if self._may_publish():
                try:
                    made, envelope = await asyncio.to_thread(self._sealed)
                except NoTable as error:
                    self._steering.blocked(error)
                else:
                    await client.publish(topic, envelope, qos=1, retain=True, properties=expiry)
                    await asyncio.to_thread(self._steering.said, made)
            await self._steering.next_turn()

    def _sealed(self) -> tuple[Made, bytes]:
        """The table for now in its envelope; NoTable says why there is none."""
        try:
            signers = self._signers()
        except (OSError, ValueError) as error:
            raise NoTable(str(error)) from error
        if not signers:
            raise NoTable(NO_KEY)
        made = self._steering.make()
        content, settings = encode(made.kept.message), self._steering.settings
        if len(content) > settings.most_bytes:
            raise NoTable(
                _too_long(len(content), made, settings.most_bytes, by_device=settings.backends == "devices")
            )
        try:
            return made, seal(content, signers, DISPATCH_TYPE)
        except ValueError as error:
            raise NoTable(str(error)) from error


def _too_long(length: int, made: Made, most: int, *, by_device: bool) -> str:
    what_to_do = (
        'dispatch.backends = "sites" makes one backend of each site, with a proxy of its own'
        if by_device
        else "fewer sites, pools or classes make it shorter"
    )
    return (
        f"a table of {len(made.kept.facts.backends)} backends and {len(made.kept.facts.classes)} classes has "
        f"{length} bytes, and {most} can be read: {what_to_do}"
    )
