"""Whose work is in a package, and under which licences."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from release.contents import ARTEFACTS
from release.locks import folder_name, licence, licences, locked
from release.tree import ROOT

OURS = "tidewatt-"
HEAD = """\
{package} carries the Python packages below, as they were published, but for tests, headers and type
stubs that are left out. Each one's licence text and notices are in its folder NAME-VERSION.dist-info
below /usr/lib/{home}. They are not ours, and stand under their own licences.

"""
PAGE_HEAD = """\
Tidewatt
Copyright 2026 Tidewatt, licensed under the Apache License 2.0 (see LICENSE).

What the Debian packages and the coordinator's image carry of others: name, versions (an older one where it
is the last for Python 3.10), licence as an SPDX expression. Each one's licence text is in its dist-info
folder in the package. jetson-stats (AGPL-3.0) is in none of them: those who want it install it themselves.
Made by docs/generate.py from the locks in requirements/ and packaging/licences.toml.

Data that our own wheels carry: the traffic of a day is Microsoft's (MIT,
governor/tidewatt_governor/data/traces/NOTICE); yearly carbon averages are Our World in Data's
(CC BY 4.0, from Ember and the Energy Institute).
"""


class Carried(msgspec.Struct, frozen=True):
    """A package of somebody else in one of ours."""

    name: str
    versions: tuple[str, ...]
    licence: str

    def __str__(self) -> str:
        return f"{self.name} {', '.join(self.versions)}: {self.licence}"


def bundled(home: Path) -> list[Carried]:
    """What lies in a package, by its dist-info folders; ends the program at an unknown licence."""
    found = (folder_name(path) for path in home.glob("*/*.dist-info"))
    return _carried((name, version) for name, version in found if not name.startswith(OURS))


def named(artefact: str) -> list[Carried]:
    """The same, by the lock that the package is made from."""
    about = ARTEFACTS[artefact]
    found = locked(about.lock, about.pythons, only=about.only)
    return _carried((one.name, one.version) for one in found)


def _carried(found: Iterable[tuple[str, str]]) -> list[Carried]:
    table, versions = licences(), dict[str, set[str]]()
    for name, version in found:
        versions.setdefault(name, set()).add(version)
    return [Carried(name, tuple(sorted(versions[name])), licence(name, table)) for name in sorted(versions)]


def copyright_text(home: Path, carried: list[Carried]) -> str:
    """Debian's copyright file."""
    text = (ROOT / "packaging/deb/copyright").read_text("utf-8")
    text = text.replace("@HOME@", home.name)
    return text.replace("@LICENCES@", "\n".join(f"  {one}" for one in carried))


def notices_text(package: str, home: Path, carried: list[Carried]) -> str:
    """The list that a package brings along."""
    return HEAD.format(package=package, home=home.name) + "".join(f"{one}\n" for one in carried)


def page() -> str:
    """docs/NOTICE."""
    parts = [PAGE_HEAD]
    for artefact in ARTEFACTS:
        parts.append(f"\n{artefact}\n")
        parts += [f"  {one}\n" for one in named(artefact)]
    return "".join(parts)
