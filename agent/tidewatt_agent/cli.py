"""The `tidewatt-agent` command.

Exit codes: 0 done, 1 it failed while working, 2 the command line or a file is wrong.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tidewatt_agent import VERSION
from tidewatt_agent.config import Config, parse_config
from tidewatt_governor.boards import load_profile, shipped_profiles
from tidewatt_governor.traffic import TraceError
from tidewatt_wire.documents import DocumentError, decode_text, environment_overrides, parse_toml, to_toml

DEFAULT_CONFIG = "/etc/tidewatt/agent.toml"
FAILED, WRONG = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        sys.exit(command(options))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (DocumentError, TraceError) as error:
        _complain(str(error))
        sys.exit(WRONG)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        sys.exit(WRONG if isinstance(error, FileNotFoundError) else FAILED)
    except ValueError as error:
        _complain(str(error))
        sys.exit(WRONG)


def _complain(sentence: str) -> None:
    print(f"tidewatt-agent: {sentence}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidewatt-agent", description="The power governor daemon of one Jetson."
    )
    parser.add_argument("--version", action="version", version=f"tidewatt-agent {VERSION}")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="be the agent, until stopped")
    _config_option(run)
    run.add_argument("--until-eof", action="store_true", help="stop, too, when standard input ends")
    run.set_defaults(command=_run)

    config = commands.add_parser("config", help="print or validate the configuration")
    actions = config.add_subparsers(required=True, metavar="print|validate")
    shown = actions.add_parser("print", help="print the configuration in force, defaults included")
    _config_option(shown)
    shown.set_defaults(command=_config_print)
    checked = actions.add_parser("validate", help="say what is wrong with a configuration file")
    _config_option(checked)
    checked.set_defaults(command=_config_validate)

    parse = commands.add_parser("parse", help="tegrastats lines on standard input to JSON lines")
    parse.set_defaults(command=_parse)

    replay = commands.add_parser("replay", help="decide again from a journal; print each decision")
    replay.add_argument("journal", type=Path)
    replay.add_argument("--profile", default="orin-nano-super", choices=shipped_profiles())
    replay.set_defaults(command=_replay)

    simulate = commands.add_parser("simulate", help="be a machine room of simulated boards")
    simulate.add_argument("file", type=Path, help="TOML file that says which boards and which traffic")
    simulate.set_defaults(command=_simulate)
    return parser


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), help="default: %(default)s")


def _read_config(options: argparse.Namespace) -> Config:
    path: Path = options.config
    overrides = environment_overrides(os.environ, "TIDEWATT_AGENT")
    return parse_config(decode_text(path.read_bytes(), str(path)), name=str(path), overrides=overrides)


def _run(options: argparse.Namespace) -> int:
    from tidewatt_agent.daemon import run  # noqa: PLC0415 - the other commands stay light

    asyncio.run(run(_read_config(options), until_eof=options.until_eof))
    return 0


def _config_print(options: argparse.Namespace) -> int:
    print(to_toml(_read_config(options)), end="")
    return 0


def _config_validate(options: argparse.Namespace) -> int:
    _read_config(options)
    print(f"{options.config}: good")
    return 0


def _parse(_options: argparse.Namespace) -> int:
    from tidewatt_agent.tegrastats.parse import NotTegrastats, parse_line  # noqa: PLC0415

    if sys.stdin is None:
        raise ValueError("standard input is closed; lines come from there")
    refused = 0
    for number, raw in enumerate(sys.stdin.buffer, start=1):
        try:
            sample = parse_line(raw.decode("utf-8", "replace"))
        except NotTegrastats as error:
            refused += 1
            _complain(f"line {number}: {error}")
            continue
        print(msgspec.json.encode(sample).decode())
    return FAILED if refused else 0


def _replay(options: argparse.Namespace) -> int:
    from tidewatt_agent.replay import replay  # noqa: PLC0415

    different = 0
    journal = decode_text(options.journal.read_bytes(), str(options.journal))
    for replayed in replay(journal.splitlines(), load_profile(options.profile)):
        print(replayed.sentence())
        different += not replayed.same
    return FAILED if different else 0


def _simulate(options: argparse.Namespace) -> int:
    from tidewatt_agent.standin.run import RoomConfig, run  # noqa: PLC0415

    config = parse_toml(
        decode_text(options.file.read_bytes(), str(options.file)), RoomConfig, name=str(options.file)
    )
    asyncio.run(run(config))
    return 0
