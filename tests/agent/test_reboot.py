"""A planned reboot: only when allowed, once, on file before it is done, and undone if it does not come."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.world import recording

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.reboot import Plan, Reboots
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.actuator import InProcess
from tidewatt_agent.standin.board import boot, build
from tidewatt_agent.sysfs.tree import Tree

#: 7W has another mask than the mode in which the board stands, 15W.
THERE, HERE = 3, 0
THOR = "opt/nvidia/l4t-gpusetup/gpu_pg_mask"


class Machine:
    """A board whose 7W needs a reboot, and the program that reboots."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder, self.asked = folder / "root", folder, folder / "asked"
        self.root.mkdir()
        build(recording("orin-nano-super-jp62"), self.root, HERE)
        conf = self.root / "etc/nvpmodel.conf"
        first, name, rest = conf.read_text().partition("NAME=7W")
        mode = rest.replace("TPC_PG_MASK 240", "TPC_PG_MASK 248")
        conf.write_text(first + name + mode)
        self.command = [sys.executable, "-c", f"open({str(self.asked)!r}, 'a').write('x')"]

    def hands(self, *, may: bool = True) -> Actuator:
        tree = Tree(str(self.root))
        return Actuator(
            Board(tree),
            InProcess(self.root),
            UndoFile(self.folder / "undo.json"),
            Reboots(tree, self.folder / "reboot.json", self.command if may else []),
            sleep=lambda _s: None,
            settle_s=0.1,
        )

    def everything(self) -> dict[str, str]:
        """Every file of the board but the boot's id."""
        return {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name != "boot_id" and "standin" not in path.parts
        }

    def reboots(self) -> int:
        return len(self.asked.read_text()) if self.asked.exists() else 0

    def stage(self) -> str:
        plan = self.hands().reboot
        return plan.stage if plan else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_planned_asked_reached_and_one_day_undone(machine: Machine) -> None:
    found, hands = machine.everything(), machine.hands()
    assert hands.set_mode(THERE).kind == "needs_reboot"
    assert hands.set_mode(1).kind == "applied"
    planned = hands.plan_reboot(THERE)
    assert (planned.kind, machine.stage(), machine.reboots()) == ("reboot_planned", "planned", 0)
    assert hands.ask_reboot(THERE).kind == "rebooting"
    assert machine.reboots() == 1
    status = machine.root / nvpmodel.STATUS
    assert status.read_text() == "pmode:0003"
    assert hands.state().mode_id == HERE, "it goes down as it was found"
    assert hands.set_mode(1).detail == "a reboot is under way"
    assert hands.set_caps({"gpu": 306_000_000}).detail == "a reboot is under way"
    assert hands.restore().kind == "unchanged", "what a stop does changes nothing now"
    assert status.read_text() == "pmode:0003"

    boot(machine.root)
    hands = machine.hands()
    hands.wake()
    assert (hands.state().mode_id, machine.stage()) == (THERE, "reached")
    hands.reboot_seen()
    assert hands.reboot
    assert hands.reboot.seen
    assert hands.restore().kind == "unchanged"
    assert hands.state().mode_id == THERE, "a stop is no reason for another reboot"

    assert hands.forget_reboots()
    boot(machine.root)
    assert machine.everything() == found
    assert machine.stage() == ""


def test_without_leave_it_is_never_done(machine: Machine) -> None:
    found, hands = machine.everything(), machine.hands(may=False)
    answer = hands.plan_reboot(THERE)
    assert answer.kind == "refused"
    assert "--allow-reboot" in answer.detail
    assert hands.ask_reboot(THERE).detail == "no reboot into mode 3 is planned"
    assert machine.hands().ask_reboot(THERE).kind == "refused", "not without a plan"
    assert (machine.reboots(), machine.everything()) == (0, found)


def test_what_can_be_had_without_is_not_rebooted_for(machine: Machine) -> None:
    assert machine.hands().plan_reboot(1).detail == "mode 1 can be set without a reboot"
    assert machine.hands().plan_reboot(9).detail.startswith("there is no mode 9")
    assert machine.stage() == ""


def test_a_reboot_that_missed_is_not_tried_again(machine: Machine) -> None:
    hands = machine.hands()
    hands.plan_reboot(THERE)
    hands.ask_reboot(THERE)
    (machine.root / nvpmodel.STATUS).write_text("pmode:0001\n")  # somebody meant otherwise
    boot(machine.root)
    hands = machine.hands()
    hands.wake()
    assert machine.stage() == "missed"
    assert (machine.root / nvpmodel.STATUS).read_text().strip() == "pmode:0000", "the next boot is as before"
    refused = hands.plan_reboot(THERE)
    assert refused.kind == "refused"
    assert "restore --boot-mode" in refused.detail
    hands.forget_reboots()
    assert hands.plan_reboot(THERE).kind == "reboot_planned"


def test_a_reboot_that_does_not_come_is_undone(machine: Machine) -> None:
    found, hands = machine.everything(), machine.hands()
    hands.plan_reboot(THERE)
    hands.ask_reboot(THERE)
    hands.cancel_reboot()
    assert (machine.everything(), machine.stage()) == (found, "")
    hands.plan_reboot(THERE)
    hands.ask_reboot(THERE)
    machine.hands().wake()  # started again, in the same boot
    assert (machine.everything(), machine.stage()) == (found, "")


def test_a_command_that_fails_leaves_all_as_it_was(machine: Machine) -> None:
    found = machine.everything()
    for command, words in (
        (["/no/such/program"], "No such file"),
        ([sys.executable, "-c", "import sys; sys.exit('Interactive authentication required.')"], "required"),
    ):
        machine.command = command
        hands = machine.hands()
        hands.plan_reboot(THERE)
        answer = hands.ask_reboot(THERE)
        assert answer.kind == "refused"
        assert words in answer.detail
        assert (machine.everything(), machine.stage()) == (found, "")


def test_masks_that_are_files_go_with_it(machine: Machine) -> None:
    """Thor's mask is a file that the driver's loading reads, not a node."""
    conf = machine.root / "etc/nvpmodel.conf"
    conf.write_text(conf.read_text().replace("/sys/devices/platform/gpu.0/tpc_pg_mask", f"/{THOR}"))
    (machine.root / THOR).parent.mkdir(parents=True)
    (machine.root / THOR).write_text("240\n")
    found, hands = machine.everything(), machine.hands()
    hands.plan_reboot(THERE)
    assert hands.ask_reboot(THERE).kind == "rebooting"
    assert (machine.root / THOR).read_text() == "248\n"
    hands.cancel_reboot()
    assert machine.everything() == found


def test_jetpack_4_keeps_its_fan_mode(machine: Machine) -> None:
    status = machine.root / nvpmodel.STATUS
    status.write_text("pmode:0000 fmode:quiet\n")
    hands = machine.hands()
    hands.plan_reboot(THERE)
    hands.ask_reboot(THERE)
    assert status.read_text() == "pmode:0003 fmode:quiet\n"


def test_a_plan_that_cannot_be_read_is_put_aside(machine: Machine) -> None:
    (machine.folder / "reboot.json").write_text('{"to": ')
    assert machine.stage() == ""
    assert (machine.folder / "reboot.unreadable").exists()


class Killed(BaseException):
    """kill -9."""


@pytest.mark.parametrize("booted", [False, True])
def test_killed_at_any_instant(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, booted: bool
) -> None:
    """From every prefix the next start leads to the mode before, or, after a boot, to the one asked for."""
    life, ended = 1, False
    stages = set()
    while not ended:
        machine = Machine(tmp_path_factory.mktemp("machine"))
        found = machine.everything()
        with monkeypatch.context() as patch:
            mortal(patch, [life])
            hands = machine.hands()
            try:
                hands.plan_reboot(THERE)
                hands.ask_reboot(THERE)
                ended = True
            except Killed:
                pass
        asked = machine.reboots()
        if booted:
            boot(machine.root)
        machine.hands().wake()
        stages.add(machine.stage())
        if machine.stage() == "reached":
            assert booted
            machine.hands().forget_reboots()
            boot(machine.root)
        assert machine.everything() == found, f"after {life} effects"
        assert asked <= 1
        assert machine.reboots() == asked
        life += 1
    assert life > 6
    assert ("reached" in stages) == booted


def mortal(patch: pytest.MonkeyPatch, left: list[int]) -> None:
    """Die before or after the n-th write to the disk, or call of the program."""

    def counted(deed: Callable[..., None]) -> Callable[..., None]:
        def effect(*arguments: object) -> None:
            tick()
            deed(*arguments)
            tick()

        return effect

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    patch.setattr(Reboots, "_keep", counted(Reboots._keep))
    patch.setattr(Tree, "replace", counted(Tree.replace))
    patch.setattr(Reboots, "_run", counted(Reboots._run))


def test_the_file_is_what_it_says(machine: Machine) -> None:
    hands = machine.hands()
    hands.plan_reboot(THERE)
    hands.ask_reboot(THERE)
    document = json.loads((machine.folder / "reboot.json").read_text())
    assert document["stage"] == "asked"
    assert document["before"] == {nvpmodel.STATUS: "pmode:0000"}
    assert isinstance(hands.reboot, Plan)
