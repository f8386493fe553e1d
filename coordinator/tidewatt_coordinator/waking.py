"""Waking a board before its alarm, by a magic packet that a neighbour on its segment sends: the second way.

For demand that nobody foresaw, and for a board that is overdue. Nothing relies on it: that a packet
reaches a sleeping board depends on its carrier, its network card and the switches between.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import aiomqtt
import msgspec

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.keys.folder import SigningKeyError
from tidewatt_governor.policy import resolve
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import PolicySet
from tidewatt_wire.signing import WAKE_TYPE, Signer, seal
from tidewatt_wire.sleeping import SleepState, WakeOrder
from tidewatt_wire.topics import WakeTopic

log = logging.getLogger(__name__)

#: The label that says which boards a broadcast of each other reaches; without it those of one site are tried.
SEGMENT, SITE = "segment", "site"
#: Neighbours that are asked at once: one may be falling asleep itself.
ASKED = 2
#: An order is good for so long: a packet that comes late wakes who sleeps again.
GOOD_FOR_MS = 30_000
#: The same board is woken again after so long at the earliest, and so often for one nap.
AGAIN_MS, MOST_TRIES = 60_000, 3

#: Where a board is: which label says so, and what.
Place = tuple[str, str]


class Tried(msgspec.Struct, frozen=True):
    """How often a nap was to be ended, and when last."""

    session: str
    tries: int = 0
    last_ms: int = 0


def neighbours(labels: Mapping[str, Mapping[str, str]], target: str) -> list[str]:
    """Of the boards by their labels those that a broadcast reaches from `target`, in an order of its own.

    Boards that say nothing of where they are have no neighbours. Pure.
    """
    place = place_of(labels.get(target, {}))
    return sorted(
        name
        for name, mine in labels.items()
        if name != target and place is not None and place_of(mine) == place
    )


def may_try(tried: Tried | None, session: str, now_ms: int) -> bool:
    """Whether it is time for a try, or the next one, in this nap. Pure."""
    if tried is None or tried.session != session:
        return True
    return tried.tries < MOST_TRIES and now_ms - tried.last_ms >= AGAIN_MS


def place_of(labels: Mapping[str, str]) -> Place | None:
    """Within what a broadcast reaches a board, by its labels; None: nobody knows. Pure."""
    for label in (SEGMENT, SITE):
        if labels.get(label):
            return label, labels[label]
    return None


class Waker:
    """Orders neighbours to wake boards."""

    def __init__(
        self,
        connection: Connection,
        fleet: Fleet,
        policies: Callable[[], PolicySet],
        signers: Callable[[], Sequence[Signer]],
        now_ms: Callable[[], int],
        called: str = "coordinator",
    ) -> None:
        """`called`: the coordinator's name, by which the broker knows it."""
        self._connection, self._fleet, self._policies = connection, fleet, policies
        self._signers, self._now_ms, self._called = signers, now_ms, called
        self._tried: dict[str, Tried] = {}
        self._one_at_a_time = asyncio.Lock()

    def orders(self, device: str, why: str) -> list[WakeOrder]:
        """The orders that would wake a board now, and note the try; none where nobody can or may."""
        known, now_ms = self._fleet.devices.get(device), self._now_ms()
        said = known.sleep if known else None
        if said is None or not said.mac or said.state != "asleep":
            return []
        before = self._tried.get(device)
        if not may_try(before, said.session, now_ms):
            return []
        tries = before.tries if before and before.session == said.session else 0
        asked = self._asked(device, tries)
        if not asked:
            return []
        self._tried[device] = Tried(said.session, tries + 1, now_ms)
        return [self._order(name, said, said.mac, now_ms, why) for name in asked]

    async def wake(self, devices: Iterable[str], why: str) -> int:
        """Have these boards woken; how many orders the broker took. What fails is logged and tried again."""
        async with self._one_at_a_time:  # the broker knows one connection of this name
            return await self._wake(devices, why)

    async def _wake(self, devices: Iterable[str], why: str) -> int:
        orders = [order for device in devices for order in self.orders(device, why)]
        if not orders:
            return 0
        try:
            signers = self._signers()
            name = f"tidewatt-{self._policies().fleet}-wake-{self._called}"
            async with self._connection.client(identifier=name) as client:
                for order in orders:
                    topic = str(WakeTopic(order.fleet, order.device))
                    await client.publish(topic, seal(encode(order), signers, WAKE_TYPE), qos=1)
        except (aiomqtt.MqttError, asyncio.TimeoutError, SigningKeyError) as error:
            log.warning("no order to wake a board went out: %s", error)
            return 0
        for order in orders:
            log.info("%s is to wake %s: %s", order.device, order.neighbour, why)
        return len(orders)

    def _asked(self, device: str, tries: int) -> list[str]:
        """Who is asked at a try: each time others, as one that can't reach it never will."""
        awake = list(neighbours(dict(self._labels(device)), device))
        if not awake:
            return []
        first = tries * ASKED % len(awake)
        return (awake[first:] + awake[:first])[:ASKED]

    def _labels(self, target: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The labels of the board itself and of all who are awake and may wake others."""
        policies, now_ms = self._policies(), self._now_ms()
        for name, device in self._fleet.known():
            if device.birth is None:
                continue
            labels = device.birth.labels
            sleep = resolve(policies, name, labels).sleep
            awake = self._fleet.status(name, now_ms) == "online" and device.birth.control == "enforce"
            if name == target or (awake and sleep and sleep.wake_neighbours):
                yield name, labels

    def _order(self, device: str, said: SleepState, mac: str, now_ms: int, why: str) -> WakeOrder:
        return WakeOrder(
            fleet=self._policies().fleet, device=device, neighbour=said.device, mac=mac,
            issued_at_ms=now_ms, expires_at_ms=now_ms + GOOD_FOR_MS, reason=why,
        )  # fmt: skip
