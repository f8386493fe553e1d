"""From the fleet view and the ledger's account to what the API shows."""

from collections.abc import Mapping
from typing import Any

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.fleet import Device, Fleet
from tidewatt_coordinator.ledger.account import Account
from tidewatt_coordinator.ledger.baselines import Outcome
from tidewatt_coordinator.web.models import DeviceNow, FleetNow, PolicyOutcome
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import DispatchTable, PolicySet
from tidewatt_wire.sleeping import ASLEEP
from tidewatt_wire.units import joules, minutes, seconds, watt_hours


def fleet_now(
    fleet: Fleet,
    account: Account,
    policies: PolicySet,
    table: DispatchTable | None,
    clock: Clock,
    progress: float | None,
    obstacle: str = "",
) -> FleetNow:
    """The whole fleet at this moment."""
    now_ms = clock.now_ms()
    parts = table.weights if table and table.expires_at_ms > now_ms else {}
    devices = [device_now(name, device, fleet.status(name, now_ms), parts) for name, device in fleet.known()]
    present = [device for device in devices if device.status == "online"]
    return FleetNow(
        fleet=policies.fleet,
        now_ms=now_ms,
        version=VERSION,
        progress=progress,
        speed=clock.speed,
        devices=devices,
        known=len(devices),
        online=len(present),
        watts=_sum([device.watts for device in present]),
        requests_rps=_sum([device.requests_rps for device in present]),
        energy_joules=joules(account.total("energy_mj")),
        requests=account.total("requests"),
        cost=account.cost,
        costs=account.costs,
        currency=account.currency,
        price_per_kwh=account.price_per_kwh,
        switches=account.total("switches"),
        violating_minutes=minutes(account.total("violating_ms")),
        unmeasured_seconds=seconds(account.total("unmeasured_ms")),
        policies=policy_outcomes(account),
        model_error_share=_model_error(account),
        dispatch_reason=_dispatch(table, obstacle),
        **_slept(account),
    )


def device_now(name: str, device: Device, status: str, parts: Mapping[str, int]) -> DeviceNow:
    """One device; a silent or lost one shows no live figures, because none are known."""
    birth, report, ack = device.birth, device.report, device.ack
    gauges = report.gauges if report and status == "online" else None
    verdict = report.verdict if report else None
    total, skew_ms = sum(parts.values()), device.skew.ms
    # Not validated: ten thousand of them are drawn up at a time, and all of it is ours.
    return DeviceNow.model_construct(
        device=name,
        status=status,
        board=birth.board if birth else None,
        control=birth.control if birth else None,
        labels=birth.labels if birth else {},
        point=gauges.point if gauges else None,
        watts=gauges.watts if gauges else None,
        requests_rps=gauges.requests_rps if gauges else None,
        p95_ms=gauges.p95_ms if gauges else None,
        temperature_c=gauges.temperature_c if gauges else None,
        reason=verdict.reason if verdict else None,
        rule=verdict.rule if verdict else None,
        outcome=verdict.outcome if verdict else None,
        weight=parts.get(name, 0) / total if total else None,
        policy_revision=ack.revision if ack else None,
        policy_status=ack.status if ack else None,
        energy_joules=joules(report.counters.energy_mj) if report else None,
        switches=report.counters.switches if report else None,
        violating_minutes=minutes(report.counters.violating_ms) if report else None,
        reported_at_ms=report.at_ms if report else None,
        skew_seconds=None if skew_ms is None else seconds(skew_ms),
        refused=device.refused,
        **_sleep(device, status),
    )


def _sleep(device: Device, status: str) -> dict[str, Any]:
    said, counters = device.sleep, device.report.counters if device.report else None
    return {
        "asleep_until_ms": said.until_ms if said and status in ("asleep", "overdue") else None,
        "sleeps": device.unproven or (None if said is None else "" if said.able else said.why_not),
        "asleep_seconds": seconds(counters.mode_ms.get(ASLEEP, 0)) if counters else None,
        "asleep_joules": joules(counters.asleep_mj) if counters else None,
        "asleep_watts": said.watts if said else None,
    }


def _slept(account: Account) -> dict[str, Any]:
    return {
        "asleep_seconds": seconds(account.asleep.ms),
        "asleep_joules": joules(account.asleep.energy_mj),
        "asleep_cost": account.cost_of(account.asleep.energy_mj),
        "asleep_assumed_seconds": seconds(account.assumed.lived_ms),
        "asleep_assumed_joules": joules(account.assumed.energy_mj),
        "sleep_saved_joules": joules(account.sleep_saved_mj),
        "sleep_saved_cost": account.cost_of(account.sleep_saved_mj),
    }


def policy_outcomes(account: Account) -> dict[str, PolicyOutcome]:
    """Tidewatt as measured, and the baselines as estimated, by name."""
    measured = Outcome(account.total("energy_mj"), account.total("violating_ms"))
    shown = {
        "tidewatt": PolicyOutcome(
            energy_wh=watt_hours(measured.energy_mj),
            cost=account.cost,
            violating_minutes=minutes(measured.violating_ms),
            switches=account.total("switches"),
            saving_share=None,
            sleep_saving_share=None,
            estimated=False,
            point=None,
        )
    }
    if account.baselines is None:
        return shown
    for name, outcome, point in (
        ("max_freq", account.baselines.max_freq, None),
        ("vendor_default", account.baselines.vendor_default, None),
        ("best_fixed", account.baselines.best_fixed, account.baselines.best_fixed_point),
    ):
        if outcome is None:
            continue
        saving, by_sleep = _savings(account, outcome.energy_mj)
        shown[name] = PolicyOutcome(
            energy_wh=watt_hours(outcome.energy_mj),
            cost=account.cost_of(outcome.energy_mj),
            violating_minutes=minutes(outcome.violating_ms),
            switches=0,
            saving_share=saving,
            sleep_saving_share=by_sleep,
            estimated=True,
            point=point,
        )
    return shown


def _savings(account: Account, against_mj: int) -> tuple[float | None, float | None]:
    """The share saved in all, and that by sleep."""
    if not against_mj:
        return None, None
    used_mj = account.compared_mj + account.slept.energy_mj
    return 1.0 - used_mj / against_mj, account.sleep_saved_mj / against_mj


def _dispatch(table: DispatchTable | None, obstacle: str) -> str | None:
    """The table's reason, and why there is no newer one."""
    said = [table.reason] if table else []
    return "; ".join([*said, f"no new table: {obstacle}"] if obstacle else said) or None


def _model_error(account: Account) -> float | None:
    if account.baselines is None or account.compared_mj == 0:
        return None
    return account.baselines.modelled_mj / account.compared_mj - 1.0


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
