"""The sysfs reader: finds the board's nodes, reads them once an interval, and looks for new ones."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from tidewatt_agent.power import total_watts
from tidewatt_agent.readers import Probe, ReaderCounts, ReaderLostError, TimedSample, Waiting
from tidewatt_agent.sysfs import clocked, clocks, heat, kernel, rails
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.threads import in_thread, repeated
from tidewatt_governor.sample import Sample
from tidewatt_wire.clock import Clock

#: Seconds between two looks for nodes: they may appear late in boot, or be numbered anew.
LOOK_AGAIN_S = 30.0
#: A look takes milliseconds; a bus that hangs must not hold the agent.
LONGEST_LOOK_S = 10.0
#: Samples in a row without power after which the reader gives up its place.
BLIND_SAMPLES = 5


class Nodes(NamedTuple):
    """Where this board keeps what we read; an empty part wasn't found."""

    rails: tuple[rails.Channel, ...]
    zones: tuple[heat.Zone, ...]
    policies: tuple[clocks.Policy, ...]
    gpu: clocks.GpuFiles | None
    emc: clocks.EmcFiles | None
    fan: heat.FanFiles | None
    over_current: str | None
    cores: int

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that weren't found."""
        return tuple(name for name, part in zip(self._fields, self, strict=True) if not part)


class Look(NamedTuple):
    """One reading, and the core times that the next one is measured against."""

    sample: Sample
    times: dict[int, kernel.CoreTimes]


def find_nodes(tree: Tree) -> Nodes:
    """Everything this reader can use on the board."""
    return Nodes(
        rails=rails.find_rails(tree),
        zones=heat.find_zones(tree),
        policies=clocks.find_policies(tree),
        gpu=clocks.find_gpu(tree),
        emc=clocks.find_emc(tree),
        fan=heat.find_fan(tree),
        over_current=kernel.find_over_current(tree),
        cores=kernel.present_cores(tree),
    )


def look(tree: Tree, nodes: Nodes, before: dict[int, kernel.CoreTimes]) -> Look:
    """Read the board once. `before`: the core times of the look before, empty at first."""
    times = kernel.core_times(tree)
    hertz = clocks.core_hertz(tree, nodes.policies)
    ram, swap = kernel.memory(tree)
    gpu = clocked.read_gpu(tree, nodes.gpu)
    sample = Sample(
        ram=ram,
        swap=swap,
        cores=kernel.cores_between(before, times, hertz, nodes.cores),
        emc=clocked.read_emc(tree, nodes.emc),
        gpus={"GR3D": gpu} if gpu else {},
        temperatures=heat.read_zones(tree, nodes.zones),
        rails=rails.read_rails(tree, nodes.rails),
        caps=clocks.read_caps(tree, nodes.policies, nodes.gpu, nodes.emc),
        fan=heat.read_fan(tree, nodes.fan),
        over_current=kernel.read_over_current(tree, nodes.over_current),
    )
    return Look(sample, times)


class _Run:
    """One run of the reader: what it looks at, and the look before. Blocking, as making one is.

    Of a run that was given up a reading may still hang: nothing of it is shared with the next.
    """

    def __init__(
        self, tree: Tree, clock: Clock, counts: ReaderCounts, put: Callable[[Sample, float], None]
    ) -> None:
        """`put` takes a sample and when it was taken."""
        self._finder, self._tree, self._clock = tree, tree.keeping(), clock
        self._counts, self._put = counts, put
        self._nodes = find_nodes(tree)
        self._last = Look(Sample(), kernel.core_times(self._tree))
        self._found_s = clock.monotonic_s()
        self._blind = 0
        self.over = False
        """Whether nobody wants to know any more."""

    def look(self) -> None:
        """Look once, and now and then for new nodes. ReaderLostError when there is no power to be seen."""
        self._last = look(self._tree, self._nodes, self._last.times)
        now_s = self._clock.monotonic_s()
        if self.over:
            return
        self._blind = 0 if self._last.sample.rails else self._blind + 1
        self._counts.skipped += bool(self._blind)
        if self._blind >= BLIND_SAMPLES:
            raise ReaderLostError("the power monitor gives no reading")
        self._counts.samples += 1
        self._put(self._last.sample, now_s)
        if self._blind or now_s - self._found_s >= LOOK_AGAIN_S:
            # Whatever was found: a second monitor, or the GPU's load, may come late too.
            self._tree.let_go()
            self._nodes, self._found_s = find_nodes(self._finder), now_s


class SysfsReader:
    """The reader over a Tree. Reads in its own thread: an I2C sensor can hold a read for milliseconds."""

    name = "sysfs"

    def __init__(self, tree: Tree, interval_s: float, clock: Clock) -> None:
        self.tree = tree
        self._interval_s, self._clock = interval_s, clock
        self._waiting = Waiting()
        self.counts = ReaderCounts()

    def take(self) -> list[TimedSample]:
        """See Reader.take."""
        return self._waiting.take()

    def probe(self) -> Probe:
        """See Reader.probe: ok when power, temperatures and core clocks can be read."""
        nodes = find_nodes(self.tree)
        needed = {"rails": "power monitor", "zones": "thermal zone", "policies": "cpufreq policy"}
        absent = [words for part, words in needed.items() if part in nodes.missing]
        if not absent:
            if total_watts(rails.read_rails(self.tree, nodes.rails)).watts is None:
                return Probe("later", "the power monitor gives no reading")
            return Probe("ok", f"{len(nodes.rails)} rails, {len(nodes.zones)} thermal zones")
        if "tegra" not in (self.tree.read("proc/device-tree/compatible") or ""):
            return Probe("no", "the device tree names no Tegra")
        return Probe("later", f"no {', no '.join(absent)} in {self.tree.root.rstrip('/')}/sys yet")

    async def run(self) -> None:
        """See Reader.run."""
        self.counts.starts += 1
        try:
            one = await in_thread(LONGEST_LOOK_S, _Run, self.tree, self._clock, self.counts, self._put)
            try:
                await repeated(self._clock.real_seconds(self._interval_s), LONGEST_LOOK_S, one.look)
            finally:
                one.over = True
        except asyncio.TimeoutError:
            raise ReaderLostError(f"a sensor held a reading for more than {LONGEST_LOOK_S:.0f} s") from None

    def _put(self, sample: Sample, at_s: float) -> None:
        self._waiting.put(TimedSample(at_s, sample, self.name))
