"""The board's power modes, from nvpmodel.conf. Pure.

    < PARAM TYPE=FILE|CLOCK|HWMON NAME=name >    then lines: ARG path   (HWMON: ARG path file)
    < POWER_MODEL ID=n NAME=name >               then lines: NAME ARG value
    < PM_CONFIG DEFAULT=n >                      the mode of the first boot

Real files break their own grammar: no space before `>`, any order of attributes, runs of
spaces, comments anywhere, gaps in the ids, cores that no line names. What is no line of the
grammar is kept in `unknown`. Ids and names are the file's; none is ever assumed.
"""

import re
from typing import NamedTuple

_HEADER = re.compile(r"<\s*(PARAM|POWER_MODEL|PM_CONFIG|FAN_CONFIG)\b(.*?)/?>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*([^\s<>]+)")
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_ID = re.compile(r"\d{1,6}", re.ASCII)
#: Where NVIDIA's own tools look for it, first first.
CONF_PATHS = ("odm/etc/nvpmodel.conf", "vendor/etc/nvpmodel.conf", "etc/nvpmodel.conf")


class Param(NamedTuple):
    """Something a mode sets: its type, and each argument with the file (and attribute) it stands for."""

    name: str
    type: str
    args: dict[str, list[str]]


class Setting(NamedTuple):
    """One value of a mode: -1 is no cap; on EMC 0 is none either."""

    param: str
    arg: str
    value: int


class PowerMode(NamedTuple):
    """One mode: its id and name, and what it sets, in the file's order."""

    id: int
    name: str
    settings: list[Setting]


class PowerModes(NamedTuple):
    """Everything the file says. `default` is None when it names none."""

    default: int | None
    params: list[Param]
    modes: list[PowerMode]
    unknown: list[str]

    def mode(self, mode_id: int) -> PowerMode | None:
        """The mode with this id, None if the file has none."""
        return next((mode for mode in self.modes if mode.id == mode_id), None)


def parse_conf(text: str) -> PowerModes:
    """The modes of a file; of two with one id the first holds. Never raises."""
    params: list[Param] = []
    modes: list[PowerMode] = []
    unknown: list[str] = []
    default: int | None = None
    here: Param | PowerMode | None = None
    for line in text.splitlines():
        words = line.partition("#")[0].strip()
        if not words:
            continue
        header = _HEADER.fullmatch(words)
        if header is None:
            if not _body(words.split(), here):
                unknown.append(words)
            continue
        attributes, here = dict(_ATTRIBUTE.findall(header[2])), None
        if header[1] == "PARAM" and {"TYPE", "NAME"} <= attributes.keys():
            here = Param(attributes["NAME"], attributes["TYPE"], {})
            params.append(here)
        elif header[1] == "POWER_MODEL" and "NAME" in attributes and _ID.fullmatch(attributes.get("ID", "")):
            here = PowerMode(int(attributes["ID"]), attributes["NAME"], [])
            if any(mode.id == here.id for mode in modes):
                unknown.append(words)
                here = None
            else:
                modes.append(here)
        elif header[1] == "PM_CONFIG" and _ID.fullmatch(attributes.get("DEFAULT", "")):
            default = int(attributes["DEFAULT"])
        elif header[1] != "FAN_CONFIG":
            unknown.append(words)
    return PowerModes(default, params, modes, unknown)


def to_conf(modes: PowerModes) -> str:
    """The modes in the file's grammar: what `parse_conf` reads back."""
    lines: list[str] = []
    for param in modes.params:
        lines += ["", f"< PARAM TYPE={param.type} NAME={param.name} >"]
        lines += [f"{arg} {' '.join(words)}" for arg, words in param.args.items()]
    for mode in modes.modes:
        lines += ["", f"< POWER_MODEL ID={mode.id} NAME={mode.name} >"]
        lines += [f"{one.param} {one.arg} {one.value}" for one in mode.settings]
    if modes.default is not None:
        lines += ["", f"< PM_CONFIG DEFAULT={modes.default} >"]
    return "\n".join(lines).lstrip() + "\n"


def _body(words: list[str], here: Param | PowerMode | None) -> bool:
    """Take a line below a header; whether it was one of the grammar."""
    if any("\0" in word for word in words):
        return False
    if isinstance(here, Param) and len(words) >= 2:  # noqa: PLR2004 - a name and a path
        here.args[words[0]] = words[1:]
        return True
    if isinstance(here, PowerMode) and len(words) == 3 and _INTEGER.fullmatch(words[2]):  # noqa: PLR2004
        here.settings.append(Setting(words[0], words[1], int(words[2])))
        return True
    return False
