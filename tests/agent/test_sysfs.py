"""The sysfs reader on every recorded board, and on nodes that stall, vanish and come late."""

import asyncio
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world import BOARDS, HandClock, laid_out, recording, until

from tidewatt_agent.power import total_watts
from tidewatt_agent.readers import ReaderLostError
from tidewatt_agent.sysfs import reader as reader_module
from tidewatt_agent.sysfs.kernel import CoreTimes, core_times, cores_between, memory
from tidewatt_agent.sysfs.rails import Channel, find_rails, read_rails
from tidewatt_agent.sysfs.reader import SysfsReader, find_nodes, look
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_governor.sample import Core, Memory, Rail, Sample
from tidewatt_link.ending import ended, within
from tidewatt_wire.clock import Clock

ORIN_NANO = "orin-nano-super-jp62"
MHZ = 1_000_000
#: Rails that a tree has and its tegrastats line doesn't: read without root, or from a chip it doesn't know.
ONLY_IN_TREE = {"tx2-nx-jp46", "agx-thor-jp72"}


def sample_of(root: Path) -> Sample:
    tree = Tree(str(root))
    return look(tree, find_nodes(tree), {}).sample


@pytest.mark.parametrize("board", BOARDS)
def test_it_agrees_with_tegrastats_on_every_board(board: str, tmp_path: Path) -> None:
    with laid_out(board, tmp_path) as found:
        seen, printed = sample_of(tmp_path), parse_line(found.tegrastats[0])
        times = core_times(Tree(str(tmp_path)))
    if board not in ONLY_IN_TREE:
        connected = {rail.name: rail.now for rail in printed.rails if rail.name != "NC"}
        assert {rail.name: rail.now for rail in seen.rails} == pytest.approx(connected, abs=0.0011)
        assert total_watts(seen.rails).provenance == total_watts(printed.rails).provenance
    for name, heat in printed.temperatures.items():
        if name in seen.temperatures and heat:
            assert seen.temperatures[name] == msgspec.structs.replace(heat, highest=None)
    assert len(seen.temperatures) >= len([name for name in printed.temperatures if name != "iwlwifi"])
    assert printed.ram is not None
    assert seen.ram is not None
    assert seen.ram.used == pytest.approx(printed.ram.used, rel=0.01, abs=2_000_000)
    assert printed.cores is not None
    assert set(times) == {number for number, core in enumerate(printed.cores) if core}
    assert "GR3D" in seen.gpus
    assert {"GR3D"} | {f"policy{n}" for n in (0,)} <= set(seen.caps)


def test_what_the_orin_nano_shows(tmp_path: Path) -> None:
    with laid_out(ORIN_NANO, tmp_path):
        seen = sample_of(tmp_path)
    assert [rail.name for rail in seen.rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert seen.rails[0] == Rail("VDD_IN", 5.251904), "4936 mV x 1064 mA; shunt channels are no rails"
    assert seen.caps == {
        "policy0": 1497_600_000,
        "policy4": 1497_600_000,
        "GR3D": 612 * MHZ,
        "EMC": 2133 * MHZ,
    }
    assert seen.gpus["GR3D"].hertz == (306 * MHZ,)
    assert seen.gpus["GR3D"].use == 0.0
    assert seen.over_current == {"oc1": 0, "oc2": 0, "oc3": 27390}
    assert seen.fan is not None
    assert (round(seen.fan.duty or 0, 3), seen.fan.rpm) == (0.353, 1840)
    assert seen.temperatures["cv0"] is None, "a gated sensor is off, not 0 C"
    assert seen.cores == (Core(None, 1497_600_000),) * 4 + (Core(None, 729_600_000),) * 2, "one look, no use"


def test_a_sensor_that_says_try_again(tmp_path: Path) -> None:
    with laid_out(ORIN_NANO, tmp_path):
        tree = Tree(str(tmp_path))
        gated = "sys/class/thermal/thermal_zone2/temp"
        assert tree.read(gated) is None
        assert tree.refusal(gated) == "EAGAIN"
        descriptor = os.open(tmp_path / gated, os.O_RDONLY | os.O_NONBLOCK)
        with (
            os.fdopen(descriptor, encoding="utf-8") as file,
            pytest.raises((TypeError, BlockingIOError)),  # TypeError before Python 3.14
        ):
            file.read()


@pytest.mark.parametrize(
    ("board", "gpu"),
    [
        ("nano-jp46", "57000000.gpu"),
        ("agx-xavier-l4t32", "17000000.gv11b"),
        ("agx-orin-jp5", "17000000.ga10b"),
        ("agx-thor-jp72", "gpu-gpc-0"),
    ],
)
def test_the_gpu_among_the_devfreq_devices(board: str, gpu: str, tmp_path: Path) -> None:
    with laid_out(board, tmp_path):
        found = find_nodes(Tree(str(tmp_path))).gpu
    assert found is not None
    assert found.path == f"sys/class/devfreq/{gpu}"


def test_no_rail_is_better_than_some_of_them(tmp_path: Path) -> None:
    with laid_out("agx-orin-jp62", tmp_path):
        (tmp_path / find_rails(Tree(str(tmp_path)))[1].milliamperes).unlink()
        assert sample_of(tmp_path).rails == ()


def test_the_input_is_measured_though_another_rail_refuses(tmp_path: Path) -> None:
    with laid_out(ORIN_NANO, tmp_path):
        (tmp_path / "sys/class/hwmon/hwmon4/curr3_input").unlink()
        total = total_watts(sample_of(tmp_path).rails)
    assert total.watts == pytest.approx(5.251904)
    assert total.provenance == "measured"


def test_monitors_that_change_their_numbers_are_not_mixed_up(tmp_path: Path) -> None:
    with laid_out("agx-orin-jp5", tmp_path):
        tree = Tree(str(tmp_path))
        nodes = find_nodes(tree)
        before = look(tree, nodes, {}).sample.rails
        chips = [
            f for f in (tmp_path / "sys/class/hwmon").iterdir() if (f / "name").read_text() == "ina3221\n"
        ]
        assert len(chips) == 2
        chips[0].rename(tmp_path / "aside")
        chips[1].rename(chips[0])
        (tmp_path / "aside").rename(chips[1])
        assert look(tree, nodes, {}).sample.rails == (), "somebody else's label"
        assert {rail.name: rail.now for rail in look(tree, find_nodes(tree), {}).sample.rails} == {
            rail.name: rail.now for rail in before
        }


def test_an_unlabelled_monitor_is_the_input_on_thor_only(tmp_path: Path) -> None:
    with laid_out("agx-orin-jp62", tmp_path):
        chip = tmp_path / "sys/class/hwmon/hwmon20"
        chip.mkdir()
        for name, text in (("name", "ina238"), ("in1_input", "5000"), ("curr1_input", "100")):
            (chip / name).write_text(f"{text}\n")
        assert total_watts(sample_of(tmp_path).rails).provenance == "sum"


@pytest.mark.parametrize(
    "text", ["9" * 400, "9" * 5000, "2147483647", "-50000", "1_000_0", "١٢٣", "", "5.0", "0x10", "\x00"]
)
@pytest.mark.parametrize(
    "path",
    [
        "sys/class/hwmon/hwmon4/curr1_input",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq",
        "sys/devices/system/cpu/cpufreq/policy0/affected_cpus",
        "sys/devices/system/cpu/present",
        "proc/stat",
        "proc/meminfo",
    ],
)
def test_garbage_in_a_node_is_a_missing_value(path: str, text: str, tmp_path: Path) -> None:
    with laid_out(ORIN_NANO, tmp_path):
        prefix = {"proc/stat": "cpu0 1 1 1 1 ", "proc/meminfo": "MemTotal: "}.get(path, "")
        (tmp_path / path).write_text(f"{prefix}{text}\n", "utf-8")
        seen = sample_of(tmp_path)
    if path.endswith("curr1_input"):
        assert [rail.name for rail in seen.rails] == [], "without its input the rest is no sum"
    assert all(heat is None or -300 < heat.now < 1e7 for heat in seen.temperatures.values())
    assert all(0 <= cap <= 10**21 for cap in seen.caps.values())


def test_thors_input_monitor_has_no_label(tmp_path: Path) -> None:
    with laid_out("agx-thor-jp72", tmp_path):
        total = total_watts(sample_of(tmp_path).rails)
    assert total.provenance == "measured"
    assert total.watts == pytest.approx(27.1, abs=0.1)


def test_an_unconnected_channel_is_no_rail(tmp_path: Path) -> None:
    with laid_out("agx-orin-jp5", tmp_path):
        names = [channel.name for channel in find_rails(Tree(str(tmp_path)))]
    assert "NC" not in names
    assert "VDDQ_VDD2_1V8AO" in names


def test_use_is_measured_between_two_looks(tmp_path: Path) -> None:
    with laid_out(ORIN_NANO, tmp_path):
        tree = Tree(str(tmp_path))
        nodes, stat = find_nodes(tree), tmp_path / "proc/stat"
        before = look(tree, nodes, {})
        # 25 of 100 ticks busy on core 0, none on core 1, no time on core 2; core 5 goes offline.
        lines = [
            line.replace("11362 39 6047 2017013", "11382 39 6052 2017088")
            if line.startswith("cpu0")
            else line
            for line in stat.read_text().splitlines()
            if not line.startswith("cpu5")
        ]
        lines = [bump_idle(line) if line[:4] in ("cpu1", "cpu3", "cpu4") else line for line in lines]
        stat.write_text("\n".join(lines))
        cores = look(tree, nodes, before.times).sample.cores
    assert cores is not None
    assert cores[0] == Core(0.25, 1497_600_000)
    assert cores[1] == Core(0.0, 1497_600_000)
    assert cores[2] == Core(None, 1497_600_000), "no time, no use; and no other core suffers"
    assert cores[5] is None


def bump_idle(line: str) -> str:
    columns = line.split()
    columns[4] = str(int(columns[4]) + 100)
    return " ".join(columns)


def test_uses_that_were_not_measured() -> None:
    times = {0: CoreTimes(10, 100)}
    assert cores_between(times, {}, {}, 1) is None
    assert cores_between({}, times, {}, 1) == (Core(None),)
    assert cores_between(times, {0: CoreTimes(20, 120), 2: CoreTimes(200_000, 200_010)}, {}, 4) == (
        Core(0.5),
        None,
        Core(None),
        None,
    ), "a core that came online has its whole life in its times, not this interval"
    assert cores_between(times, {0: CoreTimes(5, 60)}, {}, 1) == (Core(None),), "times that fell"


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=200)
def test_nonsense_in_the_kernels_files_is_nothing_known(
    tmp_path_factory: pytest.TempPathFactory, stat: str, meminfo: str
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "proc").mkdir()
    (root / "proc/stat").write_text("cpu0 " + stat, "utf-8", "surrogatepass")
    (root / "proc/meminfo").write_text("MemTotal: " + meminfo, "utf-8", "surrogatepass")
    tree = Tree(str(root))
    sample = look(tree, find_nodes(tree), {}).sample
    assert (sample.ram, sample.cores, sample.rails) == (None, None, ())


def test_memory_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 200 kB\nSReclaimable: 50 kB\n"
        "SwapTotal: 10 kB\nSwapFree: 4 kB\n"
    )
    assert memory(Tree(str(tmp_path))) == (Memory(600 * 1024, 1000 * 1024), Memory(6 * 1024, 10 * 1024))


@pytest.mark.parametrize("board", BOARDS)
def test_the_probe_says_yes_on_every_recorded_board(board: str, tmp_path: Path, clock: HandClock) -> None:
    with laid_out(board, tmp_path):
        probe = SysfsReader(Tree(str(tmp_path)), 1.0, clock).probe()
    assert probe.answer == "ok", probe.why


def test_what_is_missing_is_said(tmp_path: Path, clock: HandClock) -> None:
    reader = SysfsReader(Tree(str(tmp_path)), 1.0, clock)
    assert reader.probe() == ("no", "the device tree names no Tegra")
    with laid_out(ORIN_NANO, tmp_path):
        chip = tmp_path / "sys/class/hwmon/hwmon4/name"
        chip.unlink()
        assert reader.probe() == ("later", f"no power monitor in {tmp_path}/sys yet")
        chip.write_text("ina3221\n")
        (tmp_path / "sys/class/hwmon/hwmon4/in1_input").unlink()
        assert reader.probe() == ("later", "the power monitor gives no reading")


async def test_a_late_node_is_picked_up_and_a_lost_monitor_gives_up_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LOOK_AGAIN_S", 0.0)
    with laid_out(ORIN_NANO, tmp_path):
        gpu, chip = tmp_path / "sys/class/devfreq/17000000.gpu", tmp_path / "sys/class/hwmon/hwmon4"
        gpu.rename(tmp_path / "aside")
        reader = SysfsReader(Tree(str(tmp_path)), 0.01, Clock(time.monotonic, time.time))
        task = asyncio.create_task(reader.run())
        taken: list[Sample] = []

        def newest() -> Sample | None:
            taken.extend(timed.sample for timed in reader.take())
            return taken[-1] if taken else None

        await until(newest)
        assert taken[0].gpus == {}
        (tmp_path / "aside").rename(gpu)
        await until(lambda: (newest() or Sample()).gpus)
        chip.rename(tmp_path / "gone")
        with pytest.raises(ReaderLostError, match="no reading"):
            await within(task, 30)
        assert reader.counts.skipped == reader_module.BLIND_SAMPLES


@given(st.integers(0, 30_000), st.integers(-5_000, 60_000))
@settings(max_examples=50)
def test_watts_are_volts_times_amperes(
    tmp_path_factory: pytest.TempPathFactory, millivolts: int, milliamperes: int
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "v").write_text(f"{millivolts}\n")
    (root / "a").write_text(f"{milliamperes}\n")
    (root / "label").write_text("R\n")
    rails = read_rails(Tree(str(root)), (Channel("R", "v", "a", "label", "R"),))
    watts = (millivolts / 1000) * (milliamperes / 1000)
    if -0.5 <= watts <= 1000:
        assert rails[0].now == pytest.approx(watts, abs=1e-6)
    else:
        assert rails == (), "no board draws that"


async def test_a_second_monitor_that_comes_late_is_picked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "LOOK_AGAIN_S", 0.0)
    with laid_out("agx-thor-jp72", tmp_path):
        chips = (tmp_path / "sys/class/hwmon").iterdir()
        (chip,) = [path for path in chips if (path / "name").read_text() == "ina238\n"]
        chip.rename(tmp_path / "late")
        reader = SysfsReader(Tree(str(tmp_path)), 0.01, Clock(time.monotonic, time.time))
        task = asyncio.create_task(reader.run())
        taken: list[str] = []

        def provenances() -> list[str]:
            taken.extend(total_watts(timed.sample.rails).provenance for timed in reader.take())
            return taken

        try:
            await until(provenances)
            (tmp_path / "late").rename(chip)
            await until(lambda: "measured" in provenances())
        finally:
            await ended(task)
    assert taken[0] == "sum"


async def test_a_sensor_that_hangs_gives_up_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, over = threading.Event(), threading.Event()

    class Hanging(Tree):
        def number(self, path: str) -> int | None:
            if path.endswith("curr1_input") and held.is_set():
                over.wait(60)
            return super().number(path)

    with laid_out(ORIN_NANO, tmp_path):
        reader = SysfsReader(Hanging(str(tmp_path)), 0.01, Clock(time.monotonic, time.time))
        task = asyncio.create_task(reader.run())
        await until(reader.take)
        held.set()
        monkeypatch.setattr(reader_module, "LONGEST_LOOK_S", 0.2)  # not before: a busy machine's look is long
        with pytest.raises(ReaderLostError, match="held a reading"):
            await within(task, 30)
        over.set()


def test_links_below_a_moved_root_are_the_roots(tmp_path: Path) -> None:
    (tmp_path / "sys/firmware/devicetree/base").mkdir(parents=True)
    (tmp_path / "sys/firmware/devicetree/base/model").write_text("A board\0")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/device-tree").symlink_to("/sys/firmware/devicetree/base")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nvpmodel.conf").symlink_to("nvpmodel/../../../../../etc/other")
    (tmp_path / "etc/other").write_text("inside\n")
    (tmp_path / "etc/loop").symlink_to("loop")
    tree = Tree(str(tmp_path))
    assert tree.read("proc/device-tree/model") == "A board"
    assert tree.read("etc/nvpmodel.conf") == "inside", "no link leads out of the root"
    assert tree.real("proc/device-tree/model") == "sys/firmware/devicetree/base/model"
    assert tree.read("etc/loop") is None
    assert tree.refusal("etc/loop") == "ELOOP"


def test_recordings_hold_no_secret() -> None:
    for board in BOARDS:
        text = msgspec.json.encode(recording(board)).decode().lower()
        assert "serial" not in text
