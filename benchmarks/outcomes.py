"""What the governor's benchmark says of its outcomes: tables, the best rule in hindsight, verdicts."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.results import Result


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One way of choosing, on one trace at one scale on one board; all simulated."""

    trace: str
    scale_rps: float
    board: str
    way: str
    minutes: int
    energy_wh: float
    energy_above_clairvoyant: float
    """Share."""
    violating: float
    """Share of the minutes."""
    excess_violating: float
    """The same beyond the clairvoyant's."""
    longest_violation_min: int
    switches_per_day: float
    stress: bool
    step_min: int
    """Minutes between the trace's rows."""


class Limits(NamedTuple):
    """Targets of one board, percent; None: only shown."""

    energy: float | None
    mean: float | None
    worst: float | None
    rule: float | None


TARGETS = {
    "reference-follows-use": Limits(energy=1.5, mean=0.1, worst=0.5, rule=100.0),
    "reference-flat": Limits(energy=8.0, mean=0.1, worst=0.5, rule=100.0),
}


def best_rule(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The model-free rule that did best in hindsight at no more violations than Tidewatt, by board."""
    found = []
    for board in {one.board for one in outcomes}:
        here = [one for one in outcomes if one.board == board]
        best = _best_way(here)
        name = f"best model-free rule ({best})"
        found += [msgspec.structs.replace(one, way=name) for one in here if one.way == best]
    return found


def _best_way(here: Sequence[Outcome]) -> str:
    """Of the rules `peak of K min x (1 + m)` the cheapest one that violates no more than Tidewatt."""
    ours = _mean(here, "Tidewatt", lambda one: one.excess_violating)

    def rank(way: str) -> tuple[float, float]:
        more = _mean(here, way, lambda one: one.excess_violating) - ours
        return max(0.0, more), _mean(here, way, lambda one: one.energy_above_clairvoyant)

    return min(sorted({one.way for one in here if one.way.startswith("peak of ")}), key=rank)


def _mean(outcomes: Iterable[Outcome], way: str, figure: Callable[[Outcome], float]) -> float:
    return fmean([figure(one) for one in outcomes if one.way == way and not one.stress] or [0.0])


def print_tables(outcomes: Sequence[Outcome]) -> None:
    """One table for each board, and one of Tidewatt by trace; all simulated."""
    for board in sorted({one.board for one in outcomes}):
        table = Table(title=f"simulated board {board}: means over traces and scales", title_justify="left")
        for heading in (
            "way",
            "energy above clairvoyant",
            "excess violating min",
            "worst trace",
            "longest run",
            "switches a day",
            "Tidewatt saves",
        ):
            table.add_column(heading, justify="left" if heading == "way" else "right")
        here = [one for one in outcomes if one.board == board and not one.stress]
        ours = _mean(here, "Tidewatt", lambda one: one.energy_wh)
        for way in dict.fromkeys(one.way for one in here if not one.way.startswith("peak of ")):
            mine = [one for one in here if one.way == way]
            wh = _mean(here, way, lambda one: one.energy_wh)
            table.add_row(
                way,
                f"{_mean(here, way, lambda one: one.energy_above_clairvoyant):+.2%}",
                f"{_mean(here, way, lambda one: one.excess_violating):.3%}",
                f"{_worst(mine):.2%}",
                f"{60 * max(one.longest_violation_min for one in mine):,} s",
                f"{_mean(here, way, lambda one: one.switches_per_day):.1f}",
                f"{1 - ours / wh:.1%}" if wh else "",
            )
        Console(width=150).print(table)
    _by_trace(outcomes)


def _by_trace(outcomes: Sequence[Outcome]) -> None:
    table = Table(
        title="Tidewatt by trace (simulated; energy above and violations beyond the clairvoyant's)",
        title_justify="left",
    )
    boards = sorted({one.board for one in outcomes})
    for heading in ("trace", *boards):
        table.add_column(heading, justify="left" if heading == "trace" else "right")
    for trace in dict.fromkeys(one.trace for one in outcomes):
        cells, stress = [], False
        for board in boards:
            mine = [one for one in outcomes if (one.trace, one.board, one.way) == (trace, board, "Tidewatt")]
            stress = any(one.stress for one in mine)
            energy = fmean(one.energy_above_clairvoyant for one in mine)
            cells.append(f"{energy:+.1%}, {fmean(one.excess_violating for one in mine):.2%}")
        table.add_row(trace + (" (stress)" if stress else ""), *cells)
    Console(width=150).print(table)


def _worst(outcomes: Sequence[Outcome]) -> float:
    traces = {one.trace for one in outcomes}
    return max(
        (fmean(one.excess_violating for one in outcomes if one.trace == trace) for trace in traces),
        default=0.0,
    )


def results_of(outcomes: Sequence[Outcome]) -> list[Result]:
    """The judged figures of every board, on the 1-minute traces and on all; percent."""
    judged = [one for one in outcomes if not one.stress]
    fine = [one for one in judged if one.step_min == 1]
    results: list[Result] = []
    for board, (traces, these) in itertools.product(
        sorted({one.board for one in judged}), (("1-minute traces", fine), ("all traces", judged))
    ):
        if here := [one for one in these if one.board == board]:
            results += _judged(board, traces, here)
    return results


def _judged(board: str, traces: str, here: Sequence[Outcome]) -> list[Result]:
    mine = [one for one in here if one.way == "Tidewatt"]
    energy = _mean(here, "Tidewatt", lambda one: one.energy_above_clairvoyant)
    excess = _mean(here, "Tidewatt", lambda one: one.excess_violating)
    rule = _best_way(here)
    theirs = _mean(here, rule, lambda one: one.energy_above_clairvoyant)
    limits = TARGETS.get(board, Limits(None, None, None, None))
    figures = [
        ("energy above", 100.0 * energy, limits.energy, "clairvoyant"),
        ("excess violating minutes, mean", 100.0 * excess, limits.mean, "clairvoyant"),
        ("excess violating minutes, worst trace", 100.0 * _worst(mine), limits.worst, "clairvoyant"),
        ("energy, share of", 100.0 * (1 + energy) / (1 + theirs), limits.rule, rule),
    ]
    return [
        Result.judged(
            f"{board}, {traces}: {name}", value, "%", target=target, against=f"{against}, simulated board"
        )
        for name, value, target, against in figures
    ]
