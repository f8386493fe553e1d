"""The jtop reader: for those who run jetson-stats already and choose it (`reader.kind = "jtop"`).

jetson-stats is AGPL-3.0 and needs its own root service; it is an optional extra
(`pip install tidewatt-agent[jtop]`), never imported unless chosen. Only its documented client is
used: a `jtop` object whose `ok()` waits for the next reading. What has another shape than
documented is a missing value.
"""

import asyncio
import importlib.util
from collections.abc import Mapping
from threading import Event
from typing import Any

from tidewatt_agent.power import INPUT_RAILS
from tidewatt_agent.readers import Probe, ReaderCounts, ReaderLostError, TimedSample, Waiting
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.sample import Clocked, Core, Fan, Memory, Rail, Sample, Temperature
from tidewatt_wire.clock import Clock

SOCKET = "run/jtop.sock"
KILO = 1000
KIBIBYTE = 1024
MILLIWATTS = 1000.0
#: What its client says for any sensor that could not be read.
UNREADABLE_C = -256.0


class JtopReader:
    """The reader over jtop's client, which blocks and so has a thread of its own."""

    name = "jtop"

    def __init__(self, interval_s: float, clock: Clock) -> None:
        self._interval_s, self._clock = interval_s, clock
        self._waiting = Waiting()
        self.counts = ReaderCounts()

    def take(self) -> list[TimedSample]:
        """See Reader.take."""
        return self._waiting.take()

    def probe(self) -> Probe:
        """See Reader.probe: ok when the client is installed and its service is up."""
        if importlib.util.find_spec("jtop") is None:
            return Probe("later", "jetson-stats isn't installed: pip install 'tidewatt-agent[jtop]'")
        if not Tree().find(SOCKET):
            return Probe("later", f"/{SOCKET} isn't there: start jtop.service")
        return Probe("ok", "jtop.service is up")

    async def run(self) -> None:
        """See Reader.run."""
        self.counts.starts += 1
        stop = Event()
        try:
            await asyncio.to_thread(self._follow, stop)
        finally:
            stop.set()  # the thread sees it at the next reading
        raise ReaderLostError("jtop.service stopped answering")

    def _follow(self, stop: Event) -> None:
        from jtop import jtop  # noqa: PLC0415 - only where it was chosen

        try:
            with jtop(interval=self._interval_s) as client:
                while client.ok() and not stop.is_set():
                    self.counts.samples += 1
                    sample = sample_of(client)
                    self._waiting.put(TimedSample(self._clock.monotonic_s(), sample, self.name))
        except Exception as error:  # whatever its own threads met
            raise ReaderLostError(str(error) or type(error).__name__) from error


def sample_of(client: Any) -> Sample:
    """What a jtop client shows, as a Sample: mW, kHz, kB and percent become W, Hz, bytes and 0..1."""
    memory = _table(client.memory)
    return Sample(
        ram=_memory(memory.get("RAM")),
        swap=_memory(memory.get("SWAP")),
        cores=_cores(_table(client.cpu).get("cpu")),
        gpus=_gpus(_table(client.gpu)),
        temperatures={name: _heat(_table(one)) for name, one in _table(client.temperature).items()},
        rails=tuple(_rails(_table(client.power))),
        fan=_fan(_table(client.fan)),
    )


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _memory(value: object) -> Memory | None:
    used, total = _number(_table(value).get("used")), _number(_table(value).get("tot"))
    if used is None or total is None:
        return None
    return Memory(int(used) * KIBIBYTE, int(total) * KIBIBYTE)


def _cores(value: object) -> tuple[Core | None, ...] | None:
    if not isinstance(value, (list, tuple)):
        return None
    return tuple(_core(_table(one)) for one in value)


def _core(one: Mapping[str, Any]) -> Core | None:
    idle, kilohertz = _number(one.get("idle")), _number(_table(one.get("freq")).get("cur"))
    if not one.get("online") or idle is None:
        return None
    return Core(round(1.0 - idle / 100, 4), None if kilohertz is None else int(kilohertz) * KILO)


def _gpus(gpus: Mapping[str, Any]) -> dict[str, Clocked]:
    """The GPUs by the name that the other readers give them: GR3D, GR3D2."""
    found = [clocked for one in gpus.values() if (clocked := _gpu(_table(one)))]
    return {f"GR3D{number or ''}": clocked for number, clocked in zip((0, 2, 3, 4), found, strict=False)}


def _gpu(one: Mapping[str, Any]) -> Clocked | None:
    load = _number(_table(one.get("status")).get("load"))
    kilohertz = _number(_table(one.get("freq")).get("cur"))
    if load is None and kilohertz is None:
        return None
    return Clocked(
        use=None if load is None else load / 100, hertz=() if kilohertz is None else (int(kilohertz) * KILO,)
    )


def _heat(one: Mapping[str, Any]) -> Temperature | None:
    degrees = _number(one.get("temp"))
    if degrees is None or degrees <= UNREADABLE_C or not one.get("online", True):
        return None
    return Temperature(degrees)


def _rails(power: Mapping[str, Any]) -> list[Rail]:
    """The rails; the one that measures the board's input jtop keeps apart, as the total."""
    total, rails = _table(power.get("tot")), _table(power.get("rail"))
    name = total.get("name")
    named = {name: total} if name in INPUT_RAILS and name not in rails else {}
    found = [(name, _number(_table(one).get("power"))) for name, one in {**named, **rails}.items()]
    return [Rail(name, milliwatts / MILLIWATTS) for name, milliwatts in found if milliwatts is not None]


def _fan(fans: Mapping[str, Any]) -> Fan | None:
    for one in fans.values():
        speeds, rpms = _table(one).get("speed"), _table(one).get("rpm")
        duty = _number(speeds[0]) if isinstance(speeds, list) and speeds else None
        rpm = _number(rpms[0]) if isinstance(rpms, list) and rpms else None
        if duty is not None or rpm is not None:
            return Fan(duty=None if duty is None else duty / 100, rpm=None if rpm is None else int(rpm))
    return None
