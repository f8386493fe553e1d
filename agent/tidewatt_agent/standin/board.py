"""A board to act on without a board: a recording, or a board profile, laid out as files.

With them comes an nvpmodel.conf, for the actuator and for a stand-in nvpmodel.
"""

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from tidewatt_agent.modefile import parse_modes
from tidewatt_agent.nvpmodel import Param, PowerMode, PowerModes, Setting, parse_conf, to_conf
from tidewatt_agent.recording import Recording, lay_out
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.nvpmodel import FAILURES, STATUS
from tidewatt_agent.sysfs.clocks import KILOHERTZ
from tidewatt_governor.boards import BoardProfile

BOOT_ID = "proc/sys/kernel/random/boot_id"
CPU = "sys/devices/system/cpu"
GPU = "sys/class/devfreq/17000000.gpu"
EMC = "sys/kernel/nvpmodel_clk_cap/emc"


def build(recording: Recording, root: Path, mode_id: int) -> PowerModes:
    """Lay the board out below `root`, with its nvpmodel.conf and `mode_id` as the mode it says it is in.

    Raises DocumentError if the recording's power modes are malformed, ValueError if it has none.
    """
    if not recording.nvpmodel:
        raise ValueError(f"the recording of {recording.about.title} has no power modes")
    lay_out(recording.tree, root)
    modes = parse_modes(recording.nvpmodel)
    _write(root / "etc/nvpmodel.conf", to_conf(modes))
    _write(root / STATUS, f"pmode:{mode_id:04d}")
    _other_names(root)
    _write(root / BOOT_ID, str(uuid.uuid4()))
    return modes


def compose(profile: BoardProfile, root: Path) -> None:
    """Lay out a board with the profile's modes and clocks below `root`, in the vendor's default mode.

    It has one CPU policy for all cores and offers the clocks that some mode names, and half the lowest.
    """
    cores = max(caps.cores for caps in profile.caps.values())
    cpu = _offered(caps.cpu // KILOHERTZ for caps in profile.caps.values())
    gpu = _offered(caps.gpu for caps in profile.caps.values())
    for path, table, names in (
        (f"{CPU}/cpufreq/policy0", cpu, "scaling_{}_freq"),
        (GPU, gpu, "{}_freq"),
    ):
        for end, value in (("min", table[0]), ("max", table[-1]), ("cur", table[0])):
            _write(root / path / names.format(end), f"{value}\n")
        tables = "scaling_available_frequencies" if path != GPU else "available_frequencies"
        _write(root / path / tables, " ".join(map(str, table)))
    _write(root / CPU / "cpufreq/policy0/related_cpus", " ".join(map(str, range(cores))))
    for core in range(1, cores):
        _write(root / CPU / f"cpu{core}/online", "1\n")
    _write(root / EMC, f"{max(caps.emc for caps in profile.caps.values())}\n")
    _write(root / BOOT_ID, str(uuid.uuid4()))
    _write(root / "etc/nvpmodel.conf", to_conf(_modes(profile, cores)))
    nvpmodel.run(root, ["-m", str(profile.point(profile.vendor_default).mode_id)])


def _offered(values: Iterable[int]) -> list[int]:
    table = sorted(set(values))
    return [table[0] // 2, *table]


def _modes(profile: BoardProfile, cores: int) -> PowerModes:
    online = {f"CORE_{core}": [f"/{CPU}/cpu{core}/online"] for core in range(1, cores)}
    params = [
        Param("CPU_ONLINE", "FILE", online),
        Param("CPU", "CLOCK", {"MAX_FREQ": [f"/{CPU}/cpufreq/policy0/scaling_max_freq"]}),
        Param("GPU", "CLOCK", {"MAX_FREQ": [f"/{GPU}/max_freq"]}),
        Param("EMC", "CLOCK", {"MAX_FREQ": [f"/{EMC}"]}),
    ]
    modes = [
        PowerMode(
            point.mode_id,
            point.name,
            [
                *(Setting("CPU_ONLINE", f"CORE_{core}", int(core < caps.cores)) for core in range(1, cores)),
                Setting("CPU", "MAX_FREQ", caps.cpu // KILOHERTZ),
                Setting("GPU", "MAX_FREQ", caps.gpu),
                Setting("EMC", "MAX_FREQ", caps.emc),
            ],
        )
        for point in profile.points
        for caps in [profile.caps[point.name]]
    ]
    return PowerModes(profile.point(profile.vendor_default).mode_id, params, modes, [])


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
