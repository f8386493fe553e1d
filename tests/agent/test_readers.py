"""Which reader is used: the best that can see, a better one when it comes, the next when one is lost."""

import asyncio
import contextlib
import importlib.util
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.world import laid_out, until

from tidewatt_agent import jtop, readers
from tidewatt_agent.config import parse_config
from tidewatt_agent.jtop import JtopReader, sample_of
from tidewatt_agent.readers import Probe, ReaderCounts, ReaderLostError, Readers, TimedSample, Waiting
from tidewatt_agent.setup import clock_is_set, readers_of
from tidewatt_governor.sample import Clocked, Core, Fan, Memory, Rail, Sample, Temperature
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock, Timebase

REAL = Clock(time.monotonic, time.time)


class Told:
    """A reader that sees, and fails, as told."""

    def __init__(self, name: str, probe: Probe) -> None:
        self.name, self.answer = name, probe
        self.counts = ReaderCounts()
        self.waiting = Waiting()
        self.lose = asyncio.Event()

    def probe(self) -> Probe:
        return self.answer

    def take(self) -> list[TimedSample]:
        return self.waiting.take()

    async def run(self) -> None:
        self.counts.starts += 1
        self.lose.clear()
        await self.lose.wait()
        raise ReaderLostError("told so")


@contextlib.asynccontextmanager
async def running(*told: Told) -> AsyncIterator[Readers]:
    chosen = Readers(told, REAL)
    task = asyncio.create_task(chosen.run())
    try:
        yield chosen
    finally:
        await ended(task)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "ASK_AGAIN_S", 0.01)
    monkeypatch.setattr(readers, "LOST_PAUSE_S", 0.01)


YES, LATER, NO = Probe("ok", "sees"), Probe("later", "not yet"), Probe("no", "never here")


async def test_the_first_that_sees_and_a_better_one_later(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    best, second = Told("best", LATER), Told("second", YES)
    async with running(best, second) as chosen:
        await until(lambda: chosen.current is second and second.counts.starts)
        best.answer = YES
        await until(lambda: chosen.current is best and best.counts.starts)
        assert "best can see the board now: leaving second" in caplog.text
        best.answer = NO
        best.lose.set()
        await until(lambda: chosen.current is second)
        assert "best lost the board: told so" in caplog.text


async def test_nothing_sees_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    one, two = Told("one", NO), Told("two", LATER)
    async with running(one, two) as chosen:
        await until(lambda: "nothing can read the board: one: never here; two: not yet" in caplog.text)
        await asyncio.sleep(0.05)
        assert caplog.text.count("nothing can read") == 1
        assert chosen.current is None
        two.answer = YES
        await until(lambda: chosen.current is two)


async def test_samples_come_in_order_of_time() -> None:
    one, two = Told("one", YES), Told("two", YES)
    for at_s, reader in ((2.0, one), (1.0, two), (3.0, two)):
        reader.waiting.put(TimedSample(at_s, Sample(), reader.name))
    taken = Readers([one, two], REAL).take()
    assert [(timed.at_s, timed.reader) for timed in taken] == [(1.0, "two"), (2.0, "one"), (3.0, "two")]


class Deaf(Told):
    """A reader that loses the first cancellation, as asyncio.wait_for can before Python 3.12."""

    async def run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await super().run()
        await super().run()


async def test_a_reader_that_loses_its_cancellation_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "CANCEL_AGAIN_S", 0.01)
    deaf = Deaf("one", Probe("ok", ""))
    async with running(deaf) as chosen:
        await until(lambda: chosen.current is deaf and deaf.counts.starts)
    assert deaf.counts.starts == 2, "it went on, and was ended all the same"


async def test_sysfs_takes_over_from_tegrastats_when_its_driver_comes(tmp_path: Path) -> None:
    """The real ones: a slow boot, in which the power monitor's driver is late."""
    program = tmp_path / "tegrastats"
    program.write_text(
        f"#!{sys.executable} -S\nimport time\n"
        "while True: print('RAM 1/2MB CPU [3%@100] VDD_IN 7000mW/7000mW', flush=True); time.sleep(0.02)\n"
    )
    program.chmod(0o755)
    with laid_out("orin-nano-super-jp62", tmp_path):
        chip = tmp_path / "sys/class/hwmon/hwmon4"
        chip.rename(tmp_path / "late")
        config = parse_config(
            f"[agent]\ndevice = 'a'\n[reader]\nroot = '{tmp_path}'\n[tegrastats]\ncommand = ['{program}']",
            name="c",
        )
        chosen = Readers(readers_of(config, 0.02, REAL), REAL)
        task = asyncio.create_task(chosen.run())
        taken: list[TimedSample] = []

        def watts(reader: str) -> set[float]:
            taken.extend(chosen.take())
            return {one.sample.rails[0].now for one in taken if one.reader == reader}

        try:
            await until(lambda: watts("tegrastats"))
            (tmp_path / "late").rename(chip)
            await until(lambda: watts("sysfs"))
        finally:
            await ended(task)
    assert (watts("tegrastats"), watts("sysfs")) == ({7.0}, {5.251904})


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("auto", ["sysfs", "tegrastats"]),
        ("sysfs", ["sysfs"]),
        ("tegrastats", ["tegrastats"]),
        ("jtop", ["jtop"]),
    ],
)
def test_jtop_is_there_only_for_those_who_choose_it(kind: str, names: list[str]) -> None:
    config = parse_config(f"[agent]\ndevice = 'a'\n[reader]\nkind = '{kind}'", name="c")
    assert [reader.name for reader in readers_of(config, 1.0, REAL)] == names


def test_a_clock_of_1970_is_not_believed() -> None:
    assert not clock_is_set(Clock(lambda: 5.0, lambda: 12.0))
    assert clock_is_set(Clock(lambda: 5.0, lambda: 1_800_000_000.0))
    assert clock_is_set(Clock(lambda: 5.0, lambda: 0.0, Timebase(0, 0.0))), "a virtual one always is"


class Client:
    """jtop's client, as its documentation shows it; two readings, then its service is gone."""

    readings = 2

    def __init__(self, interval: float) -> None:
        self.left = self.readings
        self.cpu = {
            "total": {},
            "cpu": [{"online": True, "idle": 75.0, "freq": {"cur": 729600}}, {"online": False}],
        }
        self.memory = {
            "RAM": {"tot": 8_000_000, "used": 2_000_000},
            "SWAP": {"tot": 10, "used": 0},
            "EMC": {},
        }
        self.gpu = {
            "gpu": {"status": {"load": 12.5}, "freq": {"cur": 306000}},
            "odd": 5,
        }
        self.temperature = {
            "cpu": {"temp": 45.5, "online": True},
            "gpu": {"temp": -256, "online": False},
            "cv0": {"temp": -256},
        }
        # The rail that measures the input stands apart, as the total.
        self.power = {
            "rail": {"VDD_SOC": {"power": 1234}, "odd": {"power": None}},
            "tot": {"power": 4567, "name": "VDD_IN"},
        }
        self.fan = {"pwmfan": {"speed": [40.0], "rpm": [1234]}}

    def __enter__(self) -> "Client":  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(self, *_: object) -> None: ...

    def ok(self) -> bool:
        self.left -= 1
        return self.left >= 0


def test_what_jtop_shows_in_our_units() -> None:
    assert sample_of(Client(1.0)) == Sample(
        ram=Memory(2_048_000_000, 8_192_000_000),
        swap=Memory(0, 10_240),
        cores=(Core(0.25, 729_600_000), None),
        gpus={"GR3D": Clocked(use=0.125, hertz=(306_000_000,))},
        temperatures={"cpu": Temperature(45.5), "gpu": None, "cv0": None},
        rails=(Rail("VDD_IN", 4.567), Rail("VDD_SOC", 1.234)),
        fan=Fan(duty=0.4, rpm=1234),
    )


def test_what_jtop_does_not_show_is_missing() -> None:
    empty = ModuleType("nothing")
    for name in ("cpu", "memory", "gpu", "temperature", "power", "fan"):
        setattr(empty, name, None)
    assert sample_of(empty) == Sample()


async def test_jtop_follows_its_service_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("jtop")
    module.jtop, module.JtopException = Client, type("JtopException", (Exception,), {})
    monkeypatch.setitem(sys.modules, "jtop", module)
    reader = JtopReader(1.0, REAL)
    with pytest.raises(ReaderLostError, match="stopped answering"):
        await reader.run()
    assert [timed.sample.rails[0].now for timed in reader.take()] == [4.567, 4.567]


async def test_a_jtop_that_cannot_be_reached_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("jtop")
    module.JtopException = type("JtopException", (Exception,), {})

    def refuse(interval: float) -> None:
        raise module.JtopException("The jtop.service is not active")

    module.jtop = refuse
    monkeypatch.setitem(sys.modules, "jtop", module)
    with pytest.raises(ReaderLostError, match="jtop.service is not active"):
        await JtopReader(1.0, REAL).run()


async def test_a_jtop_that_breaks_is_lost_and_not_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("jtop")

    class Broken(Client):
        def ok(self) -> bool:
            raise EOFError

    module.jtop = Broken
    monkeypatch.setitem(sys.modules, "jtop", module)
    with pytest.raises(ReaderLostError, match="EOFError"):
        await JtopReader(1.0, REAL).run()


def test_jtop_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader = JtopReader(1.0, REAL)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert reader.probe().answer == "later"
    assert "pip install 'tidewatt-agent[jtop]'" in reader.probe().why
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(jtop, "SOCKET", f"{tmp_path}/none".lstrip("/"))
    assert "start jtop.service" in reader.probe().why
