"""The joint benchmark's outcomes, their one table, and the verdicts."""

from collections.abc import Sequence

import msgspec

from benchmarks.joint.lives import COUNT, Lived
from benchmarks.joint.ways import FINEST, TENTH, THOUSANDTH, boards_of, by_way, mean, percent, plain, share
from benchmarks.results import Result

#: Percent of the clairvoyant joint bound's saving; and percent of the devices' minutes that may violate, in
#: minutes that the bound could serve: counted device by device, as the ledger and bench-governor do. In how
#: many minutes any device violated is shown beside it, and not judged.
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
    """Share of the devices' minutes, in minutes that the bound could serve."""
    excess_fleet_minutes: float
    """Share of the minutes in which at least one device violated and the bound didn't."""
    unserved: float
    """Share of the requests beyond what the device that got them could serve."""
    switches_per_day: float
    """Of one device, on the mean."""

    @classmethod
    def of(cls, trace: str, board: str, way: str, lived: Lived, most: Lived) -> "Outcome":
        """`most`: every device in its strongest mode."""
        kwh = lived.energy_j / JOULES_PER_KWH
        return cls(
            trace=trace,
            board=board,
            way=way,
            minutes=lived.minutes,
            energy_kwh=kwh,
            cost_month=kwh / lived.minutes * MONTH_MIN * PRICE_PER_KWH,
            saving=1.0 - lived.energy_j / most.energy_j,
            excess_violating=lived.excess_devices / COUNT / lived.minutes,
            excess_fleet_minutes=lived.excess / lived.minutes,
            unserved=lived.unserved / max(lived.requests, 1.0),
            switches_per_day=lived.switches / COUNT / lived.minutes * 1440.0,
        )


COLUMNS = {
    "kWh": ("energy_kwh", plain(1)),
    "cost a month": ("cost_month", plain(2)),
    "saves": ("saving", TENTH),
    "excess device min": ("excess_violating", THOUSANDTH),
    "excess, any device": ("excess_fleet_minutes", THOUSANDTH),
    "unserved": ("unserved", FINEST),
    "switches a day": ("switches_per_day", plain(1)),
}


def results_of(outcomes: Sequence[Outcome]) -> list[Result]:
    """The judged figures and, beside them, the agents alone."""
    results = []
    for board in boards_of(outcomes):
        ways = by_way(outcomes, board)
        most = mean(ways["clairvoyant joint bound"], "saving")
        results.append(_row(board, "bound's saving", 100.0 * most, None))
        for way, shown in (
            ("planned together", "planned"),
            ("planned together, nothing passed on", "planned, nothing passed on"),
            ("planned together, without a forecast", "planned without a forecast"),
            ("each agent alone, traffic split evenly", "each agent alone"),
        ):
            judged, here = shown == "planned", ways[way]
            kept = share(mean(here, "saving"), most)
            fleet = 100.0 * mean(here, "excess_fleet_minutes")
            device = 100.0 * mean(here, "excess_violating")
            least, beyond = (LEAST_SHARE, MOST_EXCESS) if judged else (None, None)
            results += [
                _row(board, f"{shown}, share of the bound's saving", kept, least),
                _row(board, f"{shown}, excess violating minutes of the devices", device, beyond, low=True),
                _row(board, f"{shown}, excess minutes in which any device violates", fleet, None, low=True),
            ]
    return results


def _row(board: str, name: str, value: float, target: float | None, *, low: bool = False) -> Result:
    against = "clairvoyant joint bound, simulated boards"
    return percent(f"{board}: {name}", value, target, against=against, low=low)
