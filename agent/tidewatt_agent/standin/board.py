"""A board to act on without a board: a recording laid out as files, with modes for a stand-in nvpmodel."""

import os
from pathlib import Path

from tidewatt_agent.nvpmodel import PowerModes, to_conf
from tidewatt_agent.recording import Recording, lay_out
from tidewatt_agent.standin.nvpmodel import FAILURES, STATUS
from tidewatt_wire.documents import parse_toml

CPU = "sys/devices/system/cpu"


def build(recording: Recording, root: Path, mode_id: int) -> PowerModes:
    """Lay the board out below `root`, with its nvpmodel.conf and `mode_id` as the mode it says it is in.

    Raises DocumentError if the recording's power modes are malformed, ValueError if it has none.
    """
    if not recording.nvpmodel:
        raise ValueError(f"the recording of {recording.about.title} has no power modes")
    lay_out(recording.tree, root)
    modes = parse_toml(recording.nvpmodel, PowerModes, name="nvpmodel.toml")
    _write(root / "etc/nvpmodel.conf", to_conf(modes))
    _write(root / STATUS, f"pmode:{mode_id:04d}")
    _other_names(root)
    return modes


def fail(root: Path, *failures: str) -> None:
    """Let the stand-in nvpmodel fail so from now on; with none, let it work again."""
    _write(root / FAILURES, " ".join(failures))


def _other_names(root: Path) -> None:
    """The names by which nvpmodel.conf knows what a recording holds by its class."""
    for policy in sorted((root / CPU / "cpufreq").iterdir()):
        for core in (policy / "related_cpus").read_text("utf-8").split():
            link = root / CPU / f"cpu{core}/cpufreq"
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(os.path.relpath(policy, link.parent))
    for gpu in (root / "sys/class/devfreq").glob("*.gpu"):
        link = root / f"sys/devices/platform/{gpu.name}/devfreq_dev"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(gpu, link.parent))
    for name, mask in (("tpc_pg_mask", 240), ("fbp_pg_mask", 2)):
        _write(root / "sys/devices/platform/gpu.0" / name, f"{mask}\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
