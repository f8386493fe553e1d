"""The fleet benchmark's own story with a few devices: nothing is lost in it, and nobody is stuck."""

import resource
from pathlib import Path

import pytest
from benchmarks.fleet import packets, site
from benchmarks.fleet.site import Parameters, running
from benchmarks.fleet.story import Story
from tests.conftest import mosquitto_program

DEVICES = 40


async def test_a_few_devices_go_through_all_of_it(tmp_path: Path) -> None:
    mosquitto_program()
    few = Parameters(
        devices=DEVICES, workers=2, report_s=1.0, spread_s=0.3, waves=(), steady_s=1.0, away_s=1.0
    )
    async with running(tmp_path, few) as here:
        figures = {one.name: one for one in await Story(here).tell()}
        known = here.known()
    assert [one.name for one in figures.values() if one.met is False] == []
    for what in ("devices whose ledger differs from their own sums", "energy lost", "devices not connected"):
        assert figures[f"after all: {what}"].met, what
    assert figures["push: publishes by the coordinator"].value == 1
    assert {(one.status, one.ack) for one in known} == {("online", "applied")}
    assert len(known) == DEVICES


def test_too_few_open_files_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1024, 4096))
    with pytest.raises(
        SystemExit, match=r"10500 open files are needed and 4096 are the limit .* DEVICES=3596"
    ):
        site.allow_files(10_500)


def test_packets_come_whole_however_they_are_cut() -> None:
    sent = packets.publish("a/b", b"x" * 300, 7, retain=True) + packets.acknowledge(9) + packets.PING
    reader = packets.Reader()
    got = [packet for byte in sent for packet in reader.take(bytes([byte]))]
    assert [packet.kind for packet in got] == [packets.PUBLISH, packets.PUBACK, 12]
    assert packets.said(got[0]) == packets.Said("a/b", b"x" * 300, 7)
    assert packets.answered(got[1]) == (9, 0)
