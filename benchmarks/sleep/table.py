"""The sleep benchmark's outcomes, their one table, and the verdicts."""

from collections.abc import Sequence
from statistics import fmean

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.joint.lives import COUNT, Lived
from benchmarks.results import Result
from benchmarks.sleep.lives import Rested

#: Of the clairvoyant bound's saving; and minutes beyond its own in which any device may violate: percent.
LEAST_SHARE, MOST_EXCESS = 80.0, 0.1
JOULES_PER_KWH = 3.6e6
SLEPT, FAILED = "planned together, with sleep", "the same, one board in ten never wakes"
ALARMS = "the same, woken by alarms alone"
BOUND, SPARED = "clairvoyant bound with sleep", "the same, with a spare always awake"
AWAKE, ALONE = "planned together, nobody sleeps", "each agent alone"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One way of choosing, on one trace, on boards of one kind; all simulated."""

    trace: str
    board: str
    way: str
    minutes: int
    energy_kwh: float
    saving: float
    """Share of the energy of every device awake in its strongest mode."""
    excess_fleet_minutes: float
    """Share of the minutes in which at least one device violated, beyond what nobody could have helped."""
    unserved: float
    """Share of the requests beyond what the device that got them could serve."""
    lost: float = 0.0
    """Share of the requests that a missing board was to serve and nobody awake could have."""
    switches_per_day: float
    """Of one device, on the mean; so the next two."""
    naps_per_day: float = 0.0
    asleep: float = 0.0
    """Share of the time."""
    failures: int = 0

    @classmethod
    def of(
        cls, named: tuple[str, str, str], lived: Lived, most_j: float, over: int, rested: Rested | None = None
    ) -> "Outcome":
        """`named`: trace, board and way; `over`: minutes that nobody could have served."""
        days = COUNT * lived.minutes / 1440.0
        return cls(
            trace=named[0],
            board=named[1],
            way=named[2],
            minutes=lived.minutes,
            energy_kwh=lived.energy_j / JOULES_PER_KWH,
            saving=1.0 - lived.energy_j / most_j,
            excess_fleet_minutes=(lived.violating - over) / lived.minutes,
            unserved=lived.unserved / max(lived.requests, 1.0),
            switches_per_day=lived.switches / days,
            lost=rested.lost / max(lived.requests, 1.0) if rested else 0.0,
            naps_per_day=rested.naps / days if rested else 0.0,
            asleep=rested.asleep_s / (86400.0 * days) if rested else 0.0,
            failures=rested.failures if rested else 0,
        )


def _mean(outcomes: Sequence[Outcome], field: str) -> float:
    return fmean(float(getattr(one, field)) for one in outcomes)


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Energy, violations, losses and naps of every way, means over the traces."""
    table = Table(title=f"{COUNT} devices, simulated: means over the traces", title_justify="left")
    headings = ("board", "way", "kWh", "saves", "excess fleet min", "unserved", "lost", "asleep")
    for heading in (*headings, "naps a day", "switches a day"):
        table.add_column(heading, justify="left" if heading in ("board", "way") else "right")
    for board in sorted({one.board for one in outcomes}):
        for way in dict.fromkeys(one.way for one in outcomes):
            here = [one for one in outcomes if (one.board, one.way) == (board, way)]
            table.add_row(
                board,
                way,
                f"{_mean(here, 'energy_kwh'):.1f}",
                f"{_mean(here, 'saving'):.1%}",
                f"{_mean(here, 'excess_fleet_minutes'):.3%}",
                f"{_mean(here, 'unserved'):.4%}",
                f"{_mean(here, 'lost'):.4%}",
                f"{_mean(here, 'asleep'):.1%}",
                f"{_mean(here, 'naps_per_day'):.1f}",
                f"{_mean(here, 'switches_per_day'):.1f}",
            )
    Console(width=170).print(table)


def results_of(outcomes: Sequence[Outcome]) -> list[Result]:
    """The judged figures, and beside them the same fleet without sleep and the agents alone."""
    results = []
    for board in sorted({one.board for one in outcomes}):
        ways = {
            way: [one for one in outcomes if (one.board, one.way) == (board, way)]
            for way in dict.fromkeys(one.way for one in outcomes)
        }
        most = _mean(ways[BOUND], "saving")
        spared = _mean(ways[SPARED], "saving")
        results.append(_row(board, "bound's saving", 100.0 * most, None))
        results.append(_row(board, "bound's saving with a spare always awake", 100.0 * spared, None))
        for way in (SLEPT, FAILED, ALARMS, AWAKE, ALONE):
            here = ways[way]
            saving = _mean(here, "saving")
            least = LEAST_SHARE if way == SLEPT else None
            beyond = MOST_EXCESS if way in (SLEPT, FAILED) else None
            excess = 100.0 * _mean(here, "excess_fleet_minutes")
            results.append(_row(board, f"{way}, share of the bound's saving", _share(saving, most), least))
            results.append(_row(board, f"{way}, excess violating minutes", excess, beyond, low=True))
        kept = _share(_mean(ways[SLEPT], "saving"), spared)
        results.append(_row(board, f"{SLEPT}, share of the bound's with a spare", kept, None))
        lost = 100.0 * _mean(ways[FAILED], "lost")
        results.append(_row(board, "requests lost beyond the spare's capacity", lost, 0.0, low=True))
    return results


def _share(saving: float, most: float) -> float:
    return 100.0 * saving / most if most > 0.0 else 100.0


def _row(board: str, name: str, value: float, target: float | None, *, low: bool = False) -> Result:
    return Result.judged(
        f"{board}: {name}",
        value,
        "%",
        target=target,
        better="lower" if low else "higher",
        against="clairvoyant bound with sleep, simulated boards",
    )
