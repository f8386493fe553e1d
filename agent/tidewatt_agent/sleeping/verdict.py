"""The qualification's verdict: what this board, as it was then, showed of its sleep."""

import logging
from pathlib import Path

import msgspec

from tidewatt_link.durable import replace_file

log = logging.getLogger(__name__)

FILE_NAME = "sleep.json"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict is about; with any of it changed it says nothing any more."""

    kernel: str
    jetpack: str
    application: str
    """What the configured command says of it; empty if none is configured."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the qualification went. What was not measured is null."""

    identity: Identity
    at_ms: int
    passed: bool
    why: str = ""
    """Why not, in a sentence."""
    cycles: int = 0
    """That were good."""
    asleep_watts: float | None = None
    """By an outside meter: the board's own sensors sleep, too."""
    watts_before: float | None = None
    watts_after: float | None = None
    suspend_s: float | None = None
    """To fall asleep and be resumed, without the sleep: the slowest."""
    resume_s: float | None = None
    """From waking until the network, the application and the health command were there: the slowest."""


def obstacle(verdict: Verdict | None, identity: Identity) -> str:
    """Why the board may not sleep by its verdict, in a sentence; empty if it may."""
    if verdict is None:
        return "not qualified: `tidewatt-agent sleep qualify` tries it under supervision"
    if not verdict.passed:
        return f"disqualified: {verdict.why}"
    for name, then in msgspec.structs.asdict(verdict.identity).items():
        now = getattr(identity, name)
        if now != then:
            return f"its {name} changed since it was qualified ({then or 'none'} to {now or 'none'})"
    return ""


def disqualified(verdict: Verdict, why: str, at_ms: int) -> Verdict:
    """The verdict after a failure in service."""
    return msgspec.structs.replace(verdict, passed=False, why=why, at_ms=at_ms)


def load(path: Path) -> Verdict | None:
    """The kept verdict; None without one, and for a file that is none: then it is not qualified."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verdict)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        log.error("%s can't be read: %s", path, error)  # noqa: TRY400 - a sentence is enough
        return None


def save(path: Path, verdict: Verdict) -> None:
    """Keep it. Raises OSError."""
    replace_file(path, msgspec.json.encode(verdict))
