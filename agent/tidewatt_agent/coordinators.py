"""Whether a coordinator is there, as the fleet's state topic says."""

import logging

from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import CoordinatorState

log = logging.getLogger(__name__)


class Coordinators:
    """The last word on the state topic. Of several coordinators, one that lives has it."""

    def __init__(self, fleet: str) -> None:
        self._fleet = fleet
        self.state: CoordinatorState | None = None
        """None while nothing is known: no connection, or no coordinator has spoken."""

    @property
    def online(self) -> bool | None:
        """Whether one is there; None while that isn't known."""
        return None if self.state is None else self.state.state == "online"

    def take(self, payload: bytes) -> None:
        """Take a state message; a bad one is logged and leaves the last word standing."""
        try:
            said = decode(CoordinatorState, payload)
        except Refused as error:
            log.warning("coordinator state refused: %s", error)
            return
        if said.fleet != self._fleet:
            log.warning("coordinator state refused: it is for fleet %r", said.fleet)
            return
        if self.state is None or self.state.state != said.state:
            log.info("coordinator: %s", said.state)
        self.state = said

    def forget(self) -> None:
        """The connection is gone, and with it all that is known."""
        self.state = None
