"""When a source of costs is to be imported. Pure: times and chance are arguments."""

import msgspec

#: After a failure the next try comes this soon, and twice as late after each further one.
FIRST_AGAIN_MS = 300_000
#: So much of the time between is left to chance, so that a hundred coordinators don't ask at once.
JITTER = 0.1


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a source's imports stand; times are ms since 1970, 0 for never."""

    source: str
    tried_ms: int = 0
    succeeded_ms: int = 0
    failures: int = 0
    """In a row, since the last success."""
    charges: int = 0
    """How many the last success brought."""
    error: str = ""
    """Why the last try failed; empty if it didn't."""


def next_ms(standing: Standing, every_ms: int, chance: float) -> int:
    """When to try again; `chance` is from 0 to 1. It is later by a tenth of the time between at the most."""
    if not standing.tried_ms:
        return 0
    between = every_ms
    if standing.failures:
        between = min(every_ms, FIRST_AGAIN_MS << min(standing.failures - 1, 30))
    return standing.tried_ms + round(between * (1 + JITTER * chance))


def succeeded(standing: Standing, charges: int, now_ms: int) -> Standing:
    """How it stands after an import."""
    return Standing(source=standing.source, tried_ms=now_ms, succeeded_ms=now_ms, charges=charges)


def failed(standing: Standing, error: str, now_ms: int) -> Standing:
    """How it stands after one that failed."""
    return msgspec.structs.replace(
        standing, tried_ms=now_ms, failures=standing.failures + 1, error=error.partition("\n")[0][:500]
    )
