"""nvpmodel, asked so that it can't surprise: nobody answers its prompt, and its word is not believed.

A prompt means that the mode needs a reboot. With its standard input at the end of file it gives
up by itself; one that hangs all the same is ended, with its children.
"""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess

#: Where it keeps the mode for its service to set at the next boot: `pmode:0001`.
STATUS = "var/lib/nvpmodel/status"
#: A switch takes well under a second; a hanging lock (its own GUI tray) or a prompt takes for ever.
TIMEOUT_S = 10.0
#: Seconds for a killed one to go.
KILL_S = 1.0
#: Seconds between two looks at whether it has ended.
LOOK_S = 0.05
#: What it prints is some lines; the rest is not kept.
MOST_OUTPUT = 65_536
_PROMPT = re.compile(r"DO YOU WANT TO REBOOT|Reboot required", re.IGNORECASE)
_CHROOT = re.compile(r"Running in chroot", re.IGNORECASE)
_QUERY = re.compile(r"NV Power Mode: *(\S+)\s+(\d+)")


class Said(NamedTuple):
    """What a run of the tool said. `returncode` is None when it had to be ended or never began."""

    text: str
    returncode: int | None

    @property
    def prompted(self) -> bool:
        """Whether it asked for a reboot."""
        return bool(_PROMPT.search(self.text))

    @property
    def pretended(self) -> bool:
        """Whether it only wrote its status file, as it does in a container, and called that success."""
        return bool(_CHROOT.search(self.text))

    @property
    def complaint(self) -> str:
        """Why it asks for a reboot, else its first error line, else its last; empty when it said nothing."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        asks = [line for line in lines if _PROMPT.search(line)]
        if asks:
            return asks[0]
        if self.returncode is None and not lines:
            return "nvpmodel did not end in time"
        errors = [line for line in lines if "ERROR" in line]
        return next(iter(errors), lines[-1] if lines else "")


class Nvpmodel:
    """The command line tool."""

    def __init__(self, command: Sequence[str] = ("nvpmodel",), timeout_s: float = TIMEOUT_S) -> None:
        self._command, self._timeout_s = list(command), timeout_s
        self.keeps: tuple[int, ...] = ()
        """Descriptors that it holds open as long as it runs: a lock that outlives us with it."""

    def set_mode(self, mode_id: int) -> Said:
        """Ask for a mode. What came of it is to be read from the board."""
        return self._run("-m", str(mode_id))

    def query(self) -> int | None:
        """The id that it says is in force; None when it says none. Errors around the answer are noise."""
        found = _QUERY.search(self._run("-q").text)
        return int(found[2]) if found else None

    def _run(self, *arguments: str) -> Said:
        import subprocess  # noqa: PLC0415 - only who switches has it in memory

        try:
            process = subprocess.Popen(
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o022,
                pass_fds=self.keeps,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            )
        except OSError as error:
            return Said(f"NVPM ERROR: {self._command[0]}: {error.strerror}", None)
        assert process.stdout  # noqa: S101 - a pipe
        with process.stdout as pipe:
            text = _read(pipe.fileno(), process, time.monotonic() + self._timeout_s)
        # What it has left behind would go on writing. One that hangs in the kernel is reaped when it ends.
        ended = _ended(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_S)
        code = process.returncode if ended else None
        return Said(text.decode("utf-8", "replace"), code)


def _read(pipe: int, process: "subprocess.Popen[bytes]", until_s: float) -> bytes:
    """What it prints until it ends or its time is over, but no more than is of use.

    A child of its own may hold the pipe open for longer: that isn't waited for.
    """
    text = b""
    while (left_s := until_s - time.monotonic()) > 0.0:
        ended = _ended(process)
        readable, _, _ = select.select([pipe], [], [], 0.0 if ended else min(left_s, LOOK_S))
        if readable:
            part = os.read(pipe, MOST_OUTPUT)
            text = (text + part)[:MOST_OUTPUT]
            if not part:
                break
        elif ended:
            break
    while not _ended(process) and time.monotonic() < until_s:
        time.sleep(LOOK_S / 10.0)
    return text


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has ended; it isn't reaped, so that its number still is its group's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def run_command(command: Sequence[str], limit_s: float) -> None:
    """Run a command of the machine's to its end. OSError with its last word if it fails, or is slow."""
    import subprocess  # noqa: PLC0415 - as above

    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not end within {limit_s:.0f} s") from error
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise OSError(f"{command[0]} ends with {done.returncode}: {said}")
