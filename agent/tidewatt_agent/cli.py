"""The `tidewatt-agent` command.

Exit codes: 0 done, 1 it failed while working, 2 the command line or a file is wrong.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tidewatt_agent.calibrate.options import add_parser as add_calibrate
from tidewatt_agent.config import Config, parse_config
from tidewatt_agent.enrolling.options import add_parser as add_enroll
from tidewatt_agent.finding import Finding
from tidewatt_agent.profiles import named_profile
from tidewatt_agent.sleeping.options import add_parser as add_sleep
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.version import VERSION
from tidewatt_governor.boards import shipped_profiles
from tidewatt_link import logs
from tidewatt_link.command import FAILED, ConfigFile, complain, run_command
from tidewatt_wire.clock import Clock
from tidewatt_wire.documents import decode_text, parse_toml

if TYPE_CHECKING:
    from tidewatt_agent.hold import Agent

FILE = ConfigFile("/etc/tidewatt/agent.toml", "TIDEWATT_AGENT")
NOT_RUN, NOT_FOUND = 126, 127
LONGEST_CAPTURE_MIN = 60.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    run_command(command_line(), arguments)


def _complain(sentence: str) -> None:
    complain("tidewatt-agent", sentence)


def command_line() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(
        prog="tidewatt-agent", description="The power governor daemon of one Jetson."
    )
    parser.add_argument("--version", action="version", version=f"tidewatt-agent {VERSION}")
    parser.add_argument(
        "--log-level",
        default="info",
        choices=["debug", "info", "warning", "error"],
        help="what is logged, and what is worse",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="be the agent, until stopped")
    FILE.add_option(run)
    run.add_argument("--until-eof", action="store_true", help="stop, too, when standard input ends")
    run.set_defaults(command=_run)

    FILE.add_commands(commands, _read_config)

    parse = commands.add_parser("parse", help="tegrastats lines on standard input to JSON lines")
    parse.set_defaults(command=_parse)

    replay = commands.add_parser("replay", help="decide again from a journal; print each decision")
    replay.add_argument("journal", type=Path, help="JSON lines, as agent.journal names the file")
    replay.add_argument(
        "--profile", default="orin-nano-super", help=f"{', '.join(shipped_profiles())}, or a .toml file"
    )
    replay.set_defaults(command=_replay)

    doctor = commands.add_parser(
        "doctor",
        help="say what works here, what is missing and how to get it",
        epilog="exit code: 0 all well, 1 something to look at, 2 something keeps the agent from its work",
    )
    FILE.add_option(doctor)
    doctor.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    doctor.add_argument("--bundle", type=Path, metavar="FILE", help="write a .tar.gz for support, redacted")
    doctor.set_defaults(command=_doctor)

    _add_person_commands(commands)
    FILE.add_option(calibrating := add_calibrate(commands))
    calibrating.set_defaults(command=_calibrate)

    for sleeping in add_sleep(commands):
        FILE.add_option(sleeping)
        sleeping.set_defaults(command=_sleep)

    FILE.add_option(enrolling := add_enroll(commands))
    enrolling.set_defaults(command=_enroll)

    _add_stand_ins(commands)
    return parser


def _add_stand_ins(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What records a board, and what is one."""
    capture = commands.add_parser("capture", help="record this board as text, without serials and addresses")
    capture.add_argument("folder", type=Path, help="new folder for the recording")
    capture.add_argument("--minutes", type=_minutes, default=2.0, help="of tegrastats (default: %(default)s)")
    capture.add_argument("--root", default="/", help="where /sys, /proc and /etc are (default: %(default)s)")
    capture.add_argument("--tegrastats", default="tegrastats", help="program (default: %(default)s)")
    capture.set_defaults(command=_capture)

    simulate = commands.add_parser("simulate", help="be a machine room of simulated boards")
    simulate.add_argument("file", type=Path, help="TOML file that says which boards and which traffic")
    simulate.add_argument(
        "--configs",
        type=Path,
        metavar="FOLDER",
        help="write an agent's configuration for each board there, and live on when standard input ends",
    )
    simulate.set_defaults(command=_simulate)


def _add_person_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What a person at the board asks of the running agent."""
    status = commands.add_parser("status", help="what the running agent sees, and would save")
    FILE.add_option(status)
    status.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    status.set_defaults(command=_status)
    enable = commands.add_parser("enable", help="let the agent act on this board, after a look at it")
    FILE.add_option(enable)
    enable.add_argument("--check", action="store_true", help="only look")
    enable.set_defaults(command=_enable)
    disable = commands.add_parser("disable", help="let the agent only observe again; the board is put back")
    FILE.add_option(disable)
    disable.set_defaults(command=_disable)

    hold = commands.add_parser(
        "hold",
        help="ask for a power mode or more, for a while or while a command runs",
        usage="tidewatt-agent hold --min-mode MODE [--for 10m] [--reason TEXT] [-- COMMAND ...]",
    )
    FILE.add_option(hold)
    hold.add_argument("--min-mode", required=True, help="the weakest mode that will do, by name")
    hold.add_argument(
        "--for", dest="time", help="90s, 10m, 2h, 1d (default: 10m, or for as long as the command runs)"
    )
    hold.add_argument("--reason", default="", help="what for: shown in decisions and upstream")
    hold.add_argument("command_line", nargs="*", metavar="COMMAND", help="hold while it runs")
    hold.set_defaults(command=_hold)
    leases = commands.add_parser("leases", help="list what is held")
    FILE.add_option(leases)
    leases.set_defaults(command=_leases)
    release = commands.add_parser("release", help="give back what is held")
    release.add_argument("id", help="as `leases` shows it")
    FILE.add_option(release)
    release.set_defaults(command=_release)


def _read_config(options: argparse.Namespace) -> Config:
    return FILE.read(options, parse_config)


def _run(options: argparse.Namespace) -> int:
    from tidewatt_agent.daemon import run  # noqa: PLC0415 - the other commands stay light

    config = _read_config(options)
    logs.begin(config.log.format, options.log_level)
    asyncio.run(run(config, until_eof=options.until_eof))
    return 0


def _parse(_options: argparse.Namespace) -> int:
    from tidewatt_agent.tegrastats.parse import NotTegrastats, parse_line  # noqa: PLC0415

    if sys.stdin is None:
        raise ValueError("standard input is closed; lines come from there")
    refused = 0
    for number, raw in enumerate(sys.stdin.buffer, start=1):
        try:
            if not raw.endswith(b"\n"):
                # Its last number may have lost digits.
                raise NotTegrastats("the last line has no end, so it may have been cut")  # noqa: TRY301
            sample = parse_line(raw.decode("utf-8", "replace").removeprefix("\ufeff"))
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
    for replayed in replay(journal.splitlines(), named_profile(options.profile)):
        print(replayed.sentence())
        different += not replayed.same
    return FAILED if different else 0


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.0 <= minutes <= LONGEST_CAPTURE_MIN:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {LONGEST_CAPTURE_MIN:.0f}")
    return minutes


def _doctor(options: argparse.Namespace) -> int:
    from tidewatt_agent import doctor  # noqa: PLC0415

    config = Config() if FILE.is_absent(options.config) else _read_config(options)
    findings = doctor.examine(config, Clock(time.monotonic, time.time, config.clock))
    if FILE.is_absent(options.config):
        missing = f"there is no {options.config}: checked with the defaults"
        findings.insert(0, Finding("config", "warning", missing, "install the package, or name one"))
    else:
        findings.insert(0, Finding("config", "ok", f"{options.config} is valid"))
    if options.json:
        print(msgspec.json.encode(findings).decode())
    for finding in [] if options.json else findings:
        print(f"{finding.level:8} {finding.id:20} {finding.sentence}")
        if finding.remedy and finding.level != "ok":
            print(f"{'':29} -> {finding.remedy}")
    if options.bundle:
        doctor.bundle(config, findings, options.bundle)
    return doctor.worst(findings)


def _status(options: argparse.Namespace) -> int:
    from tidewatt_agent import status  # noqa: PLC0415

    config = _read_config(options)
    if not config.metrics.listen:
        raise ValueError(f"{options.config} names no metrics.listen: the agent can't be asked")
    found = status.summarise(status.parse(status.fetch(config.metrics.listen)), config.agent.control)
    if options.json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(status.sentences(found)))
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from tidewatt_agent.calibrate.cli import calibrate  # noqa: PLC0415

    return calibrate(options, _read_config(options))


def _sleep(options: argparse.Namespace) -> int:
    from tidewatt_agent.sleeping.cli import sleep  # noqa: PLC0415

    return sleep(options, _read_config(options))


def _enroll(options: argparse.Namespace) -> int:
    from tidewatt_agent.enrolling.cli import run  # noqa: PLC0415

    return run(options, _read_config(options))


def _enable(options: argparse.Namespace) -> int:
    from tidewatt_agent import enabling  # noqa: PLC0415

    config = _read_config(options)
    socket = config.board.actuator_socket or enabling.ACTUATOR
    checked = enabling.check(config, socket)
    for sentence in (*checked.errors, *checked.warnings):
        _complain(sentence)
    if checked.errors:
        _complain("nothing is changed")
        return FAILED
    if options.check:
        print("the agent could act on this board")
        return 0
    return _control(options, "enforce", socket)


def _disable(options: argparse.Namespace) -> int:
    return _control(options, "observe", _read_config(options).board.actuator_socket)


def _control(options: argparse.Namespace, control: str, socket: str) -> int:
    from tidewatt_agent import enabling  # noqa: PLC0415

    enabling.rewrite(options.config, control, socket)
    print(f"{options.config}: agent.control = {control!r}")
    if problem := enabling.restart():
        _complain(problem)
        return FAILED
    return 0


def _agent(options: argparse.Namespace) -> "Agent":
    from tidewatt_agent.hold import Agent  # noqa: PLC0415

    return Agent(_lease_socket(options))


def _lease_socket(options: argparse.Namespace) -> str:
    path = _read_config(options).lease.socket
    if not path:
        raise ValueError(f"{options.config} names no lease.socket: nothing can be held")
    return path


def _hold(options: argparse.Namespace) -> int:
    from tidewatt_agent.hold import AgentAwayError, seconds, while_running  # noqa: PLC0415

    command: list[str] = options.command_line
    request = {
        "op": "hold",
        "min_mode": options.min_mode,
        "for_s": seconds(options.time or ("1h" if command else "10m")),
        "reason": options.reason or (f"while {command[0]} runs" if command else "no reason given"),
    }
    if command:
        if options.time:
            raise ValueError("with a command, it says how long: leave out --for")
        try:
            return while_running(_lease_socket(options), request, command)
        except AgentAwayError:
            raise
        except OSError as error:  # as env(1) does
            _complain(f"{command[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
    agent = _agent(options)
    try:
        given = agent.ask(**request)
        print(f"lease {given['id']}: {options.min_mode} or more for {given['for_s']:.0f} s")
    finally:
        agent.close()
    return 0


def _leases(options: argparse.Namespace) -> int:
    agent = _agent(options)
    for lease in agent.ask(op="leases").get("leases", []):
        print(f"{lease['id']:>6}  {lease['min_mode']:12} {lease['for_s']:8.0f} s  {lease['reason']}")
    agent.close()
    return 0


def _release(options: argparse.Namespace) -> int:
    agent = _agent(options)
    agent.ask(op="release", id=options.id)
    agent.close()
    return 0


def _capture(options: argparse.Namespace) -> int:
    from tidewatt_agent.capture import capture  # noqa: PLC0415
    from tidewatt_agent.recording import save  # noqa: PLC0415

    folder: Path = options.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already; name a new folder")
    if not Path(options.root, "proc").is_dir():
        raise ValueError(f"--root {options.root} holds no /proc: nothing to record")
    folder.mkdir(parents=True, exist_ok=True)  # before the minutes, not after them
    recording = capture(Tree(options.root), [options.tegrastats], options.minutes * 60.0)
    save(recording, folder)
    print(
        f"{folder}: {recording.about.title}, {len(recording.tree.files)} files, "
        f"{len(recording.tegrastats)} lines of tegrastats; look it through before you give it away"
    )
    return 0


def _simulate(options: argparse.Namespace) -> int:
    from tidewatt_agent.standin.run import RoomConfig, run  # noqa: PLC0415

    config = parse_toml(
        decode_text(options.file.read_bytes(), str(options.file)), RoomConfig, name=str(options.file)
    )
    asyncio.run(run(config, options.configs))
    return 0
