"""What the commands of our daemons share: how they end, and their configuration file.

Exit codes: 0 done, 1 it failed while working, 2 the command line or a file is wrong.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from tidewatt_link import logs
from tidewatt_wire.documents import decode_text, environment_overrides, to_toml

FAILED, WRONG = 1, 2
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class Parse(Protocol[C_co]):
    """Reads a configuration's text."""

    def __call__(self, text: str, *, name: str, overrides: dict[str, Any]) -> C_co:
        """Raise DocumentError, or ValueError, for a text that is wrong."""


def run_command(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Run what was asked for, and exit; what goes wrong is one sentence that begins with the parser's name.

    The parser gives --log-level, and a `command` that takes the options and returns the exit code.
    """
    options = parser.parse_args(arguments)
    logs.begin("console", options.log_level)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        sys.exit(command(options))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(parser.prog, f"{where}{error.strerror or error}")
        sys.exit(WRONG if isinstance(error, FileNotFoundError) else FAILED)
    except ValueError as error:  # a document's, too
        complain(parser.prog, str(error))
        sys.exit(WRONG)


def complain(prog: str, sentence: str) -> None:
    """Say on standard error who could not do what."""
    print(f"{prog}: {sentence}", file=sys.stderr)


class ConfigFile:
    """The file that --config names: read by every command, printed and validated by `config`."""

    def __init__(self, default: str, environment: str) -> None:
        self._default, self._environment = default, environment

    def is_absent(self, path: Path) -> bool:
        """Whether nothing was named, and there is nothing: a file that was named must be there."""
        return str(path) == self._default and not path.exists()

    def add_option(self, parser: argparse.ArgumentParser) -> None:
        """--config FILE."""
        parser.add_argument("--config", type=Path, default=Path(self._default), help="default: %(default)s")

    def add_commands(
        self,
        commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
        read: Callable[[argparse.Namespace], msgspec.Struct],
    ) -> None:
        """`config print` and `config validate`."""
        config = commands.add_parser("config", help="print or validate the configuration")
        actions = config.add_subparsers(required=True, metavar="print|validate")
        shown = actions.add_parser("print", help="print the configuration in force, defaults included")
        shown.set_defaults(command=lambda options: _print(read(options)))
        checked = actions.add_parser("validate", help="say what is wrong with a configuration file")
        checked.set_defaults(command=lambda options: _validated(options, read))
        for one in (shown, checked):
            self.add_option(one)

    def read(self, options: argparse.Namespace, parse: Parse[C]) -> C:
        """The configuration in force: the file's, under what the environment overrides."""
        path: Path = options.config
        overrides = environment_overrides(os.environ, self._environment)
        return parse(decode_text(path.read_bytes(), str(path)), name=str(path), overrides=overrides)


def _print(config: msgspec.Struct) -> int:
    print(to_toml(config), end="")
    return 0


def _validated(options: argparse.Namespace, read: Callable[[argparse.Namespace], msgspec.Struct]) -> int:
    read(options)
    print(f"{options.config}: good")
    return 0
