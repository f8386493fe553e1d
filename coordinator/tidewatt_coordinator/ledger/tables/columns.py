"""What the tables share: where they are collected, and columns that several have."""

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String

metadata = MetaData()


#: "Nothing is waiting to be rolled up": later than any time.
NEVER_MS = 2**62


def key() -> list[Column[Any]]:
    """Bucket, device, epoch."""
    # Time first: what comes in lies together at the end of the table, which makes a merge four times as
    # fast as by device, and what is old can be dropped by its partition.
    return [
        Column("bucket_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("device", String(63), primary_key=True),
        Column("epoch", String(64), primary_key=True),
    ]


def whole(*names: str) -> list[Column[int]]:
    """Columns of whole numbers that are always there."""
    return [Column(name, BigInteger, nullable=False) for name in names]


def span(*counters: str) -> list[Column[int]]:
    """The columns of a Span: its times, then least and greatest of every counter."""
    return whole(
        "first_ms",
        "last_ms",
        *(f"{counter}_{end}" for counter in counters for end in ("least", "greatest")),
    )
