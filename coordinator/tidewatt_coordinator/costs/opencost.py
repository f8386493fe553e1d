"""OpenCost's `/allocation`: what Kubernetes workloads cost by its estimate.

Every allocation becomes one charge for each of its parts (processor, memory, volumes, ...), which
sum to the total that OpenCost says.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.charge import (
    Charge,
    CostError,
    amount,
    check_period,
    identity,
    total,
    word,
)
from tidewatt_coordinator.costs.days import Window, iso, parse_time

SOURCE = "opencost"
#: OpenCost's name of a part, its FOCUS category, the quantity that it is for, and that one's unit.
PARTS = (
    ("cpu", "Compute", "cpuCoreHours", "vCPU-Hours"),
    ("gpu", "Compute", "gpuHours", "GPU-Hours"),
    ("ram", "Compute", "ramByteHours", "Byte-Hours"),
    ("pv", "Storage", "pvByteHours", "Byte-Hours"),
    ("network", "Networking", "", ""),
    ("loadBalancer", "Networking", "", ""),
    ("shared", "Other", "", ""),
    ("external", "Other", "", ""),
)
#: OpenCost adds in floating point: less than this between the parts and the total is no part of its own.
ROUNDING = Decimal("0.000001")
Number = int | float | Decimal | None


class _Window(msgspec.Struct, frozen=True):
    start: str
    end: str


class _Answer(msgspec.Struct, frozen=True):
    code: int
    data: list[dict[str, dict[str, msgspec.Raw]] | None] | None = None
    message: str = ""


def parameters(window: Window, aggregate: Sequence[str]) -> dict[str, str]:
    """How `/allocation` is asked for one window, as one step, with what stood idle."""
    return {
        "window": f"{iso(window.start_ms)},{iso(window.end_ms)}",
        "aggregate": ",".join(aggregate),
        "step": f"{(window.end_ms - window.start_ms) // 3_600_000}h",
        "includeIdle": "true",
        "accumulate": "true",
    }


def parse(body: bytes, window: Window, aggregate: Sequence[str], currency: str, where: str) -> list[Charge]:
    """The charges in an answer for `window`; CostError, which names `where`, for anything else."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.code != 200:  # noqa: PLR2004 - HTTP's OK, repeated in the body
            raise CostError(f"{where}: answers code {answer.code}: {answer.message[:200]}")
        found = []
        for step in answer.data or []:
            for name, allocation in (step or {}).items():
                found += _charges(name, allocation, window, aggregate, currency, f"{where}: {name[:80]!r}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise CostError(f"{where}: no answer of OpenCost's /allocation: {error}") from error
    if len({charge.key for charge in found}) != len(found):
        raise CostError(f"{where}: says the same allocation twice; steps of one window were not accumulated")
    return found


def _charges(
    name: str,
    allocation: Mapping[str, msgspec.Raw],
    window: Window,
    aggregate: Sequence[str],
    currency: str,
    where: str,
) -> list[Charge]:
    begin, end = _period(allocation, where)
    if begin < window.start_ms or end > window.end_ms:
        raise CostError(f"{where}: from {iso(begin)} to {iso(end)} lies outside the window asked for")
    tags = _tags(name, allocation, aggregate)
    parts = {part: _part(allocation, part, where) for part, *_ in PARTS}
    rest = _amount(allocation, "totalCost", where, total(parts.values())) - total(parts.values())
    told = [(part, category, parts[part], quantity, unit) for part, category, quantity, unit in PARTS]
    if abs(rest) >= ROUNDING:
        told.append(("rest", "Other", rest, "", ""))
    return [
        Charge(
            source=SOURCE,
            key=identity(iso(begin), *aggregate, name, part),
            start_ms=begin,
            end_ms=end,
            provider="Kubernetes",
            service="Kubernetes",
            category=category,
            resource=word(name),
            description=part,
            tags=tags,
            quantity=_amount(allocation, quantity, where) if quantity in allocation else None,
            unit=unit if quantity in allocation else "",
            billed=cost,
            effective=cost,
            currency=currency,
        )
        for part, category, cost, quantity, unit in told
        if cost
    ]


def _period(allocation: Mapping[str, msgspec.Raw], where: str) -> tuple[int, int]:
    if "window" not in allocation:
        raise CostError(f"{where}: has no window")
    window = msgspec.json.decode(allocation["window"], type=_Window)
    begin, end = parse_time(window.start, where), parse_time(window.end, where)
    check_period(begin, end, where)
    return begin, end


def _tags(name: str, allocation: Mapping[str, msgspec.Raw], aggregate: Sequence[str]) -> dict[str, str]:
    values = name.split("/", len(aggregate) - 1)
    tags = {word(key): word(value) for key, value in zip(aggregate, values, strict=False)}
    properties = msgspec.json.decode(allocation.get("properties", b"null"))
    if isinstance(properties, dict) and isinstance(properties.get("cluster"), str):
        tags["cluster"] = word(properties["cluster"])
    return tags


def _part(allocation: Mapping[str, msgspec.Raw], part: str, where: str) -> Decimal:
    return _amount(allocation, f"{part}Cost", where) + _amount(allocation, f"{part}CostAdjustment", where)


def _amount(
    allocation: Mapping[str, msgspec.Raw], name: str, where: str, default: Decimal = Decimal(0)
) -> Decimal:
    """A number as it is written, not as a float has it; null and nothing are `default`."""
    text = bytes(allocation.get(name, b"null")).decode("utf-8", "replace")
    return default if text == "null" else amount(text, f"{where}: {name}")
