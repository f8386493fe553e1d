"""Which board this is: its device tree and its L4T release."""

import re
from functools import lru_cache
from importlib import resources

import msgspec

from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.documents import parse_toml

#: First line of /etc/nv_tegra_release: `# R36 (release), REVISION: 4.3, GCID: ...`
_RELEASE = re.compile(r"# R(\d+) \(\w+\), REVISION: ([\d.]+)")


class BoardIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What the board says it is; None where it doesn't say."""

    model: str | None = None
    compatible: tuple[str, ...] = ()
    soc: str | None = None
    family: str | None = None
    l4t: str | None = None
    jetpack: str | None = None


class _Releases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jetpack: dict[str, str]
    soc: dict[str, str]
    family: dict[str, str]


def recognise(tree: Tree) -> BoardIdentity:
    """The board's identity. Never raises: a machine that is no Jetson has none."""
    compatible = tuple(part for part in (tree.read("proc/device-tree/compatible") or "").split("\0") if part)
    release = _RELEASE.match(tree.read("etc/nv_tegra_release") or "")
    l4t = f"{release[1]}.{release[2]}" if release else None
    known = _releases()
    socs = (known.soc.get(entry.rpartition(",")[2]) for entry in compatible)
    return BoardIdentity(
        model=tree.read("proc/device-tree/model"),
        compatible=compatible,
        soc=next((soc for soc in socs if soc), None),
        family=_family(compatible, known.family),
        l4t=l4t,
        jetpack=_jetpack(l4t, known.jetpack) if l4t else None,
    )


def _family(compatible: tuple[str, ...], known: dict[str, str]) -> str | None:
    modules = [part for entry in compatible for part in re.split(r"[,+]", entry)]
    for part in modules:
        for number, family in known.items():
            if part == number or part.startswith(f"{number}-"):
                return family
    return None


def _jetpack(l4t: str, known: dict[str, str]) -> str | None:
    numbers = l4t.split(".")
    for length in range(len(numbers), 0, -1):
        if found := known.get(".".join(numbers[:length])):
            return found
    return None


@lru_cache(1)
def _releases() -> _Releases:
    text = resources.files("tidewatt_agent.data").joinpath("releases.toml").read_text("utf-8")
    return parse_toml(text, _Releases, name="releases.toml")
