"""What a Lambda function uses, and what would do: memory, processor, provisioned concurrency. Pure."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from tidewatt_coordinator.prices.book import HOURS_PER_MONTH
from tidewatt_coordinator.prices.worked import LAMBDA_ARM, LAMBDA_X86, Runtime

Processor = Literal["x86_64", "arm64"]
#: Between two sizes that are proposed, and the least that there is.
STEP_MB, LEAST_MB = 64, 128
#: Processor time goes by memory, so no change takes more of it than this at once.
MOST_CUT = 0.5
#: A change that leaves more than this isn't worth a deployment.
WORTH = 0.8
#: Provisioned beyond the most that was in use at once.
SPARE = 1.1
REPORT = re.compile(
    r"REPORT RequestId: .*\sMemory Size: (?P<size>\d+) MB\s+Max Memory Used: (?P<used>\d+) MB"
)
INTERPRETED = ("nodejs", "python", "ruby")


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a function."""

    memory_mb: int
    used_mb: int
    """The most that any invocation used."""
    reports: int
    """Invocations, or days, that this was seen in."""
    source: str
    invocations: float
    duration_ms: float
    """On average."""
    processor: Processor = "x86_64"

    @property
    def gigabyte_seconds(self) -> Decimal:
        """A month's."""
        return Decimal(str(self.invocations * self.duration_ms / 1000 * self.memory_mb / 1024))

    @property
    def runtime(self) -> Runtime:
        """By which it is priced."""
        return LAMBDA_ARM if self.processor == "arm64" else LAMBDA_X86


def reports(messages: Iterable[str]) -> list[tuple[int, int]]:
    """Memory size and most memory used of each REPORT line, in MB."""
    found = (REPORT.search(one) for one in messages)
    return [(int(one["size"]), int(one["used"])) for one in found if one]


def right_size(memory_mb: int, used_mb: int, headroom: float) -> int | None:
    """The memory that would do with headroom; None where that isn't much less."""
    needed = math.ceil(used_mb * (1 + headroom) / STEP_MB) * STEP_MB
    size = max(LEAST_MB, needed, math.ceil(memory_mb * MOST_CUT))
    return size if size <= memory_mb * WORTH else None


def right_concurrency(provisioned: int, most_used: float, spilled: float) -> int | None:
    """The provisioned concurrency that would do, 0 for none; None where it is right.

    `most_used` is a share of what is provisioned. Where requests spilled over there is too little already.
    """
    if spilled > 0:
        return None
    needed = math.ceil(provisioned * most_used * SPARE)
    return needed if needed <= provisioned * WORTH else None


def provisioned_gigabyte_seconds(count: int, memory_mb: int) -> Decimal:
    """What is configured for a month."""
    return Decimal(count * memory_mb * HOURS_PER_MONTH * 3600) / 1024
