"""From what is true now, and the alerts that stand, to what changed. Pure.

An alert has one **episode** from when its condition becomes true until it becomes false: raised once,
recovered once, whatever the number of looks between. What can't be judged leaves everything as it is.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from tidewatt_wire.messages import Alert, AlertKind, AlertSeverity, AlertState

#: A name is a level of a topic, at most so long.
LONGEST_NAME = 63
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 12

#: In an episode everything happens once, in this order.
STEPS: tuple[AlertState, ...] = ("firing", "acknowledged", "recovered")


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people want to know of when it becomes true, and when it is over."""

    name: str
    kind: AlertKind
    severity: AlertSeverity = "warning"
    true: bool | None
    """None: it can't be judged now."""
    summary: str
    """A sentence."""
    details: dict[str, str] = {}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An alert in its last episode."""

    name: str
    episode: int
    kind: AlertKind
    severity: AlertSeverity
    summary: str
    details: dict[str, str] = {}
    since_ms: int
    ended_ms: int | None = None
    acked_ms: int | None = None
    acked_by: str = ""
    note: str = ""

    @property
    def state(self) -> AlertState:
        """How it stands."""
        if self.ended_ms is not None:
            return "recovered"
        return "firing" if self.acked_ms is None else "acknowledged"


class Change(msgspec.Struct, frozen=True):
    """What an alert has become."""

    alert: Standing
    told: bool
    """Whether it is news, or only the latest figures."""


def changes(
    last: Mapping[str, Standing],
    conditions: Iterable[Condition],
    judged: Collection[AlertKind],
    now_ms: int,
) -> Iterator[Change]:
    """What a look changes. `last` has each alert's last episode, ended or not; `conditions` are all of
    the kinds that were `judged`: an alert of theirs that nobody watches any more is over.
    """
    seen = set()
    for one in sorted(conditions, key=lambda one: one.name):
        seen.add(one.name)
        before = last.get(one.name)
        open_one = before if before and before.ended_ms is None else None
        if one.true and open_one is None:
            yield Change(_begun(one, before.episode + 1 if before else 1, now_ms), told=True)
        elif open_one and one.true is False:
            yield Change(_over(open_one, one.summary, one.details, now_ms), told=True)
        elif open_one and one.true and (open_one.summary, open_one.details) != (one.summary, one.details):
            newer = msgspec.structs.replace(open_one, summary=one.summary, details=one.details)
            yield Change(newer, told=False)
    for name, before in sorted(last.items()):
        if before.ended_ms is None and before.kind in judged and name not in seen:
            yield Change(_over(before, "it is no longer watched", {}, now_ms), told=True)


def message(alert: Standing, fleet: str, at_ms: int) -> Alert:
    """The alert as it is told. The same state of the same episode has the same event, always."""
    return Alert(
        fleet=fleet,
        name=alert.name,
        event=event_id(fleet, alert, alert.state),
        episode=alert.episode,
        kind=alert.kind,
        severity=alert.severity,
        state=alert.state,
        since_ms=alert.since_ms,
        at_ms=at_ms,
        summary=alert.summary,
        details=alert.details,
        by=alert.acked_by,
        note=alert.note,
    )


def event_id(fleet: str, alert: Standing, state: AlertState) -> str:
    """By which a receiver sees that it has had an event before."""
    parts = (fleet, alert.name, str(alert.episode), str(alert.since_ms), state)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def alert_name(*parts: str) -> str:
    """A name for what has these parts, fit for a topic: as they are if that is possible, else with a hash."""
    plain = ".".join(parts)
    safe = _FOREIGN.sub("-", plain)
    if safe == plain and len(plain) <= LONGEST_NAME:
        return plain
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:_DIGITS]
    return f"{safe[: LONGEST_NAME - _DIGITS - 1]}-{digest}"


def _begun(one: Condition, episode: int, now_ms: int) -> Standing:
    return Standing(
        name=one.name,
        episode=episode,
        kind=one.kind,
        severity=one.severity,
        summary=one.summary,
        details=one.details,
        since_ms=now_ms,
    )


def _over(before: Standing, summary: str, details: dict[str, str], now_ms: int) -> Standing:
    return msgspec.structs.replace(before, summary=summary, details=details, ended_ms=now_ms)
