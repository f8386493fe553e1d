"""boards.md, from the recordings."""

import tempfile
from pathlib import Path

from pages.place import MADE, ROOT
from tidewatt_agent.power import total_watts
from tidewatt_agent.recognise import recognise
from tidewatt_agent.recording import Recording, lay_out, load
from tidewatt_agent.sysfs.rails import read_rails
from tidewatt_agent.sysfs.reader import Nodes, find_nodes
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.boards import profile_for

RECORDINGS = ROOT / "tests/boards"
BOARDS_HEAD = """# Boards

Supported means: we hold a recording of it ([the format](../tests/boards/README.md)), and a test brings
the whole agent up on it. **Composed** trees were written from public facts, not recorded on a board of
ours; their tegrastats lines are real captures that users published. **Captured** ones were recorded by
`tidewatt-agent capture` on the board itself, and are what we want more of.

Total is where the board's power comes from: `measured` at its input, or the `sum` of its rails, which
leaves out the carrier board. Read-outs work on all of them; to run the agent takes Python 3.10, which
JetPack 6 and 7 bring.
"""


def boards() -> str:
    """The table of recorded boards, by family and release."""
    rows = ["| board | SoC | JetPack | L4T | total | rails | sensors | tegrastats lines | tree |"]
    rows.append("|" + "---|" * 9)
    rows += [_board_row(folder.name, load(folder)) for folder in _folders()]
    return f"{MADE}\n{BOARDS_HEAD}\n" + "\n".join(rows) + "\n\n" + _profiles() + "\n"


def _board_row(name: str, recording: Recording) -> str:
    with tempfile.TemporaryDirectory() as root:
        lay_out(recording.tree, Path(root))
        tree = Tree(root)
        nodes, board = find_nodes(tree), recognise(tree)
        total = total_watts(read_rails(tree, nodes.rails))
    about = recording.about
    cells = (
        f"[{about.title}](../tests/boards/{name}/board.toml)",
        board.soc or "",
        about.jetpack,
        about.l4t,
        total.provenance,
        ", ".join(channel.name for channel in nodes.rails),
        _sensors(nodes),
        str(len(recording.tegrastats)),
        about.origin,
    )
    return f"| {' | '.join(cells)} |"


def _sensors(nodes: Nodes) -> str:
    parts = [f"{len(nodes.zones)} zones", f"{nodes.cores} cores"]
    parts += ["GPU load" if nodes.gpu.load else "GPU clock"] if nodes.gpu else []
    parts += ["EMC cap"] if nodes.emc else []
    parts += ["fan"] if nodes.fan else []
    parts += ["over-current"] if nodes.over_current else []
    return ", ".join(parts)


def _profiles() -> str:
    known = []
    for folder in _folders():
        with tempfile.TemporaryDirectory() as root:
            recording = load(folder)
            lay_out(recording.tree, Path(root))
            if profile := profile_for(recognise(Tree(root)).compatible):
                known.append(f"{recording.about.title} (`{profile.name}`)")
    return f"Operating points come with the product for: {', '.join(known)}. Others are only measured."


def _folders() -> list[Path]:
    return sorted(path for path in RECORDINGS.iterdir() if path.is_dir())
