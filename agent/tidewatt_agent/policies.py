"""The policy in force on this device, and the answer to every policy set that comes."""

import logging
from collections.abc import Mapping

from tidewatt_governor.policy import resolve
from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import Ack, Policy, PolicySet

log = logging.getLogger(__name__)


class Policies:
    """Holds the last good policy; an older, foreign or broken set leaves it as it is."""

    def __init__(self, fleet: str, device: str, labels: Mapping[str, str]) -> None:
        self._fleet, self._device, self._labels = fleet, device, dict(labels)
        self.revision = 0
        """0 until a policy set came: the built-in default is in force."""
        self.policy = Policy()

    def offer(self, payload: bytes, at_ms: int) -> Ack | None:
        """Take the policy set or refuse it, and say so; None for the one already in force."""
        try:
            offered = decode(PolicySet, payload)
        except Refused as error:
            return self._refuse(self.revision, at_ms, f"{error.reason.value}: {error}")
        if offered.fleet != self._fleet:
            return self._refuse(
                offered.revision, at_ms, f"it is for fleet {offered.fleet!r}, this is {self._fleet!r}"
            )
        if offered.revision < self.revision:
            return self._refuse(
                offered.revision, at_ms, f"older than revision {self.revision}, which is in force"
            )
        if offered.revision == self.revision:
            return None
        self.policy, self.revision = resolve(offered, self._labels), offered.revision
        log.info("policy revision %d is in force", self.revision)
        return Ack(device=self._device, revision=self.revision, status="applied", at_ms=at_ms)

    def _refuse(self, revision: int, at_ms: int, reason: str) -> Ack:
        log.warning("policy set refused: %s", reason)
        return Ack(device=self._device, revision=revision, status="refused", at_ms=at_ms, reason=reason)
