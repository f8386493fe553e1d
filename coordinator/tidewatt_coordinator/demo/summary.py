"""What the day came to: the table on the terminal and the JSON file."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.store import Total
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_wire.messages import Counters
from tidewatt_wire.units import MILLIJOULES_PER_JOULE, joules

#: Share of a day whose lack is worth a sentence.
WORTH_SAYING = 0.01
ENERGY = COUNTERS.index("energy_mj")
NAMES = {
    "tidewatt": "Tidewatt (measured)",
    "max_freq": "MaxFreq",
    "vendor_default": "vendor default",
    "best_fixed": "best fixed",
}


class Conservation(msgspec.Struct, frozen=True):
    """The devices' own counters, as they kept them on disk, beside the ledger's; in millijoules."""

    devices_mj: int
    ledger_mj: int

    @property
    def holds(self) -> bool:
        """Whether they agree to the joule."""
        return abs(self.devices_mj - self.ledger_mj) < MILLIJOULES_PER_JOULE


class _Kept(msgspec.Struct):
    """What an agent keeps of its counters."""

    counters: Counters


def conservation(files: Iterable[Path], devices: Collection[str], totals: Iterable[Total]) -> Conservation:
    """What the agents kept on their own disks, beside what the ledger has of them.

    A device that kept nothing counts nothing, so what the ledger has of it stands out.
    """
    kept = [msgspec.json.decode(file.read_bytes(), type=_Kept) for file in files if file.exists()]
    return Conservation(
        sum(one.counters.energy_mj for one in kept),
        sum(one.values[ENERGY] for one in totals if one.device in devices),
    )


def unmeasured(lost_s: float, lived_s: float, speed: float) -> str:
    """What the table lacks of the seconds that the boards lived together; empty if next to nothing."""
    share = min(1.0, lost_s / lived_s) if lived_s > 0 else 0.0
    if share < WORTH_SAYING:
        return ""
    return (
        f"{share:.0%} of the time was not measured: this machine had too much else to do for {speed:g}x. The "
        "figures are of the rest; a lower --speed measures more"
    )


def document(now: FleetNow, kept: Conservation, set_up: dict[str, Any]) -> dict[str, Any]:
    """The summary as `--json` writes it."""
    return {
        "simulated": True,
        **set_up,
        "currency": now.currency,
        "price_per_kwh": float(now.price_per_kwh),
        "devices_energy_joules": joules(kept.devices_mj),
        "ledger_energy_joules": joules(kept.ledger_mj),
        "requests": now.requests,
        "unmeasured_seconds": now.unmeasured_seconds,
        "model_error_share": now.model_error_share,
        "policies": {
            name: {
                "energy_wh": policy.energy_wh,
                "cost_usd": float(policy.cost),
                "violating_minutes": policy.violating_minutes,
                "switches": policy.switches,
                "estimated": policy.estimated,
                "point": policy.point,
            }
            for name, policy in now.policies.items()
        },
    }


def table(now: FleetNow) -> Table:
    """The summary as the terminal shows it."""
    shown = Table(title="The day (simulated boards, real traffic)", title_justify="left")
    shown.add_column("policy", no_wrap=True)
    for heading in ("Wh", now.currency, "violating min", "switches", "saved"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for name, policy in now.policies.items():
        saving = policy.saving_share
        shown.add_row(
            NAMES[name] + (f" {policy.point}" if policy.point else ""),
            f"{policy.energy_wh:,.1f}",
            f"{policy.cost:.4f}",
            f"{policy.violating_minutes:,.1f}",
            f"{policy.switches:,}",
            "" if saving is None else f"{saving:.1%}",
        )
    return shown
