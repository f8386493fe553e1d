"""Ways of choosing compared on traces and boards: means over the traces, in one table and as figures."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Protocol, TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.joint.lives import COUNT
from benchmarks.results import Result


class Compared(Protocol):
    """One way of choosing, on one trace, on boards of one kind."""

    @property
    def board(self) -> str: ...  # noqa: D102
    @property
    def way(self) -> str: ...  # noqa: D102


AnyCompared = TypeVar("AnyCompared", bound=Compared)
#: Percent, to so many digits after the point.
TENTH, THOUSANDTH, FINEST = (f"{{:.{digits}%}}".format for digits in (1, 3, 4))


def plain(digits: int) -> Callable[[float], str]:
    """A number with so many digits after the point."""
    return f"{{:.{digits}f}}".format


def mean(outcomes: Sequence[Compared], field: str) -> float:
    """Over the traces, each counting alike."""
    return fmean(float(getattr(one, field)) for one in outcomes)


def boards_of(outcomes: Sequence[Compared]) -> list[str]:
    """The kinds of board, in order."""
    return sorted({one.board for one in outcomes})


def by_way(outcomes: Sequence[AnyCompared], board: str) -> dict[str, list[AnyCompared]]:
    """The outcomes on boards of that kind, by the way of choosing, in the order in which those came."""
    found: dict[str, list[AnyCompared]] = {}
    for one in outcomes:
        if one.board == board:
            found.setdefault(one.way, []).append(one)
    return found


def print_ways(
    outcomes: Sequence[Compared], columns: Mapping[str, tuple[str, Callable[[float], str]]]
) -> None:
    """A row for each kind of board and way. `columns`: by heading, the field and how it is shown."""
    table = Table(title=f"{COUNT} devices, simulated: means over the traces", title_justify="left")
    for heading in ("board", "way"):
        table.add_column(heading)
    for heading in columns:
        table.add_column(heading, justify="right")
    for board in boards_of(outcomes):
        for way, here in by_way(outcomes, board).items():
            table.add_row(board, way, *(shown(mean(here, field)) for field, shown in columns.values()))
    Console(width=190).print(table)


def share(saving: float, most: float) -> float:
    """Percent of the bound's saving; all of it where there is none to be had."""
    return 100.0 * saving / most if most > 0.0 else 100.0


def percent(
    name: str, value: float, target: float | None = None, *, against: str, low: bool = False
) -> Result:
    """A figure in percent, judged if there is a target."""
    better = "lower" if low else "higher"
    return Result.judged(name, value, "%", target=target, better=better, against=against)  # type: ignore[arg-type]
