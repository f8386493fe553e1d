"""The `tidewatt-router` command.

Exit codes: 0 done, 1 it failed while working, 2 the command line or a file is wrong.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tidewatt_link import logs
from tidewatt_link.command import FAILED, ConfigFile, complain, run_command
from tidewatt_router import VERSION
from tidewatt_router.config import Config, parse_config

FILE = ConfigFile("/etc/tidewatt/router.toml", "TIDEWATT_ROUTER")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    run_command(command_line(), arguments)


def _complain(sentence: str) -> None:
    complain("tidewatt-router", sentence)


def command_line() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(
        prog="tidewatt-router", description="Has the proxy of this host follow the fleet's routing weights."
    )
    parser.add_argument("--version", action="version", version=f"tidewatt-router {VERSION}")
    parser.add_argument(
        "--log-level",
        default="info",
        choices=["debug", "info", "warning", "error"],
        help="what is logged, and what is worse",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="be the router, until stopped")
    run.add_argument("--until-eof", action="store_true", help="stop, too, when standard input ends")
    run.set_defaults(command=_run)

    FILE.add_commands(commands, _read_config)

    status = commands.add_parser(
        "status",
        help="what the running router does",
        epilog="exit code: 0 every proxy follows a table in force, 1 not so, or no router answers",
    )
    status.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    status.set_defaults(command=_status)

    check = commands.add_parser(
        "check", help="whether keys and proxies are there and could be driven; nothing is changed"
    )
    check.set_defaults(command=_check)

    render = commands.add_parser("render", help="what the proxies would be told by a table")
    render.add_argument("--table", type=Path, required=True, metavar="FILE", help="sealed, or the bare JSON")
    render.set_defaults(command=_render)
    for one in (run, status, check, render):
        FILE.add_option(one)
    return parser


def _read_config(options: argparse.Namespace) -> Config:
    return FILE.read(options, parse_config)


def _run(options: argparse.Namespace) -> int:
    from tidewatt_router.daemon import run  # noqa: PLC0415 - the other commands stay light

    config = _read_config(options)
    logs.begin(config.log.format, options.log_level)
    asyncio.run(run(config, until_eof=options.until_eof))
    return 0


def _status(options: argparse.Namespace) -> int:
    from tidewatt_router import status  # noqa: PLC0415

    config = _read_config(options)
    if not config.metrics.listen:
        raise ValueError(f"{options.config} names no metrics.listen: the router can't be asked")
    found = status.summarise(status.fetch(config.metrics.listen))
    print(msgspec.json.encode(found).decode() if options.json else "\n".join(status.sentences(found)))
    return 0 if found.well else FAILED


def _check(options: argparse.Namespace) -> int:
    from tidewatt_router.keeping import configured_keys  # noqa: PLC0415
    from tidewatt_router.proxies import CannotApply  # noqa: PLC0415
    from tidewatt_router.proxies.configured import proxies_of  # noqa: PLC0415

    config = _read_config(options)
    problems = [] if configured_keys(config.link) else ["no key is configured: every table is refused"]
    proxies = proxies_of(config)
    problems += [] if proxies else ["no proxy is configured: add [nginx], [haproxy], [envoy] or [gateway]"]
    problems += [] if config.route else ["no [[route]] is configured: there is nothing to share out"]
    for proxy in proxies:
        try:
            proxy.check()
        except CannotApply as error:
            problems.append(str(error))
        else:
            print(f"{proxy.name}: good")
    for problem in problems:
        _complain(problem)
    return FAILED if problems else 0


def _render(options: argparse.Namespace) -> int:
    from tidewatt_router.judging import read_table  # noqa: PLC0415
    from tidewatt_router.keeping import configured_keys  # noqa: PLC0415
    from tidewatt_router.proxies.configured import proxies_of  # noqa: PLC0415
    from tidewatt_router.splits import wanted  # noqa: PLC0415
    from tidewatt_wire.codec import decode  # noqa: PLC0415
    from tidewatt_wire.messages import DispatchTable  # noqa: PLC0415

    config, content = _read_config(options), options.table.read_bytes()
    if b'"payloadType"' in content:
        table = read_table(content, configured_keys(config.link), config.router.fleet)
    else:
        table = decode(DispatchTable, content)
    found = wanted(config.route, config.backend, table, round(time.time() * 1000))
    for split in found.splits:
        print(f"# {split.route}: from {split.source}, epoch {found.epoch}")
    for name in found.unknown:
        _complain(f"the table names {name!r}, which is no [[backend]] here")
    for proxy in proxies_of(config):
        print(f"# {proxy.name}")
        print(proxy.render(found), end="")
    return 0
