"""The board under the hands: what modes and clocks it has, read afresh, and the one place that writes."""

import errno
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tidewatt_agent.actuator import plan
from tidewatt_agent.actuator.plan import Knob, Readings, Write
from tidewatt_agent.nvpmodel import CONF_PATHS, Param, PowerModes, parse_conf
from tidewatt_agent.sysfs import clocks
from tidewatt_agent.sysfs.tree import Tree

NOTHING = PowerModes(None, [], [], [])
#: The kernel applies a cap to a CPU policy from a work queue: reading back may be early by some milliseconds.
SHOWS_WITHIN_S = 0.5
LOOK_S = 0.01
#: The suffix of arguments that hold for newer kernels.
KNEXT = "_KNEXT"
#: Cooling devices that hold clocks down; fans don't.
_THROTTLES = re.compile(r"cpu|gpu|freq|throttle", re.IGNORECASE)
#: A node that says EAGAIN is asked again this often.
TRIES = 5


class WriteRefusedError(OSError):
    """A node didn't take a value; the sentence names both."""


class State(NamedTuple):
    """Where the board stands, by its own nodes. `mode_id` is None when no mode, or several, fit."""

    mode_id: int | None
    fitting: list[int]
    caps: dict[str, int]
    """Present maxima in hertz by clock."""
    pinned: Sequence[str] = ()
    """Clocks whose minimum is held at their maximum, which no mode does: jetson_clocks."""


class Board:
    """The board below a root."""

    def __init__(self, tree: Tree, sleep: Callable[[float], None] = time.sleep) -> None:
        self.tree = tree
        self._sleep = sleep

    def modes(self) -> PowerModes:
        """The modes of nvpmodel.conf, read afresh: the link is made anew at every boot."""
        text = next((text for path in CONF_PATHS if (text := self.tree.read(path)) is not None), None)
        return NOTHING if text is None else self._behind_links(parse_conf(text))

    def _behind_links(self, modes: PowerModes) -> PowerModes:
        # A clock has many names (cpu0/cpufreq, cpufreq/policy0, ...): all of them are one node.
        params = [
            param._replace(
                args={arg: [self._node(param, arg)] for arg in param.args if not arg.endswith(KNEXT)}
            )
            for param in modes.params
        ]
        return modes._replace(params=params)

    def _node(self, param: Param, arg: str) -> str:
        """Where an argument is: newer kernels have the node that its _KNEXT twin names."""
        path = ""
        for words in (param.args.get(arg + KNEXT), param.args[arg]):
            if words:
                path = "/".join(words).lstrip("/")
                if len(words) > 1:  # HWMON: a folder of one numbered folder, and the file in it
                    path = next(iter(self.tree.find(f"{words[0].lstrip('/')}/hwmon*/{words[1]}")), path)
                if self.tree.exists(path):
                    break
        return self.tree.real(path)

    def knobs(self, modes: PowerModes) -> list[Knob]:
        """Every clock that can be capped."""
        found = [self._cpu(policy) for policy in clocks.find_policies(self.tree)]
        gpu = clocks.find_gpu(self.tree)
        if gpu:
            available = self._integers(f"{gpu.path}/available_frequencies")
            path = self.tree.real(gpu.path)
            found.append(Knob("gpu", f"{path}/max_freq", f"{path}/min_freq", available, 1))
        emc = clocks.find_emc(self.tree)
        if emc and emc.cap:
            found.append(Knob("emc", self.tree.real(emc.cap), None, _emc_values(modes), 1))
        return found

    def readings(self, modes: PowerModes, knobs: Sequence[Knob]) -> Readings:
        """Every node that a mode or a knob names, as read now."""
        paths = {path for mode in modes.modes for _, path, _ in plan.wanted(modes, mode)}
        paths |= {path for knob in knobs for path in (knob.maximum, knob.minimum) if path}
        values = {path: self.tree.number(path) for path in sorted(paths)}
        return {path: value for path, value in values.items() if value is not None}

    def state(self, said: int | None, caps: Mapping[str, int]) -> State:
        """Where it stands, with our `caps` on top.

        `said`: the tool's word, which only decides between modes that fit alike.
        """
        modes = self.modes()
        knobs = self.knobs(modes)
        readings = self.readings(modes, knobs)
        fitting = plan.standing(modes, readings, knobs, caps)
        if not fitting and self.clamped():
            fitting = plan.standing(modes, readings, knobs, caps, clamped=True)
        only = fitting[0] if len(fitting) == 1 else said if said in fitting else None
        shown = {knob.name: readings[knob.maximum] * knob.unit for knob in knobs if knob.maximum in readings}
        held = plan.pinned(modes, knobs, readings)
        return State(mode_id=only, fitting=fitting, caps=shown, pinned=held)

    def clamped(self) -> bool:
        """Whether the kernel holds some clock down now, because it is hot."""
        return any(
            self.tree.number(f"{path}/cur_state")
            for path in self.tree.find("sys/class/thermal/cooling_device*")
            if (kind := self.tree.read(f"{path}/type")) and _THROTTLES.search(kind) and "fan" not in kind
        )

    def write(self, write: Write) -> None:
        """Write one value and read it back; WriteRefusedError when it isn't there after a while."""
        try:
            self._try_to(write)
        except OSError as error:
            raise WriteRefusedError(f"/{write.path} refuses {write.to}: {error.strerror}") from error
        waited_s = 0.0
        while (now := self.tree.number(write.path)) != write.to:
            if waited_s >= SHOWS_WITHIN_S:
                if now is not None and now < write.to and self.clamped():
                    return  # it is taken, and shows when the board has cooled
                raise WriteRefusedError(f"/{write.path} was given {write.to} and shows {now}")
            self._sleep(LOOK_S)
            waited_s += LOOK_S

    def _try_to(self, write: Write) -> None:
        for _ in range(TRIES - 1):
            try:
                return self.tree.write(write.path, write.to)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
            self._sleep(LOOK_S)
        return self.tree.write(write.path, write.to)

    def _cpu(self, policy: clocks.Policy) -> Knob:
        path = self.tree.real(policy.path)
        return Knob(
            policy.name,
            f"{path}/scaling_max_freq",
            f"{path}/scaling_min_freq",
            self._integers(f"{policy.path}/scaling_available_frequencies")
            or self._integers(f"{policy.path}/cpuinfo_min_freq", f"{policy.path}/cpuinfo_max_freq"),
            clocks.KILOHERTZ,
        )

    def _integers(self, *paths: str) -> tuple[int, ...]:
        words = " ".join(self.tree.read(path) or "" for path in paths).split()
        return tuple(sorted({int(word) for word in words if word.isdecimal() and word.isascii()}))


def _emc_values(modes: PowerModes) -> tuple[int, ...]:
    """The memory has no readable table: what some mode sets is what is known to exist."""
    values = {
        setting.value
        for mode in modes.modes
        for setting in mode.settings
        if setting.param == "EMC" and not plan.unlimited(setting.value, "EMC")
    }
    return tuple(sorted(values))
