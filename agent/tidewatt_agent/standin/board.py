"""A board to act on without a board: a recording laid out as files, with modes for a stand-in nvpmodel."""

import os
import uuid
from pathlib import Path

from tidewatt_agent.nvpmodel import PowerModes, parse_conf, to_conf
from tidewatt_agent.recording import Recording, lay_out
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.nvpmodel import FAILURES, STATUS
from tidewatt_wire.documents import parse_toml

BOOT_ID = "proc/sys/kernel/random/boot_id"
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
    _write(root / BOOT_ID, str(uuid.uuid4()))
    return modes


def boot(root: Path) -> None:
    """What a reboot does: the GPU takes the masks of the mode that the status file names, then it is set."""
    _write(root / BOOT_ID, str(uuid.uuid4()))
    modes = parse_conf((root / "etc/nvpmodel.conf").read_text("utf-8"))
    mode_id = int((root / STATUS).read_text("utf-8").split()[0].removeprefix("pmode:"))
    mode = modes.mode(mode_id) or modes.modes[0]
    paths = {(param.name, arg): words[0] for param in modes.params for arg, words in param.args.items()}
    for setting in mode.settings:
        if setting.param in nvpmodel.MASKS:
            _write(root / paths[setting.param, setting.arg].lstrip("/"), f"{setting.value}\n")
    nvpmodel.run(root, ["-m", str(mode.id)])


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
