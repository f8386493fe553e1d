"""The battery's charge, as class/power_supply shows it."""

from pathlib import Path

import pytest

from tidewatt_agent.recording import Files, lay_out
from tidewatt_agent.sysfs import battery as battery_module
from tidewatt_agent.sysfs.battery import KEPT_S, LOOK_S, Battery, read_charge
from tidewatt_agent.sysfs.tree import Tree

SUPPLY = "sys/class/power_supply"
PACK = {f"{SUPPLY}/BAT0/type": "Battery", f"{SUPPLY}/BAT0/capacity": "64"}
MAINS = {f"{SUPPLY}/ucsi-source-psy-1/type": "USB", f"{SUPPLY}/ucsi-source-psy-1/online": "1"}


@pytest.mark.parametrize(
    ("files", "charge"),
    [
        ({}, None),
        (MAINS, None),
        ({**PACK, **MAINS}, 0.64),
        ({**PACK, f"{SUPPLY}/BAT0/scope": "System", f"{SUPPLY}/BAT0/present": "1"}, 0.64),
        ({**PACK, f"{SUPPLY}/BAT0/scope": "Device"}, None),
        ({**PACK, f"{SUPPLY}/BAT0/present": "0"}, None),
        ({**PACK, f"{SUPPLY}/BAT1/type": "Battery", f"{SUPPLY}/BAT1/capacity": "8"}, 0.08),
        ({**PACK, f"{SUPPLY}/BAT0/capacity": "0"}, 0.0),
        ({**PACK, f"{SUPPLY}/BAT0/capacity": "-1"}, None),
        ({**PACK, f"{SUPPLY}/BAT0/capacity": "101"}, None),
        ({f"{SUPPLY}/BAT0/type": "Battery"}, None),
    ],
)
def test_the_charge(files: dict[str, str], charge: float | None, tmp_path: Path) -> None:
    lay_out(Files(files=files), tmp_path)
    assert read_charge(Tree(str(tmp_path))) == charge


async def test_it_is_looked_at_now_and_then_and_outlives_a_gauge_that_stalls(tmp_path: Path) -> None:
    lay_out(Files(files=PACK), tmp_path)
    battery, capacity = Battery(Tree(str(tmp_path))), tmp_path / SUPPLY / "BAT0/capacity"
    assert await battery.charge(0.0) == 0.64
    capacity.write_text("63\n")
    assert await battery.charge(LOOK_S - 1.0) == 0.64
    assert await battery.charge(LOOK_S) == 0.63
    capacity.unlink()
    assert await battery.charge(LOOK_S + KEPT_S) == 0.63
    assert await battery.charge(LOOK_S + KEPT_S + 1.0) is None, "unknown by now, and never 0"


async def test_a_gauge_that_holds_the_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(battery_module, "LONGEST_LOOK_S", 0.0)
    assert await Battery(Tree(str(tmp_path))).charge(0.0) is None
