"""What is said of sleep: a hint that a board isn't needed, and the board's own word where it is.

A hint is a hint: the board's policy, its qualification, leases and its own checks come first. It is
signed as policies are, as a forged one could keep a board from its work. The board's word is signed with the
key of the certificate by which it connects, where it has one, and expires: a forged one could make a board
that is dead look asleep.
"""

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from tidewatt_wire.certified import SLEEP_TYPE, CertifiedEnvelope, certify, payload_in
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import Count, Identifier, Message, NonNegative, UnixMs

if TYPE_CHECKING:
    from cryptography import x509

#: Time asleep is counted under this name among the modes' (Counters.mode_ms).
ASLEEP = "asleep"

#: How a nap ended: as planned; before its alarm, by something else; too late; awake but not well, which
#: disqualifies the board; in a boot instead of a resume, or lost sight of; or it never fell asleep.
NapOutcome = Literal["woke", "woke_early", "late", "unwell", "lost", "stayed_awake"]


#: An Ethernet address, as the kernel writes it: six bytes of hexadecimal digits.
MAC_PATTERN = r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"
Mac = Annotated[str, msgspec.Meta(pattern=MAC_PATTERN)]


class Nap(msgspec.Struct, frozen=True, kw_only=True):
    """One nap that is over."""

    began_ms: UnixMs
    planned_s: NonNegative
    outcome: NapOutcome
    slept_s: NonNegative | None = None
    """By the clock that set the alarm; null where it isn't known."""
    late_s: NonNegative = 0.0
    """How long after its alarm it woke."""
    resume_s: NonNegative | None = None
    """From waking until the network, the application and the health command were there again."""
    clock_step_s: Annotated[float, msgspec.Meta(ge=-1e10, le=1e10)] = 0.0
    """By how much the time of day had moved against that clock."""
    detail: str = ""


class SleepState(Message, frozen=True, kw_only=True):
    """Where a board that may sleep is, by its own word. Retained.

    Asleep is believed for the birth of `session` only: who is born again is awake. Beyond
    `expires_at_ms` without a birth it has missed its time, which is for people to know. Within a session
    `at_ms` grows with every new word, whatever the clock does: an older one is the past.
    """

    device: Identifier
    session: str
    at_ms: UnixMs
    state: Literal["asleep", "awake"]
    until_ms: UnixMs | None = None
    """Asleep: when the alarm goes off,"""
    expires_at_ms: UnixMs | None = None
    """and until when it is no cause for worry: the alarm, the resume, and some patience."""
    watts: NonNegative | None = None
    """What it was measured to draw asleep; null: unmeasured."""
    able: bool = False
    """Whether it may sleep, as far as the board itself knows;"""
    why_not: str = ""
    """else why not, in a sentence."""
    suspend_s: NonNegative | None = None
    """Measured by its qualification: the time to fall asleep,"""
    resume_s: NonNegative | None = None
    """and to serve again after its alarm; the slowest seen."""
    last: Nap | None = None
    mac: Mac | msgspec.UnsetType = msgspec.UNSET
    """Where a packet would wake it; absent: it has no Ethernet, or isn't told to listen."""
    signed: CertifiedEnvelope | msgspec.UnsetType = msgspec.UNSET
    """The same word, without this field, as the board signed it: what a reader goes by who asks for proof.
    What stands beside it is for those who don't. Absent: the board connects without a certificate."""


class SleepHint(Message, frozen=True, kw_only=True):
    """A board isn't needed before `serve_at_ms` and may sleep. Retained; void from `expires_at_ms` on."""

    fleet: Identifier
    device: Identifier
    issued_at_ms: Count
    expires_at_ms: UnixMs
    serve_at_ms: UnixMs
    """When it must be serving: it wakes earlier by the time that its resume takes."""
    reason: str = ""


class WakeOrder(Message, frozen=True, kw_only=True):
    """Wake a neighbour on the same segment by a magic packet (Wake-on-LAN), now or not at all. Not retained.

    Nobody relies on it: a board that no packet reaches wakes by its alarm.
    """

    fleet: Identifier
    device: Identifier
    """Who is to send the packet,"""
    neighbour: Identifier
    """whom it is to wake,"""
    mac: Mac
    """and where that one listens."""
    issued_at_ms: Count
    expires_at_ms: UnixMs
    reason: str = ""


def magic_packet(mac: str) -> bytes:
    """What wakes the network card of this address: six bytes of ones, then the address sixteen times.

    ValueError for what is no address. Source: AMD, "Magic Packet Technology" (publication 20213).
    """
    if not re.match(MAC_PATTERN, mac):
        raise ValueError(f"{mac!r} is not an Ethernet address such as 48:b0:2d:00:00:01")
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


def signed_word(state: SleepState, certificate: bytes, key: bytes) -> SleepState:
    """The word with its signature. `certificate` and `key` as `certify` takes them; ValueError as there."""
    return msgspec.structs.replace(state, signed=certify(encode(state), certificate, key, SLEEP_TYPE))


def word_in(envelope: CertifiedEnvelope, certificate: "x509.Certificate") -> SleepState:
    """What was signed with the key of this certificate; Refused. Whether to believe that one is not asked."""
    state = decode(SleepState, payload_in(envelope, certificate, SLEEP_TYPE))
    return msgspec.structs.replace(state, signed=msgspec.UNSET)
