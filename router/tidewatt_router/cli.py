"""The `tidewatt-router` command.

Exit codes: 0 done, 1 it failed while working, 2 the command line or a file is wrong.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tidewatt_router import VERSION
from tidewatt_router.config import Config, parse_config
from tidewatt_wire.documents import DocumentError, decode_text, environment_overrides, to_toml

DEFAULT_CONFIG = "/etc/tidewatt/router.toml"
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
    except DocumentError as error:
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
    print(f"tidewatt-router: {sentence}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidewatt-router", description="Has the proxy of this host follow the fleet's routing weights."
    )
    parser.add_argument("--version", action="version", version=f"tidewatt-router {VERSION}")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="be the router, until stopped")
    run.add_argument("--until-eof", action="store_true", help="stop, too, when standard input ends")
    run.set_defaults(command=_run)

    config = commands.add_parser("config", help="print or validate the configuration")
    actions = config.add_subparsers(required=True, metavar="print|validate")
    shown = actions.add_parser("print", help="print the configuration in force, defaults included")
    shown.set_defaults(command=_config_print)
    checked = actions.add_parser("validate", help="say what is wrong with a configuration file")
    checked.set_defaults(command=_config_validate)

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
    for one in (run, shown, checked, status, check, render):
        one.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), help="default: %(default)s")
    return parser


def _read_config(options: argparse.Namespace) -> Config:
    path: Path = options.config
    overrides = environment_overrides(os.environ, "TIDEWATT_ROUTER")
    return parse_config(decode_text(path.read_bytes(), str(path)), name=str(path), overrides=overrides)


def _run(options: argparse.Namespace) -> int:
    from tidewatt_router.daemon import run  # noqa: PLC0415 - the other commands stay light

    asyncio.run(run(_read_config(options), until_eof=options.until_eof))
    return 0


def _config_print(options: argparse.Namespace) -> int:
    print(to_toml(_read_config(options)), end="")
    return 0


def _config_validate(options: argparse.Namespace) -> int:
    _read_config(options)
    print(f"{options.config}: good")
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
