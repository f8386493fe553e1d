"""docs/cli.md and the manual's pages, from the commands as data."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from commands import Command, Parameter, Program

from tidewatt_coordinator.command.exits import MEANINGS

VERSION_DATE = re.compile(r"^ -- .*  \w+, (\d+ \w+ \d+) ", re.MULTILINE)
#: What no command line says: files, and where else to look.
FILES = {
    "tidewatt": {
        "/etc/tidewatt/coordinator.toml": "the configuration: `tidewatt config default` prints every key",
        "/var/lib/tidewatt-coordinator": "where the Debian package keeps the ledger, the fleet's CA and the "
        "keys of policy; there, `tidewatt` as root goes on as the user tidewatt-coordinator",
    },
    "tidewatt-agent": {
        "/etc/tidewatt/agent.toml": "the configuration: every key with its default and its meaning",
        "/var/lib/tidewatt": "counters, this device's key and certificate, what was learned of the operating "
        "points, and what the actuator has to put back",
    },
    "tidewatt-router": {"/etc/tidewatt/router.toml": "the configuration"},
    "tidewatt-actuator": {
        "/var/lib/tidewatt/undo.json": "how the board was found; there only while something is changed",
    },
}
ALSO = {
    "tidewatt": ("tidewatt-agent (1)", "tidewatt-router (1)"),
    "tidewatt-agent": ("tidewatt-actuator (8)",),
    "tidewatt-actuator": ("tidewatt-agent (1)",),
}
HEAD = """# Commands

Every command prints what it is asked for on standard output, and on standard error in one sentence what went
wrong. `--json` prints JSON by one rule: a list of rows, or an object that begins with its `schema` version;
money is a string of plain digits, what is missing is null, units stand in the names. Completion in bash, zsh
and fish: `tidewatt --install-completion`. The pages of the manual are made from the same source: `make man`.

## Exit codes

| code | meaning |
|---|---|
"""
DOCTOR = """\
`tidewatt-agent doctor` alone grades: 1 is something to look at, 2 something
that keeps the agent from its work."""


def page(made: str, programs: Sequence[Program]) -> str:
    """docs/cli.md."""
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
    parts = [f"{made}\n{HEAD}{codes}\n\n{DOCTOR}"]
    for program in programs:
        parts += [_told(command, len(command.words)) for command in program.commands]
    return "\n\n".join(parts) + "\n"


def _told(command: Command, depth: int) -> str:
    lines = [f"{'#' * min(depth + 1, 4)} {command.name}", "", _markdown(command.about)]
    if command.parameters:
        lines += ["", f"    {command.usage}", ""]
        lines += [f"- `{one.typed}`: {_markdown(_with_default(one))}".rstrip() for one in command.parameters]
    if command.more:
        lines += ["", _markdown(command.more)]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    """Text in which nothing but `code` is markup."""
    parts = text.split("`")
    return "`".join(
        part if odd % 2 else re.sub(r"([\\*_<\[\]|])", r"\\\1", part) for odd, part in enumerate(parts)
    )


def _with_default(one: Parameter) -> str:
    return f"{one.about} Default: `{one.default}`." if one.default else one.about


def pages(programs: Sequence[Program], changelog: Path, version: str) -> Iterator[tuple[str, str]]:
    """Every page of the manual: file name and text. A group of `tidewatt` has one of its own."""
    found = VERSION_DATE.search(changelog.read_text("utf-8"))
    assert found  # noqa: S101 - ours, and dpkg wants it so
    foot = f'"{found[1]}" "Tidewatt {version}"'
    for program in programs:
        for name, commands in _split(program):
            yield f"{name}.{program.section}", _page(program, name, commands, foot)


def _split(program: Program) -> Iterator[tuple[str, list[Command]]]:
    if program.name != "tidewatt":
        yield program.name, program.commands
        return
    groups: dict[str, list[Command]] = {}
    for one in program.commands[1:]:
        groups.setdefault(one.words[1], []).append(one)
    yield program.name, [program.commands[0], *(commands[0] for commands in groups.values())]
    for name, commands in groups.items():
        yield f"tidewatt-{name}", commands


def _page(program: Program, name: str, commands: list[Command], foot: str) -> str:
    first, *below = commands
    lines = [
        f".TH {name.upper()} {program.section} {foot}",
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(_short(first.about))}",
    ]
    typed = first.usage.removeprefix(first.name) + (" COMMAND ..." if below else "")
    lines += [".SH SYNOPSIS", f".B {_roff(first.name)}", _roff(typed.strip())]
    lines += [".SH DESCRIPTION", _roff(first.about), *_options(first)]
    if below:
        lines.append(".SH COMMANDS")
    for one in below:
        lines += [f".SS {_roff(one.name)}", _roff(one.about), *_options(one)]
        lines += [".PP", _roff(one.more)] if one.more else []
    lines.append(".SH EXIT STATUS")
    for code, meaning in MEANINGS.items():
        lines += [".TP", f".B {code}", _roff(meaning)]
    lines += [".SH FILES"]
    for path, about in FILES[program.name].items():
        lines += [".TP", f".I {_roff(path)}", _roff(about)]
    also = ALSO.get(
        name, ("tidewatt (1)",) if name.startswith("tidewatt-") and program.name == "tidewatt" else ()
    )
    lines += [".SH SEE ALSO", *(f".BR {_roff(one)}" for one in also)] if also else []
    return "\n".join(line for line in lines if line) + "\n"


def _options(command: Command) -> Iterator[str]:
    for one in command.parameters:
        yield ".TP"
        yield f".B {_roff(one.typed)}"
        yield _roff(_with_default(one))


def _short(about: str) -> str:
    """What stands in lists of pages: no capital, no full stop."""
    return about[:1].lower() + about[1:].rstrip(".")


def _roff(text: str) -> str:
    """Text in which nothing is a request or an escape."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
