"""The hands on a stand-in board: applied, refused or rolled back, and always a way back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world import recording

from tidewatt_agent.actuator import plan
from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.plan import Knob, Write
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.tool import Nvpmodel, Said
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.nvpmodel import PowerModes
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.board import build, fail
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.documents import parse_toml

MHZ = 1_000_000
IDS = (0, 1, 2, 3)


class Tool(Nvpmodel):
    """The stand-in nvpmodel without a process; it counts, and can be made to do something first."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.asked: list[int] = []
        self.before: Callable[[], None] = lambda: None
        self.last = nvpmodel.Answer("", 0)

    def _run(self, *arguments: str) -> Said:
        if arguments[0] == "-m":
            self.asked.append(int(arguments[1]))
            self.before()
        answer = self.last = nvpmodel.run(self.root, list(arguments))
        return Said(answer.text, None if answer.code < 0 else answer.code)


def no_reboots(root: Path) -> Reboots:
    """What plans reboots, and may not."""
    return Reboots(Tree(str(root)), root / "reboot.json")


class Bench:
    """A board in 15W, and hands."""

    def __init__(self, folder: Path) -> None:
        self.root, self.undo = folder / "root", folder / "undo.json"
        self.root.mkdir()
        self.modes = build(recording("orin-nano-super-jp62"), self.root, 0)
        self.tool = Tool(self.root)
        self.hands = self.new_hands()

    def new_hands(self) -> Actuator:
        """Hands that know nothing but what is on the disk."""
        return Actuator(
            Board(Tree(str(self.root))),
            self.tool,
            UndoFile(self.undo),
            no_reboots(self.root),
            sleep=lambda _s: None,
            settle_s=0.1,
        )

    def nodes(self) -> dict[str, int]:
        """Every node that the hands may touch, as it stands."""
        board = Board(Tree(str(self.root)))
        modes = board.modes()
        return dict(board.readings(modes, board.knobs(modes)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_mode_is_applied_when_the_board_shows_it_and_undone(bench: Bench) -> None:
    found = bench.nodes()
    result = bench.hands.set_mode(1)
    assert (result.kind, result.state.mode_id) == ("applied", 1)
    assert result.state.caps == {
        "policy0": 1344 * MHZ,
        "policy4": 1344 * MHZ,
        "gpu": 918 * MHZ,
        "emc": 3199 * MHZ,
    }
    assert bench.hands.set_mode(3).state.mode_id == 3
    assert bench.hands.changed
    again = bench.new_hands()
    assert (again.restore().kind, again.state().mode_id) == ("applied", 0)
    assert bench.nodes() == found
    assert not bench.undo.exists()
    assert again.restore().kind == "unchanged"


def test_every_mode_from_every_mode(bench: Bench) -> None:
    for here in IDS:
        for there in IDS:
            bench.hands.set_mode(here)
            kind = bench.hands.set_mode(there).kind
            assert kind == ("unchanged" if here == there else "applied")
            assert bench.hands.state().mode_id == there


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        ("prompt", "needs_reboot", "bad input"),
        ("hang", "refused", "said nothing"),
        ("lie", "refused", "said nothing"),
        ("chroot", "refused", "Running in chroot"),
        ("partial", "rolled_back", "said nothing"),
        ("ebusy", "rolled_back", "Error writing"),
        ("enodev", "rolled_back", "Error writing"),
        ("eagain", "rolled_back", "Error writing"),
        ("erofs", "rolled_back", "Error writing"),
    ],
)
def test_a_failing_tool_leaves_the_board_as_it_was(bench: Bench, failure: str, kind: str, words: str) -> None:
    found = bench.nodes()
    fail(bench.root, failure)
    bench.tool.before = lambda: fail(bench.root, *([failure] if len(bench.tool.asked) == 1 else []))
    result = bench.hands.set_mode(2)
    assert result.kind == kind
    assert words in result.detail
    assert bench.nodes() == found
    assert result.state.mode_id == 0
    assert not bench.undo.exists(), "nothing is left to put back"


def test_slow_hardware_is_waited_for(bench: Bench) -> None:
    fail(bench.root, "slow")
    hands = Actuator(
        Board(Tree(str(bench.root))),
        bench.tool,
        UndoFile(bench.undo),
        no_reboots(bench.root),
        sleep=lambda _s: nvpmodel.catch_up(bench.tool.last),
        settle_s=0.1,
    )
    assert hands.set_mode(2).kind == "applied"
    assert hands.state().mode_id == 2


def test_a_mode_with_other_masks_is_never_asked_for(bench: Bench) -> None:
    (bench.root / "sys/devices/platform/gpu.0/tpc_pg_mask").write_text("248\n")
    result = bench.hands.set_mode(1)
    assert result.kind == "needs_reboot"
    assert result.detail == "25W sets TPC_POWER_GATING to 240, the board runs with 248"
    assert bench.tool.asked == []


def test_a_mode_that_is_not_there_is_refused(bench: Bench) -> None:
    result = bench.hands.set_mode(9)
    assert (result.kind, bench.tool.asked) == ("refused", [])
    assert result.detail == "there is no mode 9; there are 0 15W, 1 25W, 2 MAXN_SUPER, 3 7W"


def test_caps_within_the_mode(bench: Bench) -> None:
    found = bench.nodes()
    result = bench.hands.set_caps({"gpu": 408 * MHZ, "cpu": 960 * MHZ})
    assert result.kind == "applied"
    assert result.state.mode_id == 0, "with our caps on top it is still this mode"
    assert result.state.caps["gpu"] == 408 * MHZ
    assert result.state.caps["policy4"] == 960 * MHZ
    assert bench.hands.set_caps({"gpu": 408 * MHZ}).kind == "unchanged"
    assert bench.hands.set_caps({"gpu": None, "cpu": None}).kind == "applied"
    assert bench.nodes() == found
    assert bench.hands.set_caps({"cpu": 729_600_000}).kind == "applied"
    assert bench.new_hands().restore().kind == "applied"
    assert bench.nodes() == found


@pytest.mark.parametrize(
    ("caps", "sentence"),
    [
        ({"gpu": 500 * MHZ}, "gpu offers no 500000000; the nearest is 510000000"),
        ({"gpu": 1020 * MHZ}, "gpu: 1020000000 Hz is above the 612000000 Hz of 15W"),
        ({"npu": 1}, "there is no clock 'npu'; there are policy0, policy4, gpu, emc"),
        ({"emc": 204 * MHZ}, "emc offers no 204000000; the nearest is 2133000000"),
        ({"gpu": -1}, "gpu offers no -1; the nearest is 306000000"),
    ],
)
def test_a_cap_that_does_not_exist_is_refused(bench: Bench, caps: dict[str, int], sentence: str) -> None:
    found = bench.nodes()
    result = bench.hands.set_caps(caps)
    assert (result.kind, result.detail) == ("refused", sentence)
    assert bench.nodes() == found
    assert not bench.undo.exists()


def test_a_node_that_refuses_is_rolled_back(bench: Bench) -> None:
    found = bench.nodes()
    refusing = bench.root / "sys/class/devfreq/17000000.gpu/max_freq"

    class Refusing(Board):
        def write(self, write: Write) -> None:
            if write.path.endswith("gpu/max_freq") and write.to != 612 * MHZ:
                write = Write(f"{refusing.parent.relative_to(bench.root)}", write.was, write.to)  # a folder
            super().write(write)

    hands = Actuator(
        Refusing(Tree(str(bench.root))),
        bench.tool,
        UndoFile(bench.undo),
        no_reboots(bench.root),
        sleep=lambda _s: None,
        settle_s=0.1,
    )
    result = hands.set_caps({"cpu": 960 * MHZ, "gpu": 408 * MHZ})
    assert result.kind == "rolled_back"
    assert "refuses 408000000: Is a directory" in result.detail
    assert bench.nodes() == found


def test_drift_shows(bench: Bench) -> None:
    bench.hands.set_mode(1)
    gpu = bench.root / "sys/class/devfreq/17000000.gpu/max_freq"
    gpu.write_text("306000000\n")
    state = bench.hands.state()
    assert (state.mode_id, state.fitting) == (None, []), "in no mode of its own"
    nvpmodel.run(bench.root, ["-m", "3"])
    assert bench.hands.state().mode_id == 3
    assert bench.new_hands().restore().state.mode_id == 0


def test_pinned_clocks_are_put_back_pinned(bench: Bench) -> None:
    """jetson_clocks holds minimum = maximum: going down the minimum has to go first, coming back last."""
    for policy in ("policy0", "policy4"):
        folder = bench.root / f"sys/devices/system/cpu/cpufreq/{policy}"
        (folder / "scaling_min_freq").write_text("1497600\n")
    found = bench.nodes()
    order: list[tuple[str, int]] = []

    class Watching(Board):
        def write(self, write: Write) -> None:
            order.append((write.path.rsplit("/", 2)[-2] + "/" + write.path.rsplit("_", 2)[-2], write.to))
            super().write(write)

    hands = Actuator(
        Watching(Tree(str(bench.root))),
        bench.tool,
        UndoFile(bench.undo),
        no_reboots(bench.root),
        sleep=lambda _s: None,
        settle_s=0.1,
    )
    assert hands.set_caps({"policy0": 960 * MHZ}).kind == "applied"
    assert order == [("policy0/min", 960_000), ("policy0/max", 960_000)]
    assert hands.restore().kind == "applied"
    assert order[2:] == [("policy0/max", 1_497_600), ("policy0/min", 1_497_600)]
    assert bench.nodes() == found


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
@settings(derandomize=True, deadline=None, max_examples=80)
def test_killed_at_any_instant_the_next_start_puts_back_what_was_found(
    tmp_path_factory: pytest.TempPathFactory, todo: list[tuple[str, int]], life: int, half: bool
) -> None:
    killed_after(tmp_path_factory.mktemp("bench"), todo, life, half=half)


def killed_after(folder: Path, todo: list[tuple[str, int]], life: int, *, half: bool) -> bool:
    """Live through `todo` until the `life`-th effect, then let new hands restore; whether it was killed."""
    bench, killed = Bench(folder), False
    found, left = bench.nodes(), [life]
    hands = Actuator(
        Mortal(Tree(str(bench.root)), left),
        MortalTool(bench.root, left, half=half),
        MortalUndo(bench.undo, left),
        no_reboots(bench.root),
        sleep=lambda _s: None,
        settle_s=0.1,
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
@settings(derandomize=True, deadline=None, max_examples=80)
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
@settings(derandomize=True, deadline=None, max_examples=300)
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


def test_the_stand_ins_modes_are_the_recordings(bench: Bench) -> None:
    written = recording("orin-nano-super-jp62").nvpmodel
    modes = parse_toml(written, PowerModes, name="nvpmodel.toml")
    parsed = Board(Tree(str(bench.root))).modes()
    assert [(mode.id, mode.name, mode.settings) for mode in parsed.modes] == [
        (mode.id, mode.name, mode.settings) for mode in modes.modes
    ]
    assert parsed.default == 1
