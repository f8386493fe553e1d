"""What one check of the doctor's found."""

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """The answer of one check: what was found and, where it isn't well, what to do."""

    id: str
    level: Level
    sentence: str
    remedy: str = ""
