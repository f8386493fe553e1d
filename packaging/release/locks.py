"""The locks in requirements/, as data: what is installed, in which version, for which Python."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.tree import ROOT, stop

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Locked(msgspec.Struct, frozen=True):
    """One line: a version, the Pythons of Linux for which it is meant, the hashes of its files."""

    name: str
    version: str
    pythons: tuple[str, ...]
    hashes: tuple[str, ...]


def locked(lock: str, pythons: Sequence[str], *, only: Sequence[str] = ()) -> list[Locked]:
    """What requirements/LOCK.txt installs on Linux for these Pythons, by name; `only`: of it these names."""
    return [
        one
        for one in parse_lock((ROOT / f"requirements/{lock}.txt").read_text("utf-8"), pythons)
        if one.pythons and (not only or one.name in only)
    ]


def parse_lock(text: str, pythons: Sequence[str]) -> list[Locked]:
    """Every line of a lock, `pythons` being those of the given ones that its marker lets in."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        wanted = Requirement(line.partition(" --hash")[0])
        (pin,) = wanted.specifier
        held = tuple(python for python in pythons if _applies(wanted, python))
        found.append(
            Locked(canonicalize_name(wanted.name), pin.version, held, tuple(sorted(HASH.findall(line))))
        )
    return sorted(found, key=lambda one: (one.name, one.version))


def _applies(wanted: Requirement, python: str) -> bool:
    return wanted.marker is None or any(
        wanted.marker.evaluate(_linux(python, machine)) for machine in ("x86_64", "aarch64")
    )


def _linux(python: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.99",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def licences() -> dict[str, str]:
    """SPDX expressions by package, from packaging/licences.toml."""
    found = {}
    for line in (ROOT / "packaging/licences.toml").read_text("utf-8").splitlines():
        if match := re.match(r'^([a-z0-9-]+) = "([^"]+)"$', line):
            found[match[1]] = match[2]
    return found


def licence(name: str, table: dict[str, str]) -> str:
    """The licence of a package that is carried; ends the program where nobody has looked yet."""
    if name not in table:
        stop(f"{name} has no licence in packaging/licences.toml: read its licence file and add it")
    return table[name]


def folder_name(path: Path) -> tuple[str, str]:
    """Name and version that a NAME-VERSION.dist-info folder stands for."""
    name, _, version = path.name.removesuffix(".dist-info").partition("-")
    return canonicalize_name(name), version
