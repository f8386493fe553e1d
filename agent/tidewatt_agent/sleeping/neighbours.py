"""Waking a neighbour on the same segment by a magic packet, when the coordinator orders it.

An order counts if it is signed, for this device, not expired, and newer than the last for that neighbour; if
the policy lets boards wake each other; and if not too many were woken lately. A packet wakes what it
reaches and harms nothing else; no privilege is needed to send one.
"""

import logging
import socket
from collections import Counter, deque
from collections.abc import Callable, Sequence

from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import Policy, TrustedKey
from tidewatt_wire.signing import WAKE_TYPE, EnvelopeRefused, open_envelope
from tidewatt_wire.sleeping import WakeOrder, magic_packet
from tidewatt_wire.topics import WakeTopic

log = logging.getLogger(__name__)

#: A neighbour is woken again after so long at the earliest, in seconds: a resume takes its time.
AGAIN_S = 60.0
#: And no more than so many of all in so many seconds: who has our coordinator's key floods no segment.
MOST, WITHIN_S = 20, 600.0
#: A packet may be lost, and nobody answers: it is sent so often.
COPIES = 3

Send = Callable[[bytes], None]


class Pace:
    """How often who may be woken. Pure: time is an argument."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._all: deque[float] = deque()

    def why_not(self, mac: str, now_s: float) -> str:
        """Why this one isn't to be woken now, in a sentence; empty if it may be, which is noted."""
        while self._all and now_s - self._all[0] >= WITHIN_S:
            self._all.popleft()
        if mac in self._last and now_s - self._last[mac] < AGAIN_S:
            return f"it was woken {now_s - self._last[mac]:.0f} s ago"
        if len(self._all) >= MOST:
            return f"{MOST} boards were woken in the last {WITHIN_S / 60:.0f} minutes"
        self._last = {name: at_s for name, at_s in self._last.items() if now_s - at_s < AGAIN_S}
        self._last[mac] = now_s
        self._all.append(now_s)
        return ""


class Wakes:
    """Takes the orders and sends the packets."""

    def __init__(
        self,
        topic: WakeTopic,
        clock: Clock,
        trusted: Callable[[], Sequence[TrustedKey]],
        allowed: Callable[[], bool],
        send: Send,
    ) -> None:
        """`topic`: of this device; `allowed`: whether the policy lets boards wake each other."""
        self._fleet, self._device, self.topic = topic.fleet, topic.device, str(topic)
        self._clock, self._trusted, self._allowed, self._send = clock, trusted, allowed, send
        self._pace = Pace()
        self._newest: dict[str, int] = {}
        self.orders: Counter[str] = Counter()
        """Orders since the start, by what became of them."""

    def take(self, payload: bytes) -> None:
        """Take an order's envelope; what becomes of it is logged and counted."""
        try:
            order = decode(WakeOrder, open_envelope(payload, self._trusted(), WAKE_TYPE))
        except (EnvelopeRefused, Refused) as error:
            self._note("refused", str(error))
            return
        now_ms = self._clock.now_ms()
        if (order.fleet, order.device) != (self._fleet, self._device):
            self._note("refused", f"it is for device {order.device!r} of fleet {order.fleet!r}")
        elif now_ms >= order.expires_at_ms:
            self._note("expired", f"it was good until {(now_ms - order.expires_at_ms) / 1000:.0f} s ago")
        elif order.issued_at_ms <= self._newest.get(order.neighbour, -1):
            self._note("repeated", f"an order to wake {order.neighbour} as old as this has come already")
        elif not self._allowed():
            self._note("forbidden", "the policy lets no board wake another (sleep.wake_neighbours)")
        elif why := self._pace.why_not(order.mac, self._clock.monotonic_s()):
            self._note("limited", f"{order.neighbour}: {why}")
        else:
            self._wake(order)

    def _wake(self, order: WakeOrder) -> None:
        self._newest[order.neighbour] = order.issued_at_ms
        try:
            for _ in range(COPIES):
                self._send(magic_packet(order.mac))
        except OSError as error:
            self._note("failed", f"no packet to {order.neighbour}: {error.strerror or error}")
            return
        self.orders["sent"] += 1
        log.info("woke %s (%s): %s", order.neighbour, order.mac, order.reason)

    def _note(self, what: str, why: str) -> None:
        self.orders[what] += 1
        log.warning("order to wake a neighbour %s: %s", what, why)


def wakes_others(policy: Policy) -> bool:
    """Whether the policy lets boards wake each other."""
    return policy.sleep is not None and policy.sleep.wake_neighbours


def to_segment(addresses: Sequence[str]) -> Send:
    """Sends to all of these broadcast addresses, as host:port."""
    places = [(host, int(port)) for host, _, port in (address.rpartition(":") for address in addresses)]

    def send(packet: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for place in places:
                door.sendto(packet, place)

    return send
