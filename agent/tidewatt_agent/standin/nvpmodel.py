"""A stand-in for NVIDIA's nvpmodel over a board's tree: it sets nodes like it, and fails on command.

    python nvpmodel.py ROOT [-q] [-m ID]

Failures stand in ROOT/standin/failures, one word each: `prompt` (asks for a reboot), `hang`, `ebusy`,
`enodev`, `eagain` and `erofs` (a node refuses, after some were written), `lie` (writes nothing, exit code 0),
`chroot` (writes its status file only, exit code 0), `partial` (stops after the first writes, exit code 0),
`slow` (the later nodes follow SLOW_S after it has ended).
Written from captured output, not from NVIDIA's.
Standard library only, and no import of ours but the grammar: it starts as often as a mode changes.
"""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tidewatt_agent.nvpmodel import PowerMode, PowerModes, parse_conf

STATUS = "var/lib/nvpmodel/status"
FAILURES = "standin/failures"
#: What slow hardware takes, in seconds.
SLOW_S = 0.4
#: Failures that are a node's refusal, with their errno.
REFUSALS = {"ebusy": 16, "enodev": 19, "eagain": 11, "erofs": 30}
MASKS = ("TPC_POWER_GATING", "FBP_POWER_GATING", "GPU_POWER_GATING")
REBOOT = (
    "NVPM WARN: Golden image context is already created\n"
    "NVPM WARN: Reboot required for changing to this power mode: {}\n"
    "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:\n"
    "NVPM ERROR: bad input!\n"
)


class Answer(NamedTuple):
    """What it prints and its exit code."""

    text: str
    code: int
    later: tuple[tuple[Path, int], ...] = ()
    """Nodes that follow after it has ended, with their values."""


def main() -> None:
    """Be the program."""
    root, *arguments = sys.argv[1:]
    answer = run(Path(root), arguments)
    if answer.code < 0:
        time.sleep(3600)  # hangs
    sys.stdout.write(answer.text)
    sys.stdout.flush()
    if answer.later and os.fork() == 0:
        # The hardware: nobody's child, and it holds nobody's pipe.
        os.setsid()
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(SLOW_S)
        catch_up(answer)
        os._exit(0)
    sys.exit(answer.code)


def catch_up(answer: Answer) -> None:
    """Let the nodes that were slow follow."""
    for path, value in answer.later:
        _write(path, value)


def run(root: Path, arguments: list[str]) -> Answer:
    """What the program does; code -1 stands for one that never ends."""
    modes = parse_conf((root / "etc/nvpmodel.conf").read_text("utf-8"))
    if arguments == ["-q"]:
        return _query(root, modes)
    mode = modes.mode(int(arguments[1]))
    if mode is None:
        return Answer(f"NVPM ERROR: request for bad power mode {arguments[1]}\n", 255)
    return _set(root, modes, mode)


def failures(root: Path) -> set[str]:
    """The failures on command."""
    file = root / FAILURES
    return set(file.read_text("utf-8").split()) if file.exists() else set()


def _query(root: Path, modes: PowerModes) -> Answer:
    mode = modes.mode(_status(root))
    if mode is None:
        return Answer("NVPM ERROR: no power mode is set\n", 255)
    noise = "NVPM ERROR: Error opening /sys/devices/system/cpu/cpu9/online: 2\n"
    return Answer(f"NV Power Mode: {mode.name}\n{mode.id}\n{noise}", 0)


def _status(root: Path) -> int:
    file = root / STATUS
    return int(file.read_text("utf-8").split()[0].removeprefix("pmode:")) if file.exists() else -1


def _set(root: Path, modes: PowerModes, mode: PowerMode) -> Answer:
    failing = failures(root)
    writes = _writes(root, modes, mode)
    status = root / STATUS
    status.parent.mkdir(parents=True, exist_ok=True)
    if "hang" in failing:
        return Answer("", -1)
    masked = [path for path, value, param in writes if param in MASKS and _number(path) not in (None, value)]
    if masked or "prompt" in failing:
        return Answer(REBOOT.format(mode.id), 255)
    if failing & {"chroot", "lie"}:
        status.write_text(f"pmode:{mode.id:04d}", "utf-8")
        return Answer("Running in chroot, ignoring request.\n" if "chroot" in failing else "", 0)
    limit = len(writes) // 2 if failing & {"partial", "slow", *REFUSALS} else len(writes)
    for path, value, _ in writes[:limit]:
        _write(path, value)
    for name, number in REFUSALS.items():
        if name in failing:
            node = f"/{writes[limit][0].relative_to(root)}"
            return Answer(
                f"NVPM ERROR: Error writing {writes[limit][1]} to {node}: {number}\n"
                "NVPM ERROR: failed to set power mode!\n"
                "NVPM ERROR: optMask is 1, no request for power mode\n",
                255,
            )
    status.write_text(f"pmode:{mode.id:04d}", "utf-8")
    later = writes[limit:] if "slow" in failing else []
    return Answer("", 0, tuple((path, value) for path, value, _ in later))


def _writes(root: Path, modes: PowerModes, mode: PowerMode) -> list[tuple[Path, int, str]]:
    """Node, value and parameter of every setting whose node exists; frequencies as the kernel rounds them."""
    paths = {(p.name, arg): root / "/".join(w).lstrip("/") for p in modes.params for arg, w in p.args.items()}
    newer = {key: path for key, path in paths.items() if key[1].endswith("_KNEXT") and path.exists()}
    paths.update({(name, arg.removesuffix("_KNEXT")): path for (name, arg), path in newer.items()})
    every = [setting for one in modes.modes for setting in one.settings]
    highest = {one.param: max(s.value for s in every if s.param == one.param) for one in every}
    found = []
    for setting in mode.settings:
        path = paths.get((setting.param, setting.arg))
        if path is not None and path.exists() and setting.param.find("POWER_CONTROL") < 0:
            found.append((path, _rounded(path, setting.value, highest[setting.param]), setting.param))
    return found


def _rounded(path: Path, value: int, highest: int) -> int:
    """What the kernel makes of a value; `highest` stands for no cap where the node offers no table."""
    table = path.parent / (
        "scaling_available_frequencies" if path.name.startswith("scaling") else "available_frequencies"
    )
    if not table.exists():
        return highest if value < 0 else value
    offered = sorted(int(word) for word in table.read_text("utf-8").split())
    if value < 0:
        return offered[-1]
    return max((one for one in offered if one <= value), default=offered[0])


def _write(path: Path, value: int) -> None:
    path.write_text(f"{value}\n", "utf-8")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    main()
