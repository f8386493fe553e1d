"""Killed or failing at any instant: the board is as it was, at the target, or led back by the next start."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.benches import IDS, MHZ, Bench, Tool

from tidewatt_agent.actuator import plan
from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.plan import Knob, Write
from tidewatt_agent.actuator.tool import Said
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.standin.board import fail
from tidewatt_agent.sysfs.tree import Tree


class Killed(BaseException):
    """kill -9, at an effect that was counted to."""


class Mortal(Board):
    """A board whose hands are killed before or after the n-th effect."""

    def __init__(self, tree: Tree, life: list[int]) -> None:
        super().__init__(tree)
        self.life = life

    def write(self, write: Write) -> None:
        tick(self.life)
        super().write(write)
        tick(self.life)


class MortalTool(Tool):
    """The same for the tool, which may be left half done."""

    def __init__(self, root: Path, life: list[int], *, half: bool) -> None:
        super().__init__(root)
        self.life, self.half = life, half

    def _run(self, *arguments: str) -> Said:
        if arguments[0] == "-q":
            return super()._run(*arguments)
        tick(self.life)
        if self.half and self.life[0] <= 1:
            fail(self.root, "partial")
        said = super()._run(*arguments)
        fail(self.root)
        tick(self.life)
        return said


class MortalUndo(UndoFile):
    """The same for the file."""

    def __init__(self, path: Path, life: list[int]) -> None:
        super().__init__(path)
        self.life = life

    def keep(self, undo: object) -> None:
        tick(self.life)
        super().keep(undo)  # type: ignore[arg-type] # handed through
        tick(self.life)

    def forget(self) -> None:
        tick(self.life)
        super().forget()
        tick(self.life)


def tick(life: list[int]) -> None:
    life[0] -= 1
    if life[0] == 0:
        raise Killed


deeds = st.one_of(
    st.tuples(st.just("mode"), st.sampled_from(IDS)),
    st.tuples(st.just("caps"), st.sampled_from([408 * MHZ, 306 * MHZ])),
    st.tuples(st.just("restore"), st.just(0)),
)


STORIES: list[list[tuple[str, int]]] = [
    [("mode", 2)],
    [("mode", 2), ("mode", 3)],
    [("caps", 408 * MHZ), ("mode", 1)],
    [("mode", 1), ("caps", 306 * MHZ), ("restore", 0)],
    [("mode", 3), ("mode", 0)],
]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: "-".join(deed for deed, _ in story))
def test_every_prefix_of_a_plan_can_be_undone(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, int]], half: bool
) -> None:
    """Killed after every single effect in turn, until the story comes to its end."""
    life = 1
    while killed_after(tmp_path_factory.mktemp("bench"), story, life, half=half):
        life += 1
    assert life > 2 * len(story), "it was killed more than once"


@given(st.lists(deeds, min_size=1, max_size=4), st.integers(1, 40), st.booleans())
@settings(max_examples=80)
def test_killed_at_any_instant_the_next_start_puts_back_what_was_found(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[str, int]], life: int, half: bool
) -> None:
    killed_after(tmp_path_factory.mktemp("bench"), todo, life, half=half)


def killed_after(folder: Path, todo: list[tuple[str, int]], life: int, *, half: bool) -> bool:
    """Live through `todo` until the `life`-th effect, then let new hands restore; whether it was killed."""
    bench, killed = Bench(folder), False
    found, left = bench.nodes(), [life]
    hands = bench.new_hands(
        Mortal(Tree(str(bench.root)), left),
        MortalTool(bench.root, left, half=half),
        MortalUndo(bench.undo, left),
    )
    try:
        for deed, value in todo:
            if deed == "mode":
                hands.set_mode(value)
            elif deed == "caps":
                hands.set_caps({"gpu": value})
            else:
                hands.restore()
    except Killed:
        killed = True
    fail(bench.root)
    assert bench.new_hands().restore().kind in ("applied", "unchanged")
    assert bench.nodes() == found
    assert bench.hands.state().mode_id == 0
    assert not bench.undo.exists()
    return killed


@given(
    st.lists(
        st.tuples(deeds, st.sampled_from(["", "prompt", "hang", "lie", "chroot", "partial", "ebusy"])),
        max_size=5,
    )
)
@settings(max_examples=80)
def test_never_outside_original_and_target_never_a_value_not_offered(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[tuple[str, int], str]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("bench"))
    board = Board(Tree(str(bench.root)))
    for (deed, value), failure in todo:
        before = bench.hands.state()
        asked = len(bench.tool.asked)
        fail(bench.root, failure)
        # What fails once works again when it is rolled back: a board that refuses all is another test.
        bench.tool.before = failing_once(bench, failure, asked + 1)
        if deed == "mode":
            result = bench.hands.set_mode(value)
            assert result.state.mode_id in ((value,) if result.kind == "applied" else (before.mode_id,))
        elif deed == "caps":
            result = bench.hands.set_caps({"gpu": value})
        else:
            fail(bench.root)
            bench.tool.before = lambda: None
            result = bench.hands.restore()
        modes = board.modes()
        knobs = board.knobs(modes)
        readings = board.readings(modes, knobs)
        for knob in knobs:
            assert readings[knob.maximum] in knob.available
            assert knob.minimum is None or readings[knob.minimum] <= readings[knob.maximum]
    fail(bench.root)
    bench.tool.before = lambda: None
    bench.hands.restore()
    assert bench.new_hands().state().mode_id == 0


def failing_once(bench: Bench, failure: str, number: int) -> Callable[[], None]:
    """Let the tool's next run fail, and none after it."""
    return lambda: fail(bench.root, failure if len(bench.tool.asked) == number else "")


tables = st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True).map(lambda one: tuple(sorted(one)))


@given(tables, st.data())
@settings(max_examples=300)
def test_a_maximum_never_crosses_its_minimum_on_the_way(
    available: tuple[int, ...], data: st.DataObject
) -> None:
    knob = Knob("gpu", "max", "min", available, 1)
    pick = st.sampled_from(available)
    low, high = sorted((data.draw(pick), data.draw(pick)))
    to_low, to_high = sorted((data.draw(pick), data.draw(pick)))
    start = {"min": low, "max": high}
    now = dict(start)

    def perform(writes: list[Write]) -> None:
        for write in writes:
            assert now[write.path] == write.was
            now[write.path] = write.to
            assert now["min"] <= now["max"]

    perform(plan.move(knob, to_low, to_high, now))
    assert now == {"min": to_low, "max": to_high}
    perform(plan.cap(knob, data.draw(pick), now))
    perform(plan.put_back(start, [knob], now))
    assert now == start
