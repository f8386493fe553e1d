"""The way back: exactly as found, whatever has happened since, and never over somebody else's head."""

from pathlib import Path

import pytest
from tests.benches import MHZ, Bench

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.plan import Write
from tidewatt_agent.actuator.tool import Nvpmodel, Said
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.board import fail
from tidewatt_agent.standin.tree import FailingTree
from tidewatt_agent.sysfs.tree import Tree


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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
    hands = bench.new_hands(Board(tree, lambda _s: None))
    result = hands.set_caps({"policy0": 960 * MHZ, "gpu": 408 * MHZ})
    assert (result.kind, hands.stuck) == ("stuck", True)
    assert bench.undo.exists()
    tree.come_back()
    assert hands.restore().kind == "applied"
    assert not hands.stuck
    assert bench.nodes() == found


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

    hands = bench.new_hands(Watching(Tree(str(bench.root))))
    assert hands.set_caps({"policy0": 960 * MHZ}).kind == "applied"
    assert order == [("policy0/min", 960_000), ("policy0/max", 960_000)]
    assert hands.restore().kind == "applied"
    assert order[2:] == [("policy0/max", 1_497_600), ("policy0/min", 1_497_600)]
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


@pytest.mark.parametrize("damage", ["gone", "nul", "id"])
def test_the_way_back_needs_no_conf(bench: Bench, damage: str) -> None:
    found = bench.nodes()
    bench.hands.set_mode(2)
    conf = bench.root / "etc/nvpmodel.conf"
    text = conf.read_text()
    if damage == "gone":
        conf.unlink()
    elif damage == "nul":
        conf.write_text(text.replace("/tpc_pg_mask", "/tpc\0_pg_mask"))
    else:
        conf.write_text(text.replace("ID=3", f"ID={'9' * 5000}"))
    hands = bench.new_hands(tool=Silent() if damage == "gone" else None)
    assert hands.restore().kind == "applied"
    conf.write_text(text)
    assert bench.nodes() == found


class Silent(Nvpmodel):
    """A tool without a configuration."""

    def _run(self, *arguments: str) -> Said:
        return Said("NVPM ERROR: failed to parse", 255)
