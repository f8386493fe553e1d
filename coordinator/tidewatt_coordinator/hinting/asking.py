"""What a plan asks of each board that may follow, as hints. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from tidewatt_coordinator.hinting.enough import told
from tidewatt_coordinator.hinting.gathering import Seen
from tidewatt_coordinator.hinting.saying import Hint
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.plan import Device, Plan
from tidewatt_wire.planned import EnoughAt, PlanHint
from tidewatt_wire.sleeping import SleepHint


class Told(msgspec.Struct, frozen=True):
    """Whose word a hint is, and how long it holds."""

    fleet: str
    now_ms: int
    until_ms: int


def hints_of(
    made: Plan,
    devices: Sequence[Device],
    follows: frozenset[str],
    serve_ms: Mapping[str, int],
    enough: Mapping[str, list[EnoughAt]],
    by: Told,
) -> dict[str, Hint]:
    """What to say to each of those who may follow. `serve_ms`: when each that sleeps must serve again; one
    that isn't named is told nothing.
    """
    found: dict[str, Hint] = {}
    for device in devices:
        if device.name not in follows:
            continue
        there = envelope_of(device, made.devices[device.name].point)
        if there.wake_s <= 0.0:
            found[device.name] = PlanHint(
                fleet=by.fleet, device=device.name, plan=made.minute, issued_at_ms=by.now_ms,
                expires_at_ms=by.until_ms, point=there.point, guarded=True, reason=made.reason,
                enough=enough.get(device.name, msgspec.UNSET),
            )  # fmt: skip
        elif device.name in serve_ms:
            found[device.name] = SleepHint(
                fleet=by.fleet, device=device.name, issued_at_ms=by.now_ms, expires_at_ms=by.until_ms,
                serve_at_ms=serve_ms[device.name], reason=made.reason,
            )  # fmt: skip
    return found


def enough_for(
    made: Plan, before: Mapping[str, float], members: Sequence[Seen], demand_rps: float | None
) -> dict[str, list[EnoughAt]]:
    """What is enough for each by its own rate. `before`: the shares that were planned for the last minute."""
    found = {}
    for one in members:
        name = one.known.name
        if not demand_rps or one.rps is None or name not in made.devices:
            continue
        rows = told(made.devices[name].enough, before.get(name, 0.0), one.rps / demand_rps)
        if rows is not msgspec.UNSET:
            found[name] = rows
    return found


def envelope_of(device: Device, point: str) -> Envelope:
    """The device's envelope of that name."""
    return next(one for one in device.envelopes if one.point == point)


def seen_capacities(made: Plan, devices: Sequence[Device]) -> dict[str, float]:
    """What each serves at the weaker of where it is planned and where it was seen."""
    found = {}
    for device in devices:
        planned = envelope_of(device, made.devices[device.name].point).usable_rps
        seen = next((one.usable_rps for one in device.envelopes if one.point == device.at), planned)
        found[device.name] = min(planned, seen)
    return found
