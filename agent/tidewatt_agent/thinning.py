"""Which reports to give up when there is no room for all. Pure.

Counters are cumulative and the ledger keeps the least and the greatest of each epoch (and time
bucket), so a report between two others of its epoch carries detail in time and nothing else. The
last of an epoch carries its totals and always stays; the first says where it began, and goes only
when nothing else is left to go.
"""

from collections.abc import Sequence


def surplus(epochs: Sequence[str]) -> list[int]:
    """Of reports in the order they were made, given by epoch: the positions to give up.

    Every second of the oldest half of those that may go; empty when only ends of epochs are left.
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for position, epoch in enumerate(epochs):
        first.setdefault(epoch, position)
        last[epoch] = position
    ends = set(last.values())
    kept = ends | set(first.values())
    spare = [position for position in range(len(epochs)) if position not in kept]
    spare = spare or sorted(kept - ends)
    return spare[: (len(spare) + 1) // 2 : 2]
