"""The joint benchmark's outcomes, their one table, and the verdicts."""

from collections.abc import Sequence
from statistics import fmean

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.joint.lives import COUNT, Lived
from benchmarks.results import Result

#: Percent of the clairvoyant joint bound's saving; and percent of the devices' minutes, beyond the bound's
#: own, that may violate: counted device by device, as the ledger and bench-governor do. In how many minutes
#: any device violated is shown beside it, and not judged.
LEAST_SHARE, MOST_EXCESS = 85.0, 0.1
#: What the energy is priced at: the price of the shipped flat tariff, per kWh. Over a 30-day month.
PRICE_PER_KWH, MONTH_MIN = 0.15, 30 * 1440
JOULES_PER_KWH = 3.6e6


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One way of choosing, on one trace, on boards of one kind; all simulated."""

    trace: str
    board: str
    way: str
    minutes: int
    energy_kwh: float
    cost_month: float
    """Of the fleet, were every minute of a month as these."""
    saving: float
    """Share of the energy of every device in its strongest mode."""
    excess_violating: float
    """Share of the devices' minutes, beyond the bound's own."""
    excess_fleet_minutes: float
    """Share of the minutes in which at least one device violated, beyond the bound's own."""
    unserved: float
    """Share of the requests beyond what the device that got them could serve."""
    switches_per_day: float
    """Of one device, on the mean."""

    @classmethod
    def of(cls, trace: str, board: str, way: str, lived: Lived, most: Lived, best: Lived) -> "Outcome":
        """`most`: every device in its strongest mode; `best`: the bound."""
        kwh = lived.energy_j / JOULES_PER_KWH
        return cls(
            trace=trace,
            board=board,
            way=way,
            minutes=lived.minutes,
            energy_kwh=kwh,
            cost_month=kwh / lived.minutes * MONTH_MIN * PRICE_PER_KWH,
            saving=1.0 - lived.energy_j / most.energy_j,
            excess_violating=(lived.violating_devices - best.violating_devices) / COUNT / lived.minutes,
            excess_fleet_minutes=(lived.violating - best.violating) / lived.minutes,
            unserved=lived.unserved / max(lived.requests, 1.0),
            switches_per_day=lived.switches / COUNT / lived.minutes * 1440.0,
        )


def _mean(outcomes: Sequence[Outcome], field: str) -> float:
    return fmean(float(getattr(one, field)) for one in outcomes)


def print_table(outcomes: Sequence[Outcome]) -> None:
    """Energy, cost, violations and switches of every way, means over the traces."""
    table = Table(title=f"{COUNT} devices, simulated: means over the traces", title_justify="left")
    headings = ("board", "way", "kWh", "cost a month", "saves", "excess device min", "excess, any device")
    for heading in (*headings, "unserved", "switches a day"):
        table.add_column(heading, justify="left" if heading in ("board", "way") else "right")
    for board in sorted({one.board for one in outcomes}):
        for way in dict.fromkeys(one.way for one in outcomes):
            here = [one for one in outcomes if (one.board, one.way) == (board, way)]
            table.add_row(
                board,
                way,
                f"{_mean(here, 'energy_kwh'):.1f}",
                f"{_mean(here, 'cost_month'):.2f}",
                f"{_mean(here, 'saving'):.1%}",
                f"{_mean(here, 'excess_violating'):.3%}",
                f"{_mean(here, 'excess_fleet_minutes'):.3%}",
                f"{_mean(here, 'unserved'):.4%}",
                f"{_mean(here, 'switches_per_day'):.1f}",
            )
    Console(width=170).print(table)


def results_of(outcomes: Sequence[Outcome]) -> list[Result]:
    """The judged figures and, beside them, the agents alone."""
    results = []
    for board in sorted({one.board for one in outcomes}):
        ways = {
            way: [one for one in outcomes if (one.board, one.way) == (board, way)]
            for way in dict.fromkeys(one.way for one in outcomes)
        }
        most = _mean(ways["clairvoyant joint bound"], "saving")
        results.append(_row(board, "bound's saving", 100.0 * most, None))
        for way, shown in (
            ("planned together", "planned"),
            ("planned together, nothing passed on", "planned, nothing passed on"),
            ("planned together, without a forecast", "planned without a forecast"),
            ("each agent alone, traffic split evenly", "each agent alone"),
        ):
            judged, here = shown == "planned", ways[way]
            share = 100.0 * _mean(here, "saving") / most if most > 0.0 else 100.0
            fleet = 100.0 * _mean(here, "excess_fleet_minutes")
            device = 100.0 * _mean(here, "excess_violating")
            least, beyond = (LEAST_SHARE, MOST_EXCESS) if judged else (None, None)
            results += [
                _row(board, f"{shown}, share of the bound's saving", share, least),
                _row(board, f"{shown}, excess violating minutes of the devices", device, beyond, low=True),
                _row(board, f"{shown}, excess minutes in which any device violates", fleet, None, low=True),
            ]
    return results


def _row(board: str, name: str, value: float, target: float | None, *, low: bool = False) -> Result:
    return Result.judged(
        f"{board}: {name}",
        value,
        "%",
        target=target,
        better="lower" if low else "higher",
        against="clairvoyant joint bound, simulated boards",
    )
