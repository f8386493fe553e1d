"""The sleep benchmark's outcomes, their one table, and the verdicts."""

from collections.abc import Sequence

import msgspec

from benchmarks.joint.lives import COUNT, Lived
from benchmarks.joint.ways import FINEST, TENTH, THOUSANDTH, boards_of, by_way, mean, percent, plain, share
from benchmarks.results import Result
from benchmarks.sleep.lives import Rested

#: Percent of the clairvoyant bound's saving; and percent of the devices' minutes, awake and asleep, that may
#: violate in minutes that somebody could have served: counted device by device, as bench-joint does. In how
#: many minutes any device violated is shown beside it, and not judged.
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
    excess_violating: float
    """Share of the devices' minutes, without those that nobody could have served."""
    excess_fleet_minutes: float
    """Share of the minutes in which at least one device violated that somebody could have served."""
    unserved: float
    """Share of the requests beyond what the device that got them could serve."""
    lost: float = 0.0
    surged: float = 0.0
    """Share of the requests that a missing board was to serve and nobody awake could have."""
    late: float = 0.0
    """Share of the requests that nobody awake could serve while boards that could have slept, or woke."""
    later: float = 0.0
    """Share of them, minute by minute, beyond those of the same fleet when every board wakes."""
    switches_per_day: float
    """Of one device, on the mean; so the next two."""
    naps_per_day: float = 0.0
    asleep: float = 0.0
    """Share of the time."""
    failures: int = 0
    excess_of_ten: float = 0.0
    """As `excess_violating`, with the minutes that all ten could have served, and those there could not."""

    @classmethod
    def of(
        cls,
        named: tuple[str, str, str],
        lived: Lived,
        most_j: float,
        rested: Rested | None = None,
        sound: Rested | None = None,
    ) -> "Outcome":
        """`named`: trace, board and way; `most_j`: of everybody in the strongest mode.

        `sound`: the same fleet where every board wakes, if that is another.
        """
        days, requests = COUNT * lived.minutes / 1440.0, max(lived.requests, 1.0)
        late = rested.late if rested else {}
        usual = sound.late if sound else late
        return cls(
            trace=named[0],
            board=named[1],
            way=named[2],
            minutes=lived.minutes,
            energy_kwh=lived.energy_j / JOULES_PER_KWH,
            saving=1.0 - lived.energy_j / most_j,
            excess_violating=lived.excess_devices / COUNT / lived.minutes,
            excess_fleet_minutes=lived.excess / lived.minutes,
            unserved=lived.unserved / requests,
            switches_per_day=lived.switches / days,
            lost=rested.lost / requests if rested else 0.0,
            surged=rested.surged / requests if rested else 0.0,
            late=sum(late.values()) / requests,
            later=sum(max(0.0, rps - usual.get(minute, 0.0)) for minute, rps in late.items()) / requests,
            naps_per_day=rested.naps / days if rested else 0.0,
            asleep=rested.asleep_s / (86400.0 * days) if rested else 0.0,
            failures=rested.failures if rested else 0,
            excess_of_ten=(lived.excess_devices + (rested.short if rested else 0)) / COUNT / lived.minutes,
        )


def _millionths(part: float) -> str:
    return f"{1e6 * part:.1f} ppm"


COLUMNS = {
    "kWh": ("energy_kwh", plain(1)),
    "saves": ("saving", TENTH),
    "excess device min": ("excess_violating", THOUSANDTH),
    "of all ten": ("excess_of_ten", THOUSANDTH),
    "excess, any device": ("excess_fleet_minutes", THOUSANDTH),
    "unserved": ("unserved", FINEST),
    "lost": ("lost", _millionths),
    "in a surge": ("surged", _millionths),
    "asleep, lost": ("late", _millionths),
    "of it more": ("later", _millionths),
    "asleep": ("asleep", TENTH),
    "naps a day": ("naps_per_day", plain(1)),
    "switches a day": ("switches_per_day", plain(1)),
}


def results_of(outcomes: Sequence[Outcome]) -> list[Result]:
    """The judged figures, and beside them the same fleet without sleep and the agents alone."""
    results = []
    for board in boards_of(outcomes):
        ways = by_way(outcomes, board)
        free, spared = mean(ways[BOUND], "saving"), mean(ways[SPARED], "saving")
        results.append(_row(board, "bound's saving", 100.0 * spared))
        results.append(_row(board, "bound's saving, free to put everybody to sleep", 100.0 * free))
        for way in (SLEPT, FAILED, ALARMS, AWAKE, ALONE):
            results += _figures(board, way, ways[way], free, spared)
        results += _losses(board, ways[SLEPT], ways[FAILED])
    return results


def _losses(board: str, slept: Sequence[Outcome], failed: Sequence[Outcome]) -> list[Result]:
    """What is lost where one board in ten never wakes, in each reading of lost: the spare answers for the
    first, and that is judged.
    """
    awake = "requests lost while a board slept that could have served them"
    return [
        _row(board, "lost though the spare was to serve it", _lost(failed, "lost"), 0.0, low=True),
        _row(board, "the same, of what was asked beyond the plan", _lost(failed, "surged"), low=True),
        _row(board, "served by nobody, one board in ten never wakes", _lost(failed, "unserved"), low=True),
        _row(board, "served by nobody, every board wakes", _lost(slept, "unserved"), low=True),
        _row(board, "lost more than where every board wakes, by minute", _lost(failed, "later"), low=True),
        _row(board, f"{awake}, one board in ten never wakes", _lost(failed, "late"), low=True),
        _row(board, f"{awake}, every board wakes", _lost(slept, "late"), low=True),
    ]


def _lost(here: Sequence[Outcome], field: str) -> float:
    return 100.0 * mean(here, field)


def _figures(board: str, way: str, here: Sequence[Outcome], free: float, spared: float) -> list[Result]:
    saving = mean(here, "saving")
    device = 100.0 * mean(here, "excess_violating")
    ten = 100.0 * mean(here, "excess_of_ten")
    fleet = 100.0 * mean(here, "excess_fleet_minutes")
    least = LEAST_SHARE if way == SLEPT else None
    beyond = MOST_EXCESS if way in (SLEPT, FAILED) else None
    return [
        _row(board, f"{way}, share of the bound's saving", share(saving, spared), least),
        _row(board, f"{way}, share of the free bound's", share(saving, free)),
        _row(board, f"{way}, excess violating minutes of the devices", device, beyond, low=True),
        _row(board, f"{way}, the same with minutes that only all ten could have served", ten, low=True),
        _row(board, f"{way}, excess minutes in which any device violates", fleet, low=True),
    ]


def _row(board: str, name: str, value: float, target: float | None = None, *, low: bool = False) -> Result:
    against = "clairvoyant bound with sleep, a spare awake; simulated boards"
    return percent(f"{board}: {name}", value, target, against=against, low=low)
