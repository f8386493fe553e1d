"""What energy is worth now, as the coordinator says for the tariff zone that the policy names.

Without a zone, a signal or a step for now it is worth what it always is: no board waits for a price.
"""

import logging
from collections.abc import Callable

import msgspec

from tidewatt_wire.codec import RefusalReason, Refused, decode
from tidewatt_wire.messages import EnergySignal
from tidewatt_wire.topics import EnergyTopic

log = logging.getLogger(__name__)


class Worth(msgspec.Struct, frozen=True):
    """Price and carbon of energy against normal (1)."""

    price: float = 1.0
    carbon: float = 1.0


class Signals:
    """The last good signal of the zone that is followed."""

    def __init__(self, fleet: str, zone: Callable[[], str | None]) -> None:
        """`zone`: the one that the policy names now, if any."""
        self._fleet, self._zone = fleet, zone
        self._last: EnergySignal | None = None
        self.refused = 0
        """Signals that could not be read or were for somebody else."""

    @property
    def topics(self) -> list[str]:
        """What to subscribe to now."""
        zone = self._zone()
        return [str(EnergyTopic(self._fleet, zone))] if zone else []

    def take(self, topic: EnergyTopic, payload: bytes) -> None:
        """Take a signal; a bad one is logged and leaves the last one standing, an empty one takes it away."""
        if topic.zone != self._zone():
            return
        if not payload:
            self._last = None
            return
        try:
            self._last = _read(payload, topic)
        except Refused as error:
            self.refused += 1
            log.warning("energy signal refused: %s", error)

    def at(self, now_ms: int) -> Worth:
        """What energy is worth at a moment."""
        said = self._last
        if said is None or said.zone != self._zone() or now_ms >= said.expires_at_ms:
            return Worth()
        begun = [step for step in said.steps if step.start_ms <= now_ms]
        last = max(begun, key=lambda step: step.start_ms, default=None)
        return Worth(last.price, last.carbon) if last else Worth()


def _read(payload: bytes, topic: EnergyTopic) -> EnergySignal:
    said = decode(EnergySignal, payload)
    if (said.fleet, said.zone) != (topic.fleet, topic.zone):
        sentence = f"it is for zone {said.zone!r} of fleet {said.fleet!r}"
        raise Refused(RefusalReason.WRONG_TOPIC, sentence)
    return said
