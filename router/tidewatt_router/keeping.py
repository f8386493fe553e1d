"""What outlives the process: the last good table in its envelope; and the keys that it is trusted by."""

import logging
from collections.abc import Iterator
from pathlib import Path

from tidewatt_link.durable import replace_file
from tidewatt_router.config import Link
from tidewatt_wire.documents import decode_text
from tidewatt_wire.keys import trusted_key
from tidewatt_wire.messages import TrustedKey

log = logging.getLogger(__name__)


class TableFile:
    """The file. Without a path nothing is kept: then a restart could go back to an older table."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.failing = False

    def load(self) -> bytes:
        """The kept envelope; empty if there is none, or none that can be read, which is one log line."""
        try:
            return self._path.read_bytes() if self._path else b""
        except FileNotFoundError:
            return b""
        except OSError as error:
            log.error("the kept table %s can't be read: %s", self._path, error.strerror)  # noqa: TRY400
            return b""

    def keep(self, envelope: bytes) -> None:
        """Put it on the disk. A failure is logged once: better an unkept table than an old one."""
        if self._path is None:
            return
        try:
            replace_file(self._path, envelope)
        except OSError as error:
            if not self.failing:
                log.error("%s can't be written: %s", self._path, error.strerror)  # noqa: TRY400
            self.failing = True
            return
        if self.failing:
            log.info("%s can be written again", self._path)
            self.failing = False


def configured_keys(link: Link) -> list[TrustedKey]:
    """The keys that tables may be signed with. Raises OSError or, with one sentence, ValueError."""
    keys = [trusted_key(public) for public in link.policy_keys]
    if link.policy_keys_file:
        text = decode_text(Path(link.policy_keys_file).read_bytes(), link.policy_keys_file)
        keys += _listed(text, link.policy_keys_file)
    return list(dict.fromkeys(keys))


def _listed(text: str, name: str) -> Iterator[TrustedKey]:
    for number, line in enumerate(text.splitlines(), start=1):
        public = line.partition("#")[0].strip()
        try:
            if public:
                yield trusted_key(public)
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from error
