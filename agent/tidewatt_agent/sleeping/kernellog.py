"""New errors in the kernel's log, from where it stood when we came."""

import os
from pathlib import Path

KMSG = "dev/kmsg"
#: Syslog's level `err`; emergencies, alerts and what is critical lie below it.
ERROR = 3
LEVELS = 8
RECORD = 8192


class KernelLog:
    """The log, to be read by root. A record is `level,number,microseconds,flags;text`."""

    def __init__(self, root: str = "/") -> None:
        """Raises OSError if it can't be read."""
        self._file = os.open(Path(root) / KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._file, 0, os.SEEK_END)

    def errors(self) -> list[str]:
        """The errors since the last look, oldest first."""
        found = []
        while record := self._next():
            for line in record.splitlines():
                head, _, text = line.partition(";")
                level = head.partition(",")[0]
                if level.isdecimal() and int(level) % LEVELS <= ERROR:
                    found.append(text.strip())
        return found

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def _next(self) -> str:
        try:
            return os.read(self._file, RECORD).decode("utf-8", "replace")
        except BlockingIOError:
            return ""
        except BrokenPipeError:  # records went by unread: from here on
            return "3,0,0,-;the kernel's log was longer than it keeps"
