"""Clocks and their caps: cpufreq policies, the GPU's devfreq node, the memory's cap.

`scaling_cur_freq` is what was asked for, not what hardware throttling left of it. The memory's
running clock is for root only; its cap is readable on most boards.
"""

import re
from typing import NamedTuple

from tidewatt_agent.sysfs.tree import Tree

_CORE = re.compile(r"[0-9]{1,3}")
KILOHERTZ = 1000
#: Device tree names of GPUs, TX1 to Thor; and Thor's PCIe GPU, which has no node there.
GPU_NODES = frozenset({"gpu", "gp10b", "gv11b", "ga10b", "gb10b"})
GPU_CLASS = "gpu-gpc-"
EMC_CAPS = ("sys/kernel/nvpmodel_clk_cap/emc", "sys/kernel/nvpmodel_emc_cap/emc_iso_cap")
EMC_RATES = ("sys/kernel/debug/bpmp/debug/clk/emc/rate", "sys/kernel/debug/clk/emc/clk_rate")


class Policy(NamedTuple):
    """A cpufreq policy: the cores that share one clock."""

    name: str
    path: str


class GpuFiles(NamedTuple):
    """The GPU's devfreq folder and the file with its load in per mille, where there is one."""

    path: str
    load: str | None


class EmcFiles(NamedTuple):
    """Where the memory's cap and its running clock are, in hertz; either may be missing."""

    cap: str | None
    rate: str | None


def find_policies(tree: Tree) -> tuple[Policy, ...]:
    """The cpufreq policies."""
    return tuple(
        Policy(path.rsplit("/", 1)[-1], path)
        for path in tree.find("sys/devices/system/cpu/cpufreq/policy*")
        if tree.number(f"{path}/scaling_cur_freq") is not None
    )


def core_hertz(tree: Tree, policies: tuple[Policy, ...]) -> dict[int, int]:
    """The clock of each core of each policy, in hertz."""
    found: dict[int, int] = {}
    for policy in policies:
        kilohertz = tree.number(f"{policy.path}/scaling_cur_freq")
        cores = tree.read(f"{policy.path}/affected_cpus")
        if kilohertz is not None and cores:
            numbers = [int(core) for core in cores.split() if _CORE.fullmatch(core)]
            found.update(dict.fromkeys(numbers, kilohertz * KILOHERTZ))
    return found


def find_gpu(tree: Tree) -> GpuFiles | None:
    """The GPU among the devfreq devices, by its device tree name, else by its class or folder name."""
    folders = tree.find("sys/class/devfreq/*")
    for path in folders:
        if tree.read(f"{path}/device/of_node/name") in GPU_NODES:
            return _gpu(tree, path)
    for path in folders:
        name = path.rsplit("/", 1)[-1]
        if name.startswith(GPU_CLASS) or name.rsplit(".", 1)[-1] in GPU_NODES:
            return _gpu(tree, path)
    return None


def _gpu(tree: Tree, path: str) -> GpuFiles | None:
    if tree.number(f"{path}/cur_freq") is None:
        return None  # there, but not alive yet
    loads = (f"{path}/device/load", "sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load")
    return GpuFiles(path, next((load for load in loads if tree.number(load) is not None), None))


def find_emc(tree: Tree) -> EmcFiles | None:
    """The memory's files; None when none of them can be read."""
    cap = next((path for path in EMC_CAPS if tree.number(path) is not None), None)
    rate = next((path for path in EMC_RATES if tree.number(path) is not None), None)
    return EmcFiles(cap, rate) if cap or rate else None


def read_caps(
    tree: Tree, policies: tuple[Policy, ...], gpu: GpuFiles | None, emc: EmcFiles | None
) -> dict[str, int]:
    """Upper clock caps in hertz by clock; a cap of 0 on the memory means none and is left out."""
    caps: dict[str, int | None] = {}
    for policy in policies:
        kilohertz = tree.number(f"{policy.path}/scaling_max_freq")
        caps[policy.name] = None if kilohertz is None else kilohertz * KILOHERTZ
    if gpu:
        caps["GR3D"] = tree.number(f"{gpu.path}/max_freq")
    if emc and emc.cap:
        caps["EMC"] = tree.number(emc.cap) or None
    return {clock: hertz for clock, hertz in caps.items() if hertz is not None and hertz >= 0}
