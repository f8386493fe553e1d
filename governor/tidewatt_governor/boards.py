"""Board profiles: the operating points of a class of board, and its simulated physics.

A profile is a dated TOML file with the source of each figure (governor/tidewatt_governor/data).
"""

from collections.abc import Iterable
from importlib import resources
from typing import Annotated

import msgspec

from tidewatt_governor import points
from tidewatt_wire.documents import DocumentError, parse_toml
from tidewatt_wire.messages import OperatingPoint

Hertz = Annotated[int, msgspec.Meta(gt=0)]


class Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock caps of a mode in hertz, and how many cores it leaves online."""

    cpu: Hertz
    gpu: Hertz
    emc: Hertz
    cores: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Physics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated board has beyond its operating points; degrees C, watts, seconds."""

    ambient_c: float
    thermal_resistance_c_per_w: Annotated[float, msgspec.Meta(ge=0)]
    thermal_time_constant_s: Annotated[float, msgspec.Meta(gt=0)]
    leakage_per_c: Annotated[float, msgspec.Meta(ge=0)]
    leakage_from_c: float
    throttle_at_c: float
    throttle_factor: Annotated[float, msgspec.Meta(gt=0, le=1)]
    switch_pause_s: Annotated[float, msgspec.Meta(ge=0)]
    queue_limit_s: Annotated[float, msgspec.Meta(gt=0)]


class Calibrated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a profile was measured: by `tidewatt-agent calibrate`, on one board, with one application."""

    date: str
    """YYYY-MM-DD, of the last time."""
    measurements: int
    """In all, where it was measured mode by mode."""
    power_error: dict[str, float]
    """By mode: the largest share by which the power line misses what was measured."""
    rate_error: dict[str, float]
    """By mode: the share by which the rate within the promise may be off."""


class BoardProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of board: its operating points, their caps, the vendor's default mode, its physics."""

    name: str
    title: str
    vendor_default: str
    compatible: list[str]
    """Boards it is for, as their device tree's `compatible` ends: `p3767-0005-super`."""
    points: list[OperatingPoint]
    caps: dict[str, Caps]
    physics: Physics
    calibration: Calibrated | None = None
    """None: the class default that is shipped."""

    def fits(self, compatible: Iterable[str]) -> bool:
        """Whether it is for a board with these `compatible` strings."""
        return any(entry.endswith(end) for entry in compatible for end in self.compatible)

    def point(self, name: str) -> OperatingPoint:
        """The operating point called `name`; KeyError names the ones there are."""
        found = points.find(self.points, name)
        if found is None:
            raise KeyError(f"no operating point {name!r}; there are {', '.join(p.name for p in self.points)}")
        return found


def parse_profile(text: str, *, name: str) -> BoardProfile:
    """The profile in `text`; DocumentError says what is wrong in file `name`."""
    profile = parse_toml(text, BoardProfile, name=name)
    names = [point.name for point in profile.points]
    if len(set(names)) != len(names) or not names:
        raise DocumentError(f"{name}: points need distinct names and there must be at least one")
    if profile.vendor_default not in names:
        raise DocumentError(
            f"{name}: vendor_default {profile.vendor_default!r} is none of {', '.join(names)}"
        )
    if missing := sorted(set(names) - set(profile.caps)):
        raise DocumentError(f"{name}: caps are missing for {', '.join(missing)}")
    for point in profile.points:
        if why := _why_untrimmable(point, profile.caps[point.name]):
            raise DocumentError(f"{name}: {point.name}: {why}")
    return profile


def _why_untrimmable(point: OperatingPoint, mode: Caps) -> str | None:
    """What is wrong with the point's trims; None where nothing is."""
    names = [trim.name for trim in point.trims]
    if len(set(names)) != len(names):
        return "trims need distinct names"
    own = {"cpu": mode.cpu, "gpu": mode.gpu, "emc": mode.emc}
    for trim in point.trims:
        if not trim.caps or not set(trim.caps) <= set(own):
            return f"trim {trim.name!r} needs caps of {', '.join(own)}, and of nothing else"
        above = [clock for clock, hertz in trim.caps.items() if not 0 < hertz <= own[clock]]
        if above:
            return f"trim {trim.name!r} caps {', '.join(above)} above the mode's own cap, or at nothing"
        if trim.capacity_rps > point.capacity_rps:
            return f"trim {trim.name!r} has more capacity than the mode without it"
    return None


def shipped_profiles() -> list[str]:
    """The names of the profiles that come with the product."""
    files = resources.files("tidewatt_governor.data").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_profile(name: str) -> BoardProfile:
    """A shipped profile by name; DocumentError lists the ones there are."""
    if name not in shipped_profiles():
        raise DocumentError(f"no board profile {name!r}; shipped ones: {', '.join(shipped_profiles())}")
    file = f"{name}.toml"
    return parse_profile(
        resources.files("tidewatt_governor.data").joinpath(file).read_text("utf-8"), name=file
    )


def is_file(name: str) -> bool:
    """Whether a profile's name is that of a file, and not of a shipped one."""
    return name.endswith(".toml")


def profile_for(compatible: Iterable[str]) -> BoardProfile | None:
    """The shipped profile of a board with these device tree `compatible` strings, None if there is none."""
    entries = list(compatible)
    return next((p for p in map(load_profile, shipped_profiles()) if p.fits(entries)), None)
