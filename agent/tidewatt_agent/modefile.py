"""Power modes as a recording has them: TOML with a name for each value."""

import msgspec

from tidewatt_agent.nvpmodel import Param, PowerMode, PowerModes, Setting
from tidewatt_wire.documents import parse_toml, to_toml


class _Param(msgspec.Struct, frozen=True):
    name: str
    type: str
    args: dict[str, list[str]]


class _Setting(msgspec.Struct, frozen=True):
    param: str
    arg: str
    value: int


class _Mode(msgspec.Struct, frozen=True):
    id: int
    name: str
    settings: list[_Setting]


class _Modes(msgspec.Struct, frozen=True):
    default: int | None
    params: list[_Param]
    modes: list[_Mode]
    unknown: list[str]


def parse_modes(text: str, name: str = "nvpmodel.toml") -> PowerModes:
    """The modes of a recording's file; DocumentError names what is wrong in it."""
    found = parse_toml(text, _Modes, name=name)
    return PowerModes(
        found.default,
        [Param(one.name, one.type, one.args) for one in found.params],
        [
            PowerMode(mode.id, mode.name, [Setting(one.param, one.arg, one.value) for one in mode.settings])
            for mode in found.modes
        ],
        found.unknown,
    )


def modes_to_toml(modes: PowerModes) -> str:
    """What `parse_modes` reads back."""
    modes_as_tables = [
        {**mode._asdict(), "settings": [one._asdict() for one in mode.settings]} for mode in modes.modes
    ]
    params = [param._asdict() for param in modes.params]
    return to_toml({**modes._asdict(), "params": params, "modes": modes_as_tables})
