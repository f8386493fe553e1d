"""Programs that set clocks and modes, too: found at the start, and by `doctor`."""

import psutil

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.sysfs.tree import Tree

#: The agent stands down rather than fight them.
RIVALS = ("tuned", "tlp", "auto-cpufreq", "power-profiles-daemon", "nvpmodel_indicator", "jetson_clocks")
#: The kernel cuts a process's name after this many characters.
NAME_LENGTH = 15


def find_rivals(tree: Tree) -> list[str]:
    """A few words for each: a program that runs, clocks that are pinned. Takes some milliseconds."""
    running = {(process.info["name"] or "")[:NAME_LENGTH] for process in psutil.process_iter(["name"])}
    found = [f"{rival} is running" for rival in RIVALS if rival[:NAME_LENGTH] in running]
    pinned = Board(tree).state(None, {}).pinned
    return [*found, *([f"clocks of {', '.join(pinned)} are pinned (jetson_clocks)"] if pinned else [])]
