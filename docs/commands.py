"""The commands as data, whatever reads their command lines: typer for `tidewatt`, argparse for the daemons.
cli.md and the manual's pages are written from it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from typer.core import TyperGroup
from typer.main import get_command

from tidewatt_agent.actuator.cli import command_line as actuator
from tidewatt_agent.cli import command_line as agent
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.command.contents import COMMANDS
from tidewatt_router.cli import command_line as router

#: What stands for a value of a type.
VALUES = {int: "N", float: "X", Path: "FILE"}


class Parameter(msgspec.Struct, frozen=True):
    """An option or an argument as it is typed, and its sentence."""

    typed: str
    about: str
    default: str = ""

    @property
    def is_option(self) -> bool:
        """Whether it begins with a hyphen."""
        return self.typed.startswith("-")


class Command(msgspec.Struct, frozen=True):
    """One command. `words` begin with the program's name; `about` is empty where somebody forgot it."""

    words: tuple[str, ...]
    about: str
    parameters: tuple[Parameter, ...] = ()
    more: str = ""
    """What stands below: exit codes of its own, for instance."""

    @property
    def name(self) -> str:
        """As it is typed, without what follows."""
        return " ".join(self.words)

    @property
    def usage(self) -> str:
        """The line that shows how it is called."""
        arguments = [one.typed for one in self.parameters if not one.is_option]
        options = ["[OPTIONS]"] if any(one.is_option for one in self.parameters) else []
        return " ".join([*self.words, *options, *arguments])


class Program(msgspec.Struct, frozen=True):
    """A program: itself, and every command of it, groups before what is in them."""

    name: str
    section: int
    commands: list[Command]


def programs() -> list[Program]:
    """Everything that is installed to be typed."""
    return [
        Program("tidewatt", 1, [*_of_typer()]),
        Program("tidewatt-agent", 1, [*_of_argparse(agent())]),
        Program("tidewatt-router", 1, [*_of_argparse(router())]),
        Program("tidewatt-actuator", 8, [*_of_argparse(actuator())]),
    ]


def _of_typer() -> Iterator[Command]:
    whole: Any = get_command(app)
    yield Command(("tidewatt",), _sentence(whole.help), tuple(_parameters(whole)))
    for name, entry in sorted(COMMANDS.items()):
        yield from _below(entry.load(name), ("tidewatt", name))


def _below(command: Any, words: tuple[str, ...]) -> Iterator[Command]:
    if command.hidden:
        return
    yield Command(words, _sentence(command.help), tuple(_parameters(command)))
    if isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from _below(one, (*words, name))


def _parameters(command: Any) -> Iterator[Parameter]:
    for one in command.params:
        if one.hidden or one.name == "help":
            continue
        if one.param_type_name == "argument":
            name = (one.metavar or one.name).upper() + ("..." if one.nargs == -1 else "")
            typed = name if one.required else f"[{name}]"
        else:
            names = ", ".join([*one.opts, *one.secondary_opts])
            typed = names if one.is_flag else f"{names} {_value(one)}"
        yield Parameter(typed, _sentence(one.help), _default(one))


def _value(one: Any) -> str:
    return str(one.metavar or VALUES.get(one.type_descriptor.annotation, "TEXT"))


def _default(one: Any) -> str:
    value = one.default
    asked = callable(value) or one.required or isinstance(value, bool)
    return "" if asked or value in (None, "", [], ()) else str(value)


def _of_argparse(parser: argparse.ArgumentParser) -> Iterator[Command]:
    yield from _argparse(parser, (parser.prog,), parser.description or "")


def _argparse(parser: argparse.ArgumentParser, words: tuple[str, ...], about: str) -> Iterator[Command]:
    parameters, below = [], []
    for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            below += [(one, (*words, name), helps.get(name, "")) for name, one in action.choices.items()]
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            parameters.append(_argument(action, parser))
    yield Command(words, _sentence(about), tuple(parameters), _sentence(parser.epilog))
    for one in below:
        yield from _argparse(*one)


def _argument(action: argparse.Action, parser: argparse.ArgumentParser) -> Parameter:
    about = (action.help or "").replace(" (default: %(default)s)", "").replace("default: %(default)s", "")
    about = about % {**vars(action), "prog": parser.prog}
    flag = not isinstance(action.default, (str, int, float)) or isinstance(action.default, bool)
    default = "" if flag or action.nargs == 0 or action.default == argparse.SUPPRESS else str(action.default)
    names, value = ", ".join(action.option_strings), _stands_for(action)
    if not names:
        typed = f"[{value}]" if action.nargs in ("?", "*") else value
    else:
        typed = names if action.nargs == 0 else f"{names} {value}"
    return Parameter(typed, _sentence(about or "The TOML file." * (action.dest == "config")), default)


def _stands_for(action: argparse.Action) -> str:
    if action.metavar or not action.choices:
        name = str(action.metavar or action.dest.upper().replace("_", "-"))
    else:
        name = "|".join(map(str, action.choices))
    return name + ("..." if action.nargs in ("*", "+") else "")


def _sentence(text: str | None) -> str:
    """One paragraph, with a capital and a full stop."""
    words = " ".join((text or "").split())
    if not words:
        return ""
    words = words[0].upper() + words[1:]
    return words if words[-1] in ".:!?" else f"{words}."
