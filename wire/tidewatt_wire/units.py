"""Units on the wire and in the ledger, as exact integers.

Energy is counted in millijoules (mJ), time in milliseconds (ms), so sums telescope
exactly and no rounding error can enter between a board's counter and the bill. A day of
a 60 W board is 5.2e9 mJ: 64-bit integers last for five thousand years of 10,000 boards.
"""

JOULES_PER_WATT_HOUR = 3_600
MILLIJOULES_PER_JOULE = 1_000
MILLIJOULES_PER_WATT_HOUR = 3_600_000
MILLIJOULES_PER_KILOWATT_HOUR = 3_600_000_000
MILLISECONDS_PER_SECOND = 1_000
MILLISECONDS_PER_MINUTE = 60_000


def joules(millijoules: int) -> float:
    """Energy in joules, from millijoules."""
    return millijoules / MILLIJOULES_PER_JOULE


def watt_hours(millijoules: int) -> float:
    """Energy in watt-hours, from millijoules."""
    return millijoules / MILLIJOULES_PER_WATT_HOUR


def seconds(milliseconds: int) -> float:
    """Duration in seconds, from milliseconds."""
    return milliseconds / MILLISECONDS_PER_SECOND


def minutes(milliseconds: int) -> float:
    """Duration in minutes, from milliseconds."""
    return milliseconds / MILLISECONDS_PER_MINUTE
