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
from tidewatt_agent.standin.tree import FailingTree
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
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None
        self.last = nvpmodel.Answer("", 0)

    def _run(self, *arguments: str) -> Said:
        if arguments[0] == "-m":
            self.asked.append(int(arguments[1]))
            self.before()
        answer = self.last = nvpmodel.run(self.root, list(arguments))
        if arguments[0] == "-m":
            self.after()
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
        ("prompt", "needs_reboot", "Reboot required"),
        ("hang", "refused", "did not end in time"),
        ("lie", "refused", "is 1497600, not -1"),
        ("chroot", "refused", "Running in chroot"),
        ("partial", "rolled_back", "is 1497600, not -1"),
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
    assert bench.new_hands().restore().state.mode_id == 0, "what is no mode is not somebody's choice"


@pytest.mark.parametrize("caps_only", [False, True])
def test_a_mode_that_somebody_else_has_set_is_left_alone(bench: Bench, caps_only: bool) -> None:
    if caps_only:
        bench.hands.set_caps({"gpu": 408 * MHZ})
    else:
        bench.hands.set_mode(1)
    nvpmodel.run(bench.root, ["-m", "3"])
    theirs = bench.nodes()
    result = bench.new_hands().restore()
    assert (result.kind, result.state.mode_id) == ("unchanged", 3)
    assert "somebody else" in result.detail
    assert bench.nodes() == theirs
    assert not bench.undo.exists()


def test_a_way_back_that_is_refused_is_not_forgotten(bench: Bench) -> None:
    written = 0

    def fault(_path: str, _value: int) -> str:
        nonlocal written
        written += 1
        return "EBUSY" if written > 1 else ""

    tree = FailingTree(str(bench.root), fault)
    found = bench.nodes()
    hands = Actuator(
        Board(tree, lambda _s: None),
        bench.tool,
        UndoFile(bench.undo),
        no_reboots(bench.root),
        lambda _s: None,
    )
    result = hands.set_caps({"policy0": 960 * MHZ, "gpu": 408 * MHZ})
    assert (result.kind, hands.stuck) == ("stuck", True)
    assert bench.undo.exists()
    tree.come_back()
    assert hands.restore().kind == "applied"
    assert not hands.stuck
    assert bench.nodes() == found


def test_where_newer_kernels_have_their_nodes(bench: Bench) -> None:
    """GPU MAX_FREQ is set by the node that MAX_FREQ_KNEXT names, where there is one."""
    conf = bench.root / "etc/nvpmodel.conf"
    text = conf.read_text()
    path = next(
        line.split()[1] for line in text.splitlines() if line.startswith("MAX_FREQ /sys/devices/platform/17")
    )
    conf.write_text(
        text.replace(f"MAX_FREQ {path}", f"MAX_FREQ /sys/devices/old/max_freq\nMAX_FREQ_KNEXT {path}")
    )
    gpu = bench.root / "sys/class/devfreq/17000000.gpu/max_freq"
    assert bench.hands.set_caps({"gpu": 918 * MHZ}).kind == "refused", "15W leaves it 612 MHz"
    assert bench.hands.set_mode(2).kind == "applied"
    assert gpu.read_text() == "1020000000\n"
    gpu.write_text("306000000\n")
    assert bench.hands.state().mode_id is None, "and it is looked at"


def test_heat_is_nobodys_cap(bench: Bench) -> None:
    """A hot board shows lower maxima than were set: that is no failure, and isn't written back for ever."""
    cooling = bench.root / "sys/class/thermal/cooling_device0"
    cooling.mkdir(parents=True)
    (cooling / "type").write_text("cpufreq-cpu0\n")
    (cooling / "cur_state").write_text("2\n")
    policy0 = bench.root / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    found = bench.nodes()
    policy0.write_text("1190400\n")
    assert bench.hands.state().mode_id == 0
    bench.tool.after = lambda: policy0.write_text("1190400\n")
    result = bench.hands.set_mode(2)
    assert (result.kind, result.state.mode_id) == ("applied", 2)
    (cooling / "cur_state").write_text("0\n")
    bench.tool.after = lambda: None
    assert bench.hands.restore().kind == "applied"
    assert bench.nodes() == found, "as the mode has it, not as the heat had it"


def test_a_cap_that_was_found_is_put_back(bench: Bench) -> None:
    policy0 = bench.root / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    policy0.write_text("1190400\n")
    found = bench.nodes()
    assert bench.hands.set_mode(1).kind == "applied"
    assert bench.hands.restore().kind == "applied"
    assert bench.nodes() == found
    assert not bench.undo.exists()


@pytest.mark.parametrize("shown", ["3199000000", "4266000000", "0", "9223372036854775807"])
def test_memory_without_a_cap_shows_what_it_likes(bench: Bench, shown: str) -> None:
    emc = bench.root / "sys/kernel/nvpmodel_clk_cap/emc"
    bench.tool.after = lambda: emc.write_text(f"{shown}\n")
    assert bench.hands.set_mode(2).kind == "applied"


def test_a_prompt_is_never_a_success(bench: Bench) -> None:
    class Prompting(Tool):
        def _run(self, *arguments: str) -> Said:
            said = super()._run(*arguments)
            return (
                Said("DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:", 0) if "-m" in arguments else said
            )

    found = bench.nodes()
    tool = Prompting(bench.root)
    hands = Actuator(
        Board(Tree(str(bench.root))), tool, UndoFile(bench.undo), no_reboots(bench.root), lambda _s: None, 0.1
    )
    assert hands.set_mode(2).kind == "needs_reboot"
    assert bench.nodes() == found


def test_cores_that_sleep_are_woken_and_put_back(bench: Bench) -> None:
    """Their policy is gone while they sleep: it comes back with them."""
    policy = bench.root / "sys/devices/system/cpu/cpufreq/policy4"
    aside = bench.root / "policy4"
    found = bench.nodes()
    bench.hands.set_mode(3)
    policy.rename(aside)
    bench.tool.after = lambda: aside.rename(policy)
    result = bench.new_hands().restore()
    assert (result.kind, result.detail) == ("applied", "")
    assert bench.nodes() == found


def test_a_board_found_pinned_is_not_switched(bench: Bench) -> None:
    for name, low in (("policy0", "1497600"), ("policy4", "1497600")):
        (bench.root / f"sys/devices/system/cpu/cpufreq/{name}/scaling_min_freq").write_text(f"{low}\n")
    assert bench.hands.state().pinned == ["policy0", "policy4"]
    result = bench.hands.set_mode(1)
    assert result.kind == "refused"
    assert result.detail == "jetson_clocks holds policy0, policy4: `jetson_clocks --restore` first"
    assert bench.tool.asked == []


def test_ids_dealt_anew_lead_back_by_name(bench: Bench) -> None:
    bench.hands.set_mode(1)
    conf = bench.root / "etc/nvpmodel.conf"
    conf.write_text(conf.read_text().replace("ID=0 ", "ID=9 ").replace("ID=3 ", "ID=0 "))
    bench.tool.asked.clear()
    result = bench.new_hands().restore()
    assert (result.kind, result.state.mode_id, bench.tool.asked) == ("applied", 9, [9])


@pytest.mark.parametrize("damage", ["writable", "link", "folder", "garbage"])
def test_an_undo_file_that_anybody_could_have_written_is_not_believed(bench: Bench, damage: str) -> None:
    bench.hands.set_mode(1)
    after = bench.nodes()
    if damage == "writable":
        bench.undo.chmod(0o666)
    elif damage == "garbage":
        bench.undo.write_text("{")
    else:
        bench.undo.rename(bench.undo.with_name("other"))
        bench.undo.symlink_to("other") if damage == "link" else bench.undo.mkdir()
    hands = bench.new_hands()
    for deed in (hands.restore, lambda: hands.set_mode(2)):
        with pytest.raises(ValueError, match="set the board's mode by hand"):
            deed()
    assert hands.changed, "there may be something to put back"
    assert bench.nodes() == after


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


def test_what_is_rounded_is_still_the_mode(bench: Bench) -> None:
    """A sensor's limit and a clock without a table show what hardware makes of them."""
    hwmon = bench.root / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon4"
    dla = bench.root / "sys/kernel/nvpmodel_clk_cap/dla0_core"
    hwmon.mkdir(parents=True)
    (hwmon / "curr1_max").write_text("3600\n")
    dla.write_text("600000000\n")
    conf = bench.root / "etc/nvpmodel.conf"
    text = conf.read_text().replace(
        "< POWER_MODEL",
        "< PARAM TYPE=HWMON NAME=VDDIN_OC_LIMIT >\n"
        "WARN /sys/bus/i2c/drivers/ina3221/1-0040/hwmon curr1_max\n"
        "< PARAM TYPE=CLOCK NAME=DLA0_CORE >\nMAX_FREQ /sys/kernel/nvpmodel_clk_cap/dla0_core\n"
        "< POWER_MODEL",
        1,
    )
    conf.write_text(
        text.replace("NAME=25W >", "NAME=25W >\nVDDIN_OC_LIMIT WARN 5000\nDLA0_CORE MAX_FREQ 614400000")
    )
    found = bench.nodes()
    assert "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon4/curr1_max" in found
    bench.tool.after = lambda: ((hwmon / "curr1_max").write_text("4992\n"), dla.write_text("600000000\n"))
    assert bench.hands.set_mode(1).kind == "applied"
    bench.tool.after = lambda: None
    assert bench.hands.restore().kind == "applied"
    assert bench.nodes() == found


def test_a_node_that_vanishes_in_the_middle_is_said_to_be_left(bench: Bench) -> None:
    minimum = bench.root / "sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq"
    text = minimum.read_text()
    found = bench.nodes()
    fail(bench.root, "ebusy")
    bench.tool.after = lambda: minimum.unlink(missing_ok=True)
    result = bench.hands.set_mode(3)
    assert (result.kind, bench.hands.stuck) == ("stuck", True)
    assert "policy4/scaling_min_freq can't be read" in result.detail
    fail(bench.root)
    bench.tool.after = lambda: None
    minimum.write_text(text)
    assert bench.hands.restore().kind == "applied"
    assert bench.nodes() == found


def test_a_damaged_undo_file_writes_no_value_that_is_not_offered(bench: Bench) -> None:
    node = "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    bench.undo.write_text(f'{{"mode_id": null, "nodes": {{"{node}": 123456789}}}}')
    found = bench.nodes()
    result = bench.hands.restore()
    assert (result.kind, result.detail) == ("stuck", f"/{node} offers no 123456789")
    assert bench.nodes() == found
    bench.undo.write_text('{"nodes": ' + "[" * 100_000)
    with pytest.raises(ValueError, match="can't be read"):
        bench.hands.restore()


@pytest.mark.parametrize(
    ("caps", "words"), [({"": None}, "no clock ''"), ({"cpu": 960_000_999}, "no 960000999")]
)
def test_caps_are_named_and_exact(bench: Bench, caps: dict[str, int | None], words: str) -> None:
    found = bench.nodes()
    result = bench.hands.set_caps(caps)
    assert result.kind == "refused"
    assert words in result.detail
    assert bench.nodes() == found


@pytest.mark.parametrize("damage", ["gone", "nul", "id"])
def test_the_way_back_needs_no_conf(bench: Bench, damage: str) -> None:
    found = bench.nodes()
    bench.hands.set_mode(2)
    conf = bench.root / "etc/nvpmodel.conf"
    text = conf.read_text()
    if damage == "gone":
        conf.unlink()
        bench.tool.before = lambda: conf.write_text(text)  # the stand-in needs one
    elif damage == "nul":
        conf.write_text(text.replace("/tpc_pg_mask", "/tpc\0_pg_mask"))
    else:
        conf.write_text(text.replace("ID=3", f"ID={'9' * 5000}"))
    hands = bench.new_hands()
    if damage == "gone":
        hands._tool = Silent()
    assert hands.restore().kind == "applied"
    conf.write_text(text)
    assert bench.nodes() == found


class Silent(Nvpmodel):
    """A tool without a configuration."""

    def _run(self, *arguments: str) -> Said:
        return Said("NVPM ERROR: failed to parse", 255)
