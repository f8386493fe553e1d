"""The last good policy set on disk, in the envelope it came in, and the keys that it is trusted by.

One file, replaced whole, so that the set and the keys are never of different days.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tidewatt_agent.config import Link
from tidewatt_link.durable import replace_file
from tidewatt_wire.documents import decode_text
from tidewatt_wire.keys import trusted_key
from tidewatt_wire.messages import TrustedKey

log = logging.getLogger(__name__)


class KeptPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    configured: list[str]
    """The keys that were configured when it was written, in base64. Whoever changes the configuration sets
    the trust anew: the way back when every private key is lost."""
    keys: list[TrustedKey]
    """Those trusted since: the configured ones, or the ones that a set brought."""
    current: bytes | None = None
    waiting: bytes | None = None
    """One whose time has not come."""


class PolicyFile:
    """The file. Without a path nothing is kept."""

    def __init__(self, path: Path | None, *, writes: bool = True) -> None:
        """`writes`: whether this process may change it, or only looks."""
        self._path, self._writes = path, writes
        self._failing = False

    def load(self) -> KeptPolicy | None:
        """What is kept; None if nothing is, or if it can't be read, which is one log line."""
        if self._path is None:
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=KeptPolicy)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.error("the kept policy set %s can't be read: %s", self._path, error)  # noqa: TRY400
            return None

    def keep(self, kept: KeptPolicy) -> str:
        """Put it on the disk; "" when it is there, else why it isn't. The first failure is logged."""
        if self._path is None:
            return "no state folder is configured"
        if not self._writes:
            return "this process only looks"
        try:
            replace_file(self._path, msgspec.json.encode(kept))
        except OSError as error:
            why = f"{self._path} can't be written: {error.strerror}"
            if not self._failing:
                log.error("policy: %s", why)  # noqa: TRY400 - the sentence says it all
            self._failing = True
            return why
        if self._failing:
            log.info("policy: %s can be written again", self._path)
            self._failing = False
        return ""


def configured_keys(link: Link) -> list[TrustedKey]:
    """The keys that the configuration names, those in its file too: one a line, # begins a remark.

    Raises OSError if the file can't be read, ValueError with one sentence if a key is none.
    """
    keys = [trusted_key(public) for public in link.policy_keys]
    if link.policy_keys_file:
        text = decode_text(Path(link.policy_keys_file).read_bytes(), link.policy_keys_file)
        keys += _listed(text.splitlines(), link.policy_keys_file)
    return list(dict.fromkeys(keys))


def _listed(lines: Sequence[str], name: str) -> list[TrustedKey]:
    keys = []
    for number, line in enumerate(lines, start=1):
        public = line.partition("#")[0].strip()
        try:
            keys += [trusted_key(public)] if public else []
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from error
    return keys
