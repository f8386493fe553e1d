"""Whether a policy set may be taken: by whom it is signed, for whom, since when, and whether it can be read.

Pure: the same envelope, keys and time give the same answer. What is wrong is looked for in a fixed order,
so the code that is counted says how far the set came.
"""

from collections.abc import Iterator, Mapping, Sequence

from tidewatt_agent.maintenance import is_known_zone
from tidewatt_governor.policy import resolve
from tidewatt_wire.codec import RefusalReason, Refused, decode
from tidewatt_wire.keys import public_bytes
from tidewatt_wire.messages import Policy, PolicySet, RefusalCode, TrustedKey
from tidewatt_wire.signing import MOST_SIGNATURES, EnvelopeRefused, open_envelope


class SetRefused(ValueError):
    """A policy set that was not taken: the code to count, a sentence, and its revision if it is known."""

    def __init__(self, code: RefusalCode, sentence: str, revision: int | None = None) -> None:
        super().__init__(sentence)
        self.code: RefusalCode = code
        self.revision = revision


def read_set(envelope: bytes, trusted: Sequence[TrustedKey], fleet: str) -> PolicySet:
    """The set in an envelope that a trusted key signed, for this fleet; else SetRefused."""
    try:
        payload = open_envelope(envelope, trusted)
    except EnvelopeRefused as refused:
        raise SetRefused(refused.code, str(refused)) from refused
    try:
        found = decode(PolicySet, payload)
    except Refused as refused:
        code: RefusalCode = "too_big" if refused.reason is RefusalReason.TOO_BIG else "malformed"
        raise SetRefused(code, f"{refused.reason.value}: {refused}") from refused
    if found.fleet != fleet:
        raise SetRefused("wrong_fleet", f"it is for fleet {found.fleet!r}, this is {fleet!r}", found.revision)
    return found


def judge(
    offered: PolicySet,
    envelope: bytes,
    newest: int,
    device: str,
    labels: Mapping[str, str],
    at_ms: int,
) -> Policy:
    """The policy that a set which was read holds this device to, if it may be taken now; else SetRefused.

    `newest`: the highest revision that was taken, or waits for its time.
    """

    def refuse(code: RefusalCode, sentence: str) -> SetRefused:
        return SetRefused(code, sentence, offered.revision)

    if offered.revision < newest:
        raise refuse("older_revision", f"older than revision {newest}, which was taken before")
    if offered.not_before_ms > at_ms:
        wait_s = (offered.not_before_ms - at_ms) / 1000
        raise refuse("not_yet", f"it is kept, and holds {wait_s:.0f} s from now")
    if is_over(offered, at_ms):
        raise refuse("expired", "its time was over before it came")
    policy = resolve(offered, device, labels)
    if why := next(_unusable(offered, envelope, policy), None):
        raise refuse("unusable", why)
    return policy


def is_over(held: PolicySet, at_ms: int) -> bool:
    """Whether a set's time is over."""
    return held.not_after_ms is not None and held.not_after_ms <= at_ms


def _unusable(offered: PolicySet, envelope: bytes, policy: Policy) -> Iterator[str]:
    windows = [*policy.quiet_hours, *([policy.maintenance] if policy.maintenance else [])]
    for window in windows:
        if not is_known_zone(window.zone):
            yield f"no time zone {window.zone!r} is known here; `timedatectl list-timezones` lists them"
    if offered.keys:
        yield from _unusable_keys(offered, envelope)


def _unusable_keys(offered: PolicySet, envelope: bytes) -> Iterator[str]:
    """Why a set's keys can't be the ones to trust: they must read it, or it could not be read again."""
    try:
        for key in offered.keys:
            public_bytes(key.public)
    except ValueError as error:
        yield f"of its keys {error}"
        return
    if len(offered.keys) > MOST_SIGNATURES:
        yield f"it brings {len(offered.keys)} keys; at most {MOST_SIGNATURES} are trusted at a time"
    try:
        open_envelope(envelope, offered.keys)
    except EnvelopeRefused:
        yield "it brings keys, and is signed with none of them: this device would be locked out"
