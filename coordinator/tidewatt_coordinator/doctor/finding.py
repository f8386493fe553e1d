"""What one check of the doctor's found."""

from collections.abc import Sequence
from typing import Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """The answer of one check. Ids are stable: scripts may rely on them."""

    id: str
    level: Level
    sentence: str
    remedy: str = ""
    """What to do, where it isn't well."""


def well(findings: Sequence[Finding], *, strict: bool) -> bool:
    """Whether nothing keeps the coordinator from its work; `strict`: nor is there anything to look at."""
    return all(one.level == "ok" or (one.level == "warning" and not strict) for one in findings)
