"""config.md, from the fields of the three configurations and the sentences below them in the source."""

from collections.abc import Iterator

import msgspec

from pages.keys import Key, keys_of
from pages.place import MADE
from tidewatt_agent.config import Config as AgentConfig
from tidewatt_coordinator.config import Config as CoordinatorConfig
from tidewatt_coordinator.levers.lever import AwsLever, Lever
from tidewatt_router.config import Config as RouterConfig

FILES = (
    ("agent.toml", "tidewatt-agent", "TIDEWATT_AGENT", AgentConfig),
    ("coordinator.toml", "tidewatt", "TIDEWATT", CoordinatorConfig),
    ("router.toml", "tidewatt-router", "TIDEWATT_ROUTER", RouterConfig),
)
HEAD = """# Configuration

Every key of the three files: its type, its unit, its default, what it is for. A misspelt key is an error that
names the nearest right one. What is left out has its default; *absent* stands for a key that may be left out
and has no value then. Money stands in quotes, so that it is exact.

| file | checked by | a key by environment |
|---|---|---|
"""
#: What several sections begin with: told once.
SHARED = {
    Lever: ("lever", "Every driver's section begins with these keys"),
    AwsLever: ("aws-lever", "Every driver of AWS has these, too"),
}


class _Told:
    """What was told already, by struct: tables that stand in several places are told once."""

    def __init__(self) -> None:
        self.places: dict[type, str] = {}


def config_page() -> str:
    """docs/config.md."""
    rows = [
        f"| [{file}](../packaging/config/{file}) | `{program} config validate` | "
        f"`{prefix}__SECTION__KEY=value` |"
        for file, program, prefix, _kind in FILES
    ]
    parts = [f"{MADE}\n{HEAD}" + "\n".join(rows)]
    for file, _program, _prefix, kind in FILES:
        parts += [f"## {file}", *_whole(kind, _Told())]
    return "\n\n".join(parts) + "\n"


def _whole(kind: type[msgspec.Struct], told: _Told) -> Iterator[str]:
    keys = list(keys_of(kind))
    if plain := [key for key in keys if not key.tables]:
        yield "Before all sections, or as tables of their own:"
        yield _table(plain)
    for key in keys:
        yield from _below(key, key.name, told)


def _below(key: Key, path: str, told: _Told) -> Iterator[str]:
    """The sections that a key opens."""
    for kind in key.tables:
        heading = f"[[{path}]]" if key.many else f"[{path}]"
        if kind in told.places:
            yield f"### {heading}\n\n{_about(kind, key)} The same keys as in {told.places[kind]}."
            continue
        told.places[kind] = f"`{heading}`"
        yield from _section(kind, key, path, heading, told)


def _section(kind: type, key: Key, path: str, heading: str, told: _Told) -> Iterator[str]:
    keys = list(keys_of(kind))
    base = next((one for one in (AwsLever, Lever) if issubclass(kind, one)), None)
    if base:
        known = {one.name: one for one in keys_of(base)}
        keys = [one for one in keys if known.get(one.name) != one]
    lines = [f"### {heading}", _about(kind, key)]
    if base:
        lines[-1] += f" {SHARED[base][1]}: see `[levers]`; what differs is told here."
    if shown := [one for one in keys if not (one.tables and one.form == "table")]:
        lines.append(_table(shown))
    if path == "levers":
        for shared, (_name, sentence) in SHARED.items():
            already = {one.name for one in keys_of(Lever)} if shared is AwsLever else set()
            lines += [f"{sentence}:", _table([one for one in keys_of(shared) if one.name not in already])]
    yield "\n\n".join(lines)
    for one in keys:
        yield from _below(one, f"{path}.{one.name}", told)


def _about(kind: type, key: Key) -> str:
    return " ".join((key.about or kind.__doc__ or "").split())


def _said(key: Key) -> str:
    """What a key is for; LookupError where nobody wrote it."""
    if said := key.about or next((_about(kind, key) for kind in key.tables), ""):
        return said
    raise LookupError(f"nothing is said of the key {key.name!r}: write it below its field")


def _table(keys: list[Key]) -> str:
    rows = ["| key | type | unit | default | what |", "|---|---|---|---|---|"]
    rows += [
        f"| `{key.name}` | {_cell(key.form)} | {key.unit} | {_cell(key.default)} | {_cell(_said(key))} |"
        for key in keys
    ]
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
