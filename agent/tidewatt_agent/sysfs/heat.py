"""Temperatures and the fan.

A zone whose unit is gated (a GPU asleep, CV on Orin) answers EAGAIN: the sensor is there and
off, which is None, not 0. Names are the ones tegrastats prints for the same sensors.
"""

import re

import msgspec

from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.sample import Fan, Temperature

MILLIDEGREES = 1000.0
#: What the kernel or tegrastats says for a sensor that is off.
OFF_MILLIDEGREES = -256_000
FULL_DUTY = 255
_SUFFIX = re.compile(r"[-_](?:thermal|therm|tegra)$")
_SPECIAL = {"PMIC-Die": "PMIC", "thermal-fan-est": "thermal"}


class Zone(msgspec.Struct, frozen=True):
    """A thermal zone: the sensor's name and the file with its millidegrees."""

    name: str
    path: str


class FanFiles(msgspec.Struct, frozen=True):
    """Where the fan's duty (0 to 255) and its speed are; either may be missing."""

    duty: str | None = None
    rpm: str | None = None


def find_zones(tree: Tree) -> tuple[Zone, ...]:
    """Every thermal zone by its sensor's name; of zones that share a name the first."""
    zones: dict[str, Zone] = {}
    for path in tree.find("sys/class/thermal/thermal_zone*"):
        kind = tree.read(f"{path}/type")
        if kind:
            name = _SPECIAL.get(kind) or _SUFFIX.sub("", kind)
            zones.setdefault(name, Zone(name, f"{path}/temp"))
    return tuple(zones.values())


def read_zones(tree: Tree, zones: tuple[Zone, ...]) -> dict[str, Temperature | None]:
    """Degrees Celsius by sensor; None where the sensor is off or can't be read."""
    found: dict[str, Temperature | None] = {}
    for zone in zones:
        millidegrees = tree.number(zone.path)
        off = millidegrees is None or millidegrees == OFF_MILLIDEGREES
        found[zone.name] = None if off else Temperature((millidegrees or 0) / MILLIDEGREES)
    return found


def find_fan(tree: Tree) -> FanFiles | None:
    """The fan's files: hwmon `pwmfan` with the speed in a node of its own, or JetPack 4's pwm-fan."""
    duty = rpm = None
    for path in tree.find("sys/class/hwmon/hwmon*"):
        name = tree.read(f"{path}/name")
        if name in ("pwmfan", "pwm-fan") and duty is None:
            duty = _first(tree, f"{path}/pwm1")
        for file in (f"{path}/rpm", f"{path}/fan1_input"):
            if name in ("pwm_tach", "pwm-tach", "tachometer", "pwmfan", "pwm-fan") and rpm is None:
                rpm = _first(tree, file)
    duty = duty or _first(tree, "sys/devices/pwm-fan/cur_pwm", "sys/devices/pwm-fan/target_pwm")
    rpm = rpm or _first(tree, "sys/devices/pwm-fan/rpm_measured")
    return FanFiles(duty, rpm) if duty or rpm else None


def read_fan(tree: Tree, files: FanFiles | None) -> Fan | None:
    """Duty and speed now; None when neither can be read."""
    if files is None:
        return None
    duty = tree.number(files.duty) if files.duty else None
    rpm = tree.number(files.rpm) if files.rpm else None
    if duty is None and rpm is None:
        return None
    return Fan(duty=None if duty is None else duty / FULL_DUTY, rpm=rpm)


def _first(tree: Tree, *paths: str) -> str | None:
    return next((path for path in paths if tree.number(path) is not None), None)
