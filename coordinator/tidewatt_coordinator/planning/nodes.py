"""How many nodes of each cloud pool to hold: unit commitment over the coming steps. Pure.

A node is paid from its start and serves only after it, is kept for a while once started, and is not started
again just after another was given back. What must be carried is the guarded demand beyond the edge's
capacity, step by step; the cheapest way is found exactly (HiGHS).

Invariants (each is a property test):
- in every step the nodes that serve carry the need, or the shortfall is said, and there is none from the
  first step on in which a node that is started now serves, unless a pool's bound is reached;
- minimum times up and down hold, with what is running now;
- more need never costs less, and a relabelled pool changes nothing.
"""

import math
from collections.abc import Sequence

import highspy
import msgspec
import numpy as np

#: A request/s that nobody serves costs so many times what the dearest node for it would cost.
DREAD = 1000.0
#: A pool without a bound of its own may double what the need asks for, and two more.
ROOM, SPARE = 2, 2
#: A shortfall below this many requests/s isn't told.
TOLD_RPS = 0.5


class NodePool(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of one kind."""

    name: str
    node_rps: float
    """What one serves, above 0."""
    per_hour: float
    """What one costs, whether it serves or not."""
    held: int = 0
    """Those there now, the starting ones among them;"""
    ages_min: tuple[float, ...] = ()
    """minutes since their start, of those that began lately; the others are old."""
    start_min: float = 2.0
    """From its order until a node serves."""
    up_min: float = 10.0
    """A node is kept for so long,"""
    down_min: float = 5.0
    """and after one was given back none takes its room for so long."""
    most: int | None = None


class Held(msgspec.Struct, frozen=True):
    """What to hold of a pool in each step: nodes in all, and those of them that serve."""

    name: str
    nodes: tuple[int, ...]
    serving: tuple[int, ...]


class Commitment(msgspec.Struct, frozen=True):
    """The cheapest holding of all pools. `cost`: of the steps together, in the pools' currency."""

    pools: tuple[Held, ...]
    cost: float
    short_rps: tuple[float, ...]
    """What nobody can serve in each step."""
    reason: str


class UnsolvedNodes(RuntimeError):
    """HiGHS found no holding; the sentence is its own."""


class _Program:
    """Columns are whole numbers but for the shortfalls; rows say low <= terms <= high."""

    def __init__(self) -> None:
        self._highs = highspy.Highs()  # type: ignore[no-untyped-call]
        self._highs.setOptionValue("output_flag", False)
        self._highs.setOptionValue("threads", 1)
        self._highs.setOptionValue("mip_rel_gap", 0.0)
        self._highs.setOptionValue("mip_abs_gap", 0.0)

    def columns(self, price: float, most: float, steps: int, *, whole: bool) -> int:
        """A column for each step; the number of the first."""
        first = int(self._highs.getNumCol())
        for column in range(first, first + steps):
            self._highs.addCol(price, 0.0, most, 0, [], [])
            if whole:
                self._highs.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        return first

    def row(self, terms: Sequence[tuple[int, float]], low: float, high: float = highspy.kHighsInf) -> None:
        """One more: columns and their factors; a column may be named twice."""
        factors: dict[int, float] = {}
        for column, factor in terms:
            factors[column] = factors.get(column, 0.0) + factor
        self._highs.addRow(low, high, len(factors), list(factors), list(factors.values()))

    def solve(self) -> list[float]:
        """The cheapest; UnsolvedNodes without one."""
        self._highs.run()
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise UnsolvedNodes(f"HiGHS: {self._highs.modelStatusToString(self._highs.getModelStatus())}")
        return list(self._highs.getSolution().col_value)


def commit(pools: Sequence[NodePool], need_rps: Sequence[float], step_min: float) -> Commitment:
    """What to hold in steps of `step_min` minutes, of which the first begins now.

    Raises UnsolvedNodes if there is no answer, which an exact solver has for every input.
    """
    order = sorted(range(len(pools)), key=lambda index: pools[index].name)
    pools, steps = [pools[index] for index in order], len(need_rps)
    if not pools or not steps:
        short = tuple(max(0.0, need) for need in need_rps)
        return Commitment((), 0.0, short, "there is no pool of nodes to hold")
    program = _Program()
    found_in = [_keep(program, pool, need_rps, step_min) for pool in pools]
    dread = DREAD * max(1e-9, *(one.per_hour / one.node_rps for one in pools))
    first_short = program.columns(dread, highspy.kHighsInf, steps, whole=False)
    for step, need in enumerate(need_rps):
        terms, without = [(first_short + step, 1.0)], 0.0
        for pool, columns in zip(pools, found_in, strict=True):
            serving, still = _serving(pool, columns, step, step_min)
            terms += [(column, factor * pool.node_rps) for column, factor in serving]
            without += still * pool.node_rps
        program.row(terms, max(0.0, need) + without)
    return _answer(list(zip(pools, found_in, strict=True)), need_rps, program.solve(), step_min)


class _Columns(msgspec.Struct, frozen=True):
    """Where a pool's variables are: nodes there, starts and stops, by step."""

    first: int
    moves: int
    steps: int

    def nodes(self, step: int) -> int:
        return self.first + step

    def starts(self, step: int) -> int:
        return self.moves + step

    def stops(self, step: int) -> int:
        return self.moves + self.steps + step


def _most(pool: NodePool, need_rps: float) -> int:
    wanted = ROOM * math.ceil(max(0.0, need_rps) / pool.node_rps) + SPARE
    return max(pool.held, wanted if pool.most is None else pool.most)


def _steps_of(minutes: float, step_min: float) -> int:
    return math.ceil(max(0.0, minutes) / step_min - 1e-9)


def _keep(program: _Program, pool: NodePool, need_rps: Sequence[float], step_min: float) -> _Columns:
    """Nodes are those before, with starts and without stops; none stops or is replaced too soon."""
    steps, most = len(need_rps), _most(pool, max(need_rps))
    nodes = program.columns(pool.per_hour * step_min / 60.0, most, steps, whole=True)
    columns = _Columns(nodes, program.columns(0.0, most, 2 * steps, whole=True), steps)
    up = max(_steps_of(pool.up_min, step_min), _steps_of(pool.start_min, step_min), 1)
    down = max(_steps_of(pool.down_min, step_min), 1)
    for step in range(steps):
        here = [(columns.nodes(step), 1.0), (columns.starts(step), -1.0), (columns.stops(step), 1.0)]
        held = float(pool.held) if step == 0 else 0.0
        program.row(here if step == 0 else [*here, (columns.nodes(step - 1), -1.0)], held, held)
        begun = [(columns.starts(back), -1.0) for back in range(max(0, step - up + 1), step + 1)]
        young = sum(age + step * step_min < max(pool.up_min, pool.start_min) for age in pool.ages_min)
        program.row([(columns.nodes(step), 1.0), *begun], float(young))
        gone = [(columns.stops(back), -1.0) for back in range(max(0, step - down + 1), step + 1)]
        program.row([(columns.nodes(step), -1.0), *gone], -float(most))
    return columns


def _serving(
    pool: NodePool, columns: _Columns, step: int, step_min: float
) -> tuple[list[tuple[int, float]], float]:
    """The nodes that serve throughout a step: those there without the ones still starting, which is the sum
    of these terms less the number.
    """
    starting = _steps_of(pool.start_min, step_min)
    terms = [(columns.nodes(step), 1.0)]
    terms += [(columns.starts(back), -1.0) for back in range(max(0, step - starting + 1), step + 1)]
    still = sum(age + step * step_min < pool.start_min for age in pool.ages_min)
    return terms if starting else terms[:1], float(still)


def _answer(
    pools: Sequence[tuple[NodePool, _Columns]],
    need_rps: Sequence[float],
    found: Sequence[float],
    step_min: float,
) -> Commitment:
    steps, held = range(len(need_rps)), []
    carried = np.zeros(len(need_rps))
    for pool, columns in pools:
        serving = []
        for step in steps:
            terms, still = _serving(pool, columns, step, step_min)
            serving.append(round(sum(factor * found[column] for column, factor in terms) - still))
        nodes = tuple(round(found[columns.nodes(step)]) for step in steps)
        held.append(Held(pool.name, nodes, tuple(serving)))
        carried += np.array(serving) * pool.node_rps
    kinds = [pool for pool, _ in pools]
    cost = (
        sum(sum(one.nodes) * pool.per_hour for one, pool in zip(held, kinds, strict=True)) * step_min / 60.0
    )
    short = tuple(max(0.0, need - float(has)) for need, has in zip(need_rps, carried, strict=True))
    return Commitment(tuple(held), cost, short, _words(held, kinds, need_rps, short))


def _words(
    held: Sequence[Held], pools: Sequence[NodePool], need_rps: Sequence[float], short: Sequence[float]
) -> str:
    who = ", ".join(
        f"{max(one.nodes)} {one.name} (now {pool.held})" for one, pool in zip(held, pools, strict=True)
    )
    words = f"{max(need_rps):.0f} rps beyond the edge at the most: hold {who}"
    return f"{words}; {max(short):.0f} rps can't be carried in time" if max(short) > TOLD_RPS else words
