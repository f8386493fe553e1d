"""What EventBridge says of instances, and what that means for pools. Pure; its input is anybody's.

Read are EC2's interruption warnings and rebalance recommendations, state changes, AWS Health, as they come or
wrapped by SNS. All else is counted and goes by.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Literal

import msgspec

from tidewatt_coordinator.steering.orders import Order
from tidewatt_coordinator.steering.settings import Pool, Spot

What = Literal["interruption", "rebalance", "state", "health", "other"]

MOST_BYTES = 256 * 1024
#: Instances of one event that are looked at.
MOST_INSTANCES = 100
ENDING = frozenset({"shutting-down", "stopping", "stopped", "terminated"})
BY = "EventBridge"
_INSTANCE = re.compile(r"i-[0-9a-f]{1,40}")
#: A spot warning's has the zone where others have the region, and no account.
_ARN = re.compile(r"arn:[a-z0-9-]{1,20}:ec2:([a-z0-9-]{1,40})(?::[0-9]{0,20})?:instance/(i-[0-9a-f]{1,40})")
_KINDS: dict[str, What] = {
    "EC2 Spot Instance Interruption Warning": "interruption",
    "EC2 Instance Rebalance Recommendation": "rebalance",
    "EC2 Instance State-change Notification": "state",
    "AWS Health Event": "health",
}


class EventError(ValueError):
    """A message that is no event; the sentence says why."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, in the few facts that matter."""

    id: str
    what: What
    at_ms: int
    """By the provider's clock."""
    instances: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    """Region and zones that it names."""
    ending: bool = False
    """Whether the instances are about to end, or have."""
    said: str = ""


class _Entity(msgspec.Struct, frozen=True, rename="camel"):
    entity_value: str = ""


class _Detail(msgspec.Struct, frozen=True):
    instance: str = msgspec.field(default="", name="instance-id")
    action: str = msgspec.field(default="", name="instance-action")
    state: str = ""
    service: str = ""
    category: str = msgspec.field(default="", name="eventTypeCategory")
    code: str = msgspec.field(default="", name="eventTypeCode")
    status: str = msgspec.field(default="", name="statusCode")
    entities: list[_Entity] = msgspec.field(default_factory=list, name="affectedEntities")


class _Event(msgspec.Struct, frozen=True):
    id: str
    time: str
    kind: str = msgspec.field(name="detail-type")
    source: str = ""
    region: str = ""
    resources: list[str] = []
    detail: _Detail = _Detail()


class _Wrapped(msgspec.Struct, frozen=True):
    message: str = msgspec.field(name="Message")


def parse(body: str | bytes) -> Event:
    """The event in a message; EventError for what is none."""
    raw = body.encode(errors="replace") if isinstance(body, str) else body
    if len(raw) > MOST_BYTES:
        raise EventError(f"a message of {len(raw)} bytes; at most {MOST_BYTES} are read")
    try:
        try:
            found = msgspec.json.decode(raw, type=_Event)
        except msgspec.ValidationError:
            found = msgspec.json.decode(msgspec.json.decode(raw, type=_Wrapped).message, type=_Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(f"no event: {str(error)[:200]}") from error
    if not 0 < len(found.id) <= 100:  # noqa: PLR2004 - EventBridge's ids are UUIDs
        raise EventError("an event without an id that can be kept")
    arns = [match for one in found.resources[:MOST_INSTANCES] if (match := _ARN.fullmatch(one))]
    named = [found.detail.instance, *(one.entity_value for one in found.detail.entities[:MOST_INSTANCES])]
    instances = [one for one in named if _INSTANCE.fullmatch(one)] + [match[2] for match in arns]
    what = _KINDS.get(found.kind, "other")
    return Event(
        id=found.id,
        what=what,
        at_ms=_moment(found.time),
        instances=tuple(dict.fromkeys(instances)),
        places=tuple(dict.fromkeys([found.region, *(match[1] for match in arns)])),
        ending=_ending(what, found.detail),
        said=_said(what, found.detail)[:200],
    )


def _ending(what: What, detail: _Detail) -> bool:
    if what == "state":
        return detail.state in ENDING
    if what == "health":
        return detail.service == "EC2" and detail.status != "closed" and detail.category in (
            "issue", "scheduledChange",
        )  # fmt: skip
    return what == "interruption"


def _said(what: What, detail: _Detail) -> str:
    match what:
        case "interruption":
            return f"spot interruption warning ({detail.action or 'no action named'})"
        case "rebalance":
            return "rebalance recommendation"
        case "state":
            return f"instance is {detail.state or 'in a state that is not named'}"
        case "health":
            return f"AWS Health: {detail.code or detail.category or 'nothing named'}"
        case "other":
            return "another event"


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise EventError(f"its time is {text[:40]!r}") from error


def touched(event: Event, pools: Sequence[Pool]) -> list[Pool]:
    """The spot pools that an event is about; any pool if it names the instance."""
    return [one for one in pools if _is_of(one, event)]


def _is_of(pool: Pool, event: Event) -> bool:
    if pool.instances:
        return bool(set(pool.instances) & set(event.instances))
    if pool.kind != "spot" or not event.instances:
        return False
    place = pool.zone or pool.aws_region
    return any(one == place or (pool.zone == "" and one.startswith(place)) for one in event.places)


def orders_of(event: Event, pools: Sequence[Pool], spot: Spot, now_ms: int, real_ms: int) -> list[Order]:
    """The pools that are to get nothing, and until when: none for what changes nothing, or is long over.

    `now_ms` is the fleet's time, `real_ms` the clock on the wall. The same event gives the same ids.
    """
    if not (event.ending or (event.what == "rebalance" and spot.on_rebalance)):
        return []
    hold_ms = round(spot.hold_s * 1000)
    # A clock that is ahead of ours, or a message that waited: it holds from when it happened.
    left_ms = min(hold_ms, hold_ms - (real_ms - event.at_ms))
    if left_ms <= 0:
        return []
    where = f" of {event.instances[0]}" if event.instances else ""
    return [
        Order(
            id=hashlib.sha256(f"{event.id}\0{pool.name}".encode(errors="replace")).hexdigest()[:32],
            kind="interruption",
            by=BY,
            why=f"{event.said}{where}",
            made_ms=now_ms,
            until_ms=now_ms + left_ms,
            backend=pool.name,
        )
        for pool in touched(event, pools)
    ]
