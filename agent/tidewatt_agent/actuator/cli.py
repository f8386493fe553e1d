"""The `tidewatt-actuator` command: root, a Unix socket, no network.

Exit codes: 0 done, 1 the board could not be put back, 2 the command line is wrong.
"""

import argparse
import contextlib
import fcntl
import logging
import math
import os
import pwd
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator, Sequence

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.nap import Naps, suspending
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.server import BACKLOG, Server
from tidewatt_agent.actuator.tool import Nvpmodel
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.sysfs.tree import Tree

SOCKET = "/run/tidewatt/actuator.sock"
UNDO = "/var/lib/tidewatt/undo.json"
REBOOT, NAP = "reboot.json", "nap.json"
LOCK = "actuator.lock"
#: Seconds that an ending actuator may take.
LOCK_WAIT_S = 30.0
#: The first descriptor that systemd hands over.
FIRST_PASSED = 3
#: Columns of the help, but for two.
WIDTH = 78
FAILED, WRONG, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit."""
    options = command_line().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    tree, undo = Tree(options.root), str(options.undo)
    reboots = Reboots(
        tree, _beside(undo, REBOOT), options.reboot_command.split() if options.allow_reboot else []
    )
    tool = Nvpmodel(options.nvpmodel.split())
    actuator = Actuator(Board(tree), tool, UndoFile(undo), reboots)
    try:
        with _alone(_beside(undo, LOCK)) as lock:
            # An nvpmodel that outlives us still writes: who comes next waits for it, too.
            tool.keeps = (lock,)
            sys.exit(_restore(options, actuator) if options.command == "restore" else _run(options, actuator))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"tidewatt-actuator: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(WRONG)
    except ValueError as error:
        print(f"tidewatt-actuator: {error}", file=sys.stderr)
        sys.exit(WRONG)
    except KeyboardInterrupt:
        print("tidewatt-actuator: interrupted; what is left to undo is on file", file=sys.stderr)
        sys.exit(INTERRUPTED)


def command_line() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(
        prog="tidewatt-actuator",
        description="Sets power modes and caps for the agent, and puts them back.",
        # Left to itself argparse asks shutil, which brings three compressors into memory.
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=WIDTH),
    )
    parser.add_argument("command", choices=["run", "restore"], help="serve, or put the board back and end")
    parser.add_argument(
        "--user", default="tidewatt", help="who may speak, beside root (default: %(default)s)"
    )
    parser.add_argument(
        "--socket", default=SOCKET, help="where, if systemd passes none (default: %(default)s)"
    )
    parser.add_argument(
        "--undo",
        type=_command,
        default=UNDO,
        help=f"what was found (default: %(default)s); {REBOOT} stands beside it",
    )
    parser.add_argument(
        "--allow-reboot", action="store_true", help="let a policy's maintenance window reboot the machine"
    )
    parser.add_argument(
        "--reboot-command", type=_command, default="systemctl reboot", help="how (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-sleep", action="store_true", help="let the board sleep, with an alarm, when its agent asks"
    )
    parser.add_argument(
        "--sleep-command", type=_command, default="systemctl suspend", help="how (default: %(default)s)"
    )
    parser.add_argument(
        "--longest-nap-s", type=_seconds, default=1800.0, help="never longer (default: %(default)s)"
    )
    parser.add_argument(
        "--boot-mode", action="store_true", help="with restore: the next boot, too, is as before any reboot"
    )
    parser.add_argument(
        "--keepalive-s", type=_seconds, default=30.0, help="silence before the board is put back"
    )
    parser.add_argument("--root", default="/", help="where /sys and /etc are")
    parser.add_argument(
        "--nvpmodel", type=_command, default="nvpmodel", help="NVIDIA's program (default: %(default)s)"
    )
    return parser


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0.1 <= found <= 86_400.0:  # noqa: PLR2004 - a tick's length to a day
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 86400")
    return found


def _command(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _restore(options: argparse.Namespace, actuator: Actuator) -> int:
    result = actuator.restore()
    if options.boot_mode and actuator.forget_reboots():
        print("the next boot brings the mode that it would have brought before any planned reboot")
    print(f"{result.kind}: mode {result.state.mode_id} {result.detail}".rstrip())
    return FAILED if actuator.stuck else 0


def _run(options: argparse.Namespace, actuator: Actuator) -> int:
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: told.append(got))
    suspend = suspending(options.sleep_command.split()) if options.allow_sleep else None
    naps = Naps(Tree(options.root), _beside(options.undo, NAP), suspend, options.longest_nap_s)
    server = Server(actuator, _users(options.user), options.keepalive_s, naps=naps)
    with _listener(options.socket) as listener:
        _notify("READY=1")
        server.serve(listener, lambda: bool(told))
    return FAILED if actuator.changed else 0


@contextlib.contextmanager
def _alone(path: str) -> Iterator[int]:
    """Hold the lock: two actuators would undo each other's undoing. ValueError if another one holds it."""
    with open(path, "w") as lock:  # noqa: PTH123
        until_s = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise ValueError(
                        f"another actuator holds {path}; `systemctl stop tidewatt-actuator` ends it"
                    ) from None
                time.sleep(0.1)
        yield lock.fileno()


def _beside(path: str, name: str) -> str:
    return os.path.join(os.path.dirname(path), name)  # noqa: PTH118, PTH120


def _users(name: str) -> set[int]:
    """Root and the agent's user; ValueError if there is no such user."""
    try:
        return {0, pwd.getpwuid(int(name)).pw_uid if name.isdecimal() else pwd.getpwnam(name).pw_uid}
    except (KeyError, OverflowError):
        raise ValueError(f"--user {name!r}: there is no such user") from None


@contextlib.contextmanager
def _listener(path: str) -> Iterator[socket.socket]:
    """The socket that systemd passed (sd_listen_fds), else one of our own at `path`."""
    passed_fds = os.environ.get("LISTEN_FDS", "0")
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and passed_fds.isdecimal() and int(passed_fds) > 0:
        with socket.socket(fileno=FIRST_PASSED) as passed:
            yield passed
        return
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            os.unlink(path)  # noqa: PTH108 - a leftover: the lock says that nobody listens there
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own:
        try:
            own.bind(path)
        except OSError as error:
            raise ValueError(f"--socket {path}: {error.strerror or error}") from error
        os.chmod(path, 0o660)  # noqa: PTH101
        own.listen(BACKLOG)
        try:
            yield own
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108


def _notify(message: str) -> None:
    """Tell systemd (sd_notify): one datagram, no library."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, contextlib.suppress(OSError):
            out.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


if __name__ == "__main__":
    main()
