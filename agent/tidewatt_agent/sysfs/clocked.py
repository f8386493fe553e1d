"""What runs by a clock of its own, as a Sample has it. Apart from the files, which the actuator needs."""

from tidewatt_agent.sysfs.clocks import EmcFiles, GpuFiles
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.sample import Clocked

PER_MILLE = 1000.0


def read_gpu(tree: Tree, gpu: GpuFiles | None) -> Clocked | None:
    """The GPU's clock and use; None when neither can be read."""
    if gpu is None:
        return None
    hertz = tree.number(f"{gpu.path}/cur_freq")
    load = tree.number(gpu.load) if gpu.load else None
    if hertz is None and load is None:
        return None
    return Clocked(use=None if load is None else load / PER_MILLE, hertz=() if hertz is None else (hertz,))


def read_emc(tree: Tree, emc: EmcFiles | None) -> Clocked | None:
    """The memory's running clock, where it may be seen."""
    hertz = tree.number(emc.rate) if emc and emc.rate else None
    return None if hertz is None else Clocked(hertz=(hertz,))
