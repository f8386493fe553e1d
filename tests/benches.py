"""A stand-in board and hands on it, in one process: for tests that count, interrupt and fail on command."""

from collections.abc import Callable
from pathlib import Path

from tests.world import recording

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.tool import Nvpmodel, Said
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.standin.actuator import InProcess
from tidewatt_agent.standin.board import build
from tidewatt_agent.sysfs.tree import Tree

MHZ = 1_000_000
IDS = (0, 1, 2, 3)
BOARD = "orin-nano-super-jp62"


class Tool(InProcess):
    """The stand-in nvpmodel without a process; it counts, and can be made to do something first."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[int] = []
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None

    def _run(self, *arguments: str) -> Said:
        if arguments[0] == "-m":
            self.asked.append(int(arguments[1]))
            self.before()
        said = super()._run(*arguments)
        if arguments[0] == "-m":
            self.after()
        return said


def no_reboots(root: Path) -> Reboots:
    """What plans reboots, and may not."""
    return Reboots(Tree(str(root)), root / "reboot.json")


class Bench:
    """A board in 15W, and hands."""

    def __init__(self, folder: Path) -> None:
        self.root, self.undo = folder / "root", folder / "undo.json"
        self.root.mkdir()
        self.modes = build(recording(BOARD), self.root, 0)
        self.tool = Tool(self.root)
        self.hands = self.new_hands()

    def new_hands(
        self,
        board: Board | None = None,
        tool: Nvpmodel | None = None,
        undo: UndoFile | None = None,
        sleep: Callable[[float], None] = lambda _s: None,
    ) -> Actuator:
        """Hands that know nothing but what is on the disk."""
        return Actuator(
            board or Board(Tree(str(self.root))),
            tool or self.tool,
            undo or UndoFile(self.undo),
            no_reboots(self.root),
            sleep=sleep,
            settle_s=0.1,
        )

    def nodes(self) -> dict[str, int]:
        """Every node that the hands may touch, as it stands."""
        board = Board(Tree(str(self.root)))
        modes = board.modes()
        return dict(board.readings(modes, board.knobs(modes)))
