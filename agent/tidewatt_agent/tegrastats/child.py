"""tegrastats as one long-lived child process, restarted with backoff when it dies or goes silent.

`--stop` is never used: it would end every tegrastats of the machine, other people's too.
"""

import asyncio
import logging
import shutil
from collections.abc import Sequence

from tidewatt_agent.readers import Probe, ReaderCounts, TimedSample, Waiting
from tidewatt_agent.tegrastats.parse import LONGEST_LINE, NotTegrastats, parse_line
from tidewatt_link.ending import killed
from tidewatt_wire.clock import Clock

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
#: The child is taken for dead after this many silent intervals, but not before SHORTEST_SILENCE_S.
SILENT_INTERVALS = 10
SHORTEST_SILENCE_S = 5.0
#: At the shortest interval in use, 10 ms, it prints a hundred.
MOST_LINES_PER_S = 1000


class TegrastatsChild:
    """The reader over a child process. Its `run` never ends by itself."""

    name = "tegrastats"

    def __init__(self, command: Sequence[str], interval_s: float, clock: Clock) -> None:
        self._command = [*command, "--interval", str(round(interval_s * 1000))]
        self._silence_s = max(SHORTEST_SILENCE_S, clock.real_seconds(interval_s) * SILENT_INTERVALS)
        self._clock = clock
        self._waiting = Waiting()
        self.counts = ReaderCounts()
        self.pid: int | None = None
        """The child's process, while there is one."""

    def take(self) -> list[TimedSample]:
        """See Reader.take."""
        return self._waiting.take()

    def probe(self) -> Probe:
        """See Reader.probe: ok when the program is there."""
        if shutil.which(self._command[0]):
            return Probe("ok", f"{self._command[0]} is installed")
        # Later, not never: a package may still be installed, a file system mounted.
        return Probe("later", f"there is no program {self._command[0]} (containers need the host's)")

    async def run(self) -> None:
        """Keep a tegrastats running for ever; ends only by cancellation."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            before = self.counts.samples
            why = await self._one_life()
            if self.counts.samples > before:
                backoff_s = FIRST_BACKOFF_S
            log.warning("tegrastats %s; starting it again in %.0f s", why, backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(LONGEST_BACKOFF_S, backoff_s * 2.0)

    async def _one_life(self) -> str:
        """Run the child until it ends; returns how it ended."""
        self.counts.starts += 1
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=LONGEST_LINE,
                start_new_session=True,
            )
        except OSError as error:
            return f"can't be started: {self._command[0]}: {error.strerror}"
        assert child.stdout is not None  # noqa: S101 - asked for a pipe above
        self.pid = child.pid
        try:
            return await self._read(child.stdout)
        finally:
            self.pid = None
            await killed(child)

    async def _read(self, output: asyncio.StreamReader) -> str:
        loop = asyncio.get_running_loop()
        good_s = second_s = loop.time()
        lines = 0
        while True:
            try:
                line = await self._line(output)
            except asyncio.TimeoutError:
                return f"was silent for {self._silence_s:.0f} s"
            except ValueError:
                self.counts.skipped += 1  # longer than LONGEST_LINE: the stream dropped it
                line = b"\n"
            if not line.endswith(b"\n"):
                # End of file. A last line without its newline was cut: its last number may
                # have lost digits, so it is not believed.
                self.counts.skipped += bool(line)
                return "ended"
            now_s = loop.time()
            if line != b"\n" and self._take_line(line.decode("utf-8", "replace")):
                good_s = now_s
            elif now_s - good_s > self._silence_s:
                return f"said nothing that makes sense for {self._silence_s:.0f} s"
            second_s, lines = (now_s, 0) if now_s - second_s >= 1.0 else (second_s, lines + 1)
            if lines > MOST_LINES_PER_S:
                return f"printed more than {MOST_LINES_PER_S} lines in a second"
            if lines > 1:
                # With lines always ready nothing above waits: others, and a cancellation, get their turn.
                await asyncio.sleep(0)

    async def _line(self, output: asyncio.StreamReader) -> bytes:
        """The next line; asyncio.TimeoutError after a silence, and then no line can come any more."""
        # Every second: a timer costs less than a task that is waited for.
        late = asyncio.get_running_loop().call_later(
            self._silence_s, output.set_exception, asyncio.TimeoutError()
        )
        try:
            return await output.readline()
        finally:
            late.cancel()

    def _take_line(self, line: str) -> bool:
        try:
            sample = parse_line(line)
        except NotTegrastats as error:
            self.counts.skipped += 1
            log.debug("tegrastats: skipped a line: %s", error)
            return False
        self.counts.samples += 1
        self.counts.unknown_tokens += len(sample.unknown)
        self._waiting.put(TimedSample(self._clock.monotonic_s(), sample, self.name))
        return True
