"""The hands on a stand-in board: a request is applied, refused or rolled back."""

from pathlib import Path

import pytest
from tests.benches import BOARD, IDS, MHZ, Bench, Tool
from tests.world import recording

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.plan import Write
from tidewatt_agent.actuator.tool import Said
from tidewatt_agent.modefile import parse_modes
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.board import fail
from tidewatt_agent.sysfs.tree import Tree


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
    hands = bench.new_hands(sleep=lambda _s: nvpmodel.catch_up(bench.tool.last))
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


def test_somebody_elses_switch_takes_our_caps(bench: Bench) -> None:
    assert bench.hands.set_caps({"gpu": 408 * MHZ}).kind == "applied"
    nvpmodel.run(bench.root, ["-m", "1"])
    assert bench.hands.state().mode_id == 1, "not in no mode for as long as we believe in our cap"
    assert bench.hands.set_mode(0).kind == "applied"
    assert bench.hands.state().caps["gpu"] == 612 * MHZ


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

    hands = bench.new_hands(Refusing(Tree(str(bench.root))))
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
    hands = bench.new_hands(tool=Prompting(bench.root))
    assert hands.set_mode(2).kind == "needs_reboot"
    assert bench.nodes() == found


def test_a_board_found_pinned_is_not_switched(bench: Bench) -> None:
    for name, low in (("policy0", "1497600"), ("policy4", "1497600")):
        (bench.root / f"sys/devices/system/cpu/cpufreq/{name}/scaling_min_freq").write_text(f"{low}\n")
    assert bench.hands.state().pinned == ["policy0", "policy4"]
    result = bench.hands.set_mode(1)
    assert result.kind == "refused"
    assert result.detail == "jetson_clocks holds policy0, policy4: `jetson_clocks --restore` first"
    assert bench.tool.asked == []


def test_the_stand_ins_modes_are_the_recordings(bench: Bench) -> None:
    written = recording(BOARD).nvpmodel
    modes = parse_modes(written)
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


@pytest.mark.parametrize(
    ("caps", "words"), [({"": None}, "no clock ''"), ({"cpu": 960_000_999}, "no 960000999")]
)
def test_caps_are_named_and_exact(bench: Bench, caps: dict[str, int | None], words: str) -> None:
    found = bench.nodes()
    result = bench.hands.set_caps(caps)
    assert result.kind == "refused"
    assert words in result.detail
    assert bench.nodes() == found
