"""The hands on boards of any make: random modes, random clocks, random failures of tool and nodes.

The law: the board stands where it was found, at the target, or where it was before the call; what is
refused is said; no node ever holds a value that it doesn't offer; nothing asks for a reboot.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.tool import Said
from tidewatt_agent.actuator.transaction import Actuator, Result
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.nvpmodel import Param, PowerMode, PowerModes, Setting, to_conf
from tidewatt_agent.recording import Files, lay_out
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.actuator import InProcess
from tidewatt_agent.standin.board import fail
from tidewatt_agent.standin.tree import FailingTree, works

MASK = "sys/devices/platform/gpu.0/tpc_pg_mask"
EMC = "sys/kernel/nvpmodel_clk_cap/emc"
GPU = "sys/class/devfreq/17000000.gpu"
CPU = "sys/devices/system/cpu"
TOOL_FAILURES = ("prompt", "hang", "lie", "chroot", "partial", "slow", *nvpmodel.REFUSALS)
NODE_FAILURES = ("EBUSY", "ENODEV", "EAGAIN", "EROFS", "EINVAL", "lie", "slow", "vanish")


class AnyBoard:
    """What a board is made of: tables of clocks, and modes that set them."""

    def __init__(self, draw: st.DrawFn) -> None:
        clocks = st.lists(st.integers(100, 3000), min_size=2, max_size=6, unique=True).map(sorted)
        self.cpus = [[mhz * 1000 for mhz in draw(clocks)] for _ in range(draw(st.integers(1, 3)))]
        self.gpu = [mhz * 1_000_000 for mhz in draw(clocks)]
        self.emc = [mhz * 1_000_000 for mhz in draw(clocks)]
        self.masks, self.bent = draw(st.booleans()), draw(st.integers(0, 5)) == 0
        ids = draw(st.lists(st.integers(0, 40), min_size=2, max_size=5, unique=True))
        self.modes = PowerModes(
            draw(st.sampled_from(ids)),
            self._params(),
            [self._mode(draw, number, place) for place, number in enumerate(ids)],
            [],
        )

    def __repr__(self) -> str:
        return f"<{self.cpus} {self.gpu} {self.emc} bent={self.bent} {to_conf(self.modes)!r}>"

    def _params(self) -> list[Param]:
        cores = range(2 * len(self.cpus))
        params = [
            Param("CPU_ONLINE", "FILE", {f"CORE_{core}": [f"/{CPU}/cpu{core}/online"] for core in cores})
        ]
        if self.masks:
            params.append(Param("TPC_POWER_GATING", "FILE", {"TPC_PG_MASK": [f"/{MASK}"]}))
        params += [
            Param(
                f"CPU_{core}",
                "CLOCK",
                {
                    end: [f"/{CPU}/cpu{core}/cpufreq/scaling_{end[:3].lower()}_freq"]
                    for end in ("MIN_FREQ", "MAX_FREQ")
                },
            )
            for core in cores
        ]
        ends = {end: [f"/{GPU}/{end.lower()}"] for end in ("MIN_FREQ", "MAX_FREQ")}
        return [*params, Param("GPU", "CLOCK", ends), Param("EMC", "CLOCK", {"MAX_FREQ": [f"/{EMC}"]})]

    def _mode(self, draw: st.DrawFn, number: int, place: int) -> PowerMode:
        found = [Setting("CPU_ONLINE", "CORE_1", draw(st.integers(0, 1)))]
        if self.masks:
            found.append(Setting("TPC_POWER_GATING", "TPC_PG_MASK", draw(st.sampled_from([240, 248]))))
        for policy, table in enumerate(self.cpus):
            cap = draw(st.sampled_from([*table, table[-1] - 1, -1]))
            for core in (2 * policy, 2 * policy + 1):
                found += [Setting(f"CPU_{core}", "MIN_FREQ", 0), Setting(f"CPU_{core}", "MAX_FREQ", cap)]
        # Told apart by the GPU, as on real boards; two modes may still be alike.
        gpu = self.gpu[place % len(self.gpu)] if draw(st.integers(0, 9)) else -1
        found += [Setting("GPU", "MIN_FREQ", 0), Setting("GPU", "MAX_FREQ", gpu)]
        found.append(Setting("EMC", "MAX_FREQ", draw(st.sampled_from([*self.emc, 0, -1]))))
        return PowerMode(number, f"MODE_{number}", found)

    def lay_out(self, root: Path, mode_id: int) -> None:
        files = {f"{EMC}": str(self.emc[-1]), f"{GPU}/device/of_node/name": "gpu\0"}
        for end, value in (("min", self.gpu[0]), ("max", self.gpu[-1]), ("cur", self.gpu[0])):
            files[f"{GPU}/{end}_freq"] = str(value)
        files[f"{GPU}/available_frequencies"] = " ".join(map(str, self.gpu))
        for policy, table in enumerate(self.cpus):
            path = f"{CPU}/cpufreq/policy{2 * policy}"
            for end, value in (("min", table[0]), ("max", table[-1]), ("cur", table[0])):
                files[f"{path}/scaling_{end}_freq"] = str(value)
            files[f"{path}/scaling_available_frequencies"] = " ".join(map(str, table))
            for core in (2 * policy, 2 * policy + 1):
                files[f"{CPU}/cpu{core}/online"] = "1"
        here = self.modes.mode(mode_id)
        assert here
        masks = [setting.value for setting in here.settings if setting.param == "TPC_POWER_GATING"]
        if masks:
            files[MASK] = str(masks[0])
        files["etc/nvpmodel.conf"] = to_conf(self.modes)
        lay_out(Files(files=files), root)
        for core in range(2 * len(self.cpus)):
            (root / CPU / f"cpu{core}/cpufreq").symlink_to(f"../cpufreq/policy{core - core % 2}")
        assert nvpmodel.run(root, ["-m", str(mode_id)]) == nvpmodel.Answer("", 0)


class Program(InProcess):
    """The stand-in nvpmodel; what is slow follows while we wait, and `first` is how its next switch fails."""

    first = ""

    def _run(self, *arguments: str) -> Said:
        self.catch_up()
        if arguments[0] == "-m":
            fail(self.root, *self.first.split())
            self.first = ""
        said = super()._run(*arguments)
        fail(self.root)
        return said

    def catch_up(self) -> None:
        """Let slow nodes follow."""
        nvpmodel.catch_up(self.last)
        self.last = nvpmodel.Answer("", 0)


class Bench:
    """Hands on a drawn board, and everything that they can move."""

    def __init__(self, root: Path, made: AnyBoard, mode_id: int) -> None:
        made.lay_out(root, mode_id)
        if made.bent:
            # By hand, before we came: then the board stands in no mode of its own.
            (root / GPU / "max_freq").write_text(f"{made.gpu[0]}\n")
        self.made, self.undo = made, root / "undo.json"
        self.tree, self.program = FailingTree(str(root)), Program(root)
        self.board = Board(self.tree, lambda _s: None)
        self.hands = self.new_hands()

    def new_hands(self) -> Actuator:
        def sleep(_seconds: float) -> None:
            self.program.catch_up()

        reboots = Reboots(self.tree, self.undo.with_name("reboot.json"))
        return Actuator(self.board, self.program, UndoFile(self.undo), reboots, sleep=sleep, settle_s=0.2)

    def nodes(self) -> dict[str, int | str | None]:
        """Every node, and what nvpmodel's service will set at the next boot."""
        modes = self.board.modes()
        status = self.tree.exact(nvpmodel.STATUS)
        return {**self.board.readings(modes, self.board.knobs(modes)), "status": status}

    def values_are_offered(self) -> None:
        modes = self.board.modes()
        readings = self.board.readings(modes, self.board.knobs(modes))
        for knob in self.board.knobs(modes):
            if knob.unit == 1 and knob.minimum is None:
                continue  # the memory's cap takes any value: what stands there is a mode's or the first
            assert readings[knob.maximum] in knob.available
            assert knob.minimum is None or readings[knob.minimum] <= readings[knob.maximum]


@st.composite
def boards(draw: st.DrawFn) -> tuple[AnyBoard, int]:
    made = AnyBoard(draw)
    return made, draw(st.sampled_from([mode.id for mode in made.modes.modes]))


deeds = st.tuples(st.sampled_from(["mode", "mode", "caps", "restore"]), st.integers(0, 40))


def do(bench: Bench, deed: str, number: int) -> Result:
    if deed == "mode":
        ids = [mode.id for mode in bench.made.modes.modes]
        return bench.hands.set_mode(ids[number % len(ids)] if number < 36 else number + 100)
    if deed == "caps":
        shown, strict = bench.hands.state().caps, number < 36
        gpu = [hertz for hertz in bench.made.gpu if hertz <= shown["gpu"] or not strict]
        cpu = [khz * 1000 for khz in bench.made.cpus[0] if khz * 1000 <= shown["policy0"] or not strict]
        policy0 = cpu[number % len(cpu)] if number % 3 else None
        return bench.hands.set_caps({"gpu": gpu[number % len(gpu)], "policy0": policy0})
    return bench.hands.restore()


@given(boards(), st.lists(deeds, min_size=1, max_size=5))
@settings(max_examples=150)
def test_every_mode_of_every_board_and_the_way_back(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[AnyBoard, int], todo: list[tuple[str, int]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("board"), *drawn)
    found = bench.nodes()
    for deed, number in todo:
        before = bench.nodes()
        result = do(bench, deed, number)
        if result.kind in ("refused", "needs_reboot", "unchanged"):
            assert bench.nodes() == before, result
        if deed == "mode" and result.kind == "applied":
            ids = [mode.id for mode in bench.made.modes.modes]
            assert result.state.mode_id == ids[number % len(ids)]
        assert not bench.hands.stuck
        assert result.kind != "stuck"
        bench.values_are_offered()
    assert bench.new_hands().restore().kind in ("applied", "unchanged")
    assert bench.nodes() == found
    assert not bench.undo.exists()


@given(
    boards(),
    st.lists(
        st.tuples(deeds, st.sampled_from(("", *TOOL_FAILURES)), st.sampled_from(("", *NODE_FAILURES))),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 6),
    st.booleans(),
)
@settings(max_examples=250)
def test_whatever_fails_it_stands_where_it_was_or_is_said_to_be_stuck(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[AnyBoard, int],
    todo: list[tuple[tuple[str, int], str, str]],
    nth: int,
    lasting: bool,
) -> None:
    bench = Bench(tmp_path_factory.mktemp("board"), *drawn)
    found = bench.nodes()
    for (deed, number), tool_failure, node_failure in todo:
        # What an earlier slow switch still writes (a memory cap of "none" in other words) isn't this deed's.
        bench.program.catch_up()
        before = bench.nodes()
        bench.program.first = tool_failure
        bench.tree.fault = from_the_nth(nth, node_failure, lasting=lasting)
        result = do(bench, deed, number)
        after = bench.nodes()
        if result.kind in ("refused", "rolled_back", "needs_reboot", "unchanged"):
            assert after == before, result
        assert (result.kind == "stuck") == bench.hands.stuck
        if bench.hands.stuck:
            assert bench.undo.exists(), "the way back is never forgotten"
            # What the server does until it goes: the failure is over at some time.
            bench.tree.come_back()
            bench.program.catch_up()
            freed = bench.hands.restore()
            assert freed.kind == "applied", freed
            assert bench.nodes() == found
        bench.tree.come_back()
        bench.values_are_offered()
    bench.program.first = ""
    bench.program.catch_up()
    assert bench.new_hands().restore().kind in ("applied", "unchanged")
    assert bench.nodes() == found
    assert not bench.undo.exists()


def from_the_nth(nth: int, failure: str, *, lasting: bool) -> Callable[[str, int], str]:
    """Let the n-th write of a node fail, and, if it lasts, all that follow."""
    written = 0

    def fault(_path: str, _value: int) -> str:
        nonlocal written
        written += 1
        return failure if written == nth or (lasting and written > nth) else ""

    return fault if failure else works
