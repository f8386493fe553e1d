"""What the page and `status` say of broker, coordinator and waiting reports."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from tests.secured import Pki
from tests.world import ignore

from tidewatt_agent.config import parse_config
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.hands import FoldedHands, SocketHands
from tidewatt_agent.learning import Learning
from tidewatt_agent.link import Link
from tidewatt_agent.linkmetrics import link_families
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.setup import capabilities_of, outbox_of
from tidewatt_agent.spool import Spool
from tidewatt_agent.status import Status, parse, sentences, summarise
from tidewatt_governor.boards import BoardProfile
from tidewatt_link.connection import Connection
from tidewatt_wire.brokers import Credentials
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth, CoordinatorState, Counters, Gauges, Report

BIRTH = Birth(device="d", session="s", epoch="e", at_ms=1, version="0", board="b", control="observe")
REPORT = Report(device="d", session="s", epoch="e", seq=1, at_ms=1, counters=Counters(), gauges=Gauges())


def link_of(outbox: Outbox) -> Link:
    return Link(Connection("mqtt://127.0.0.1:1"), "f", lambda: BIRTH, ignore, outbox)


def status(link: Link) -> Status:
    class Page(Collector):
        collect = staticmethod(lambda: link_families(link))

    registry = CollectorRegistry()
    registry.register(Page())
    return summarise(parse(generate_latest(registry).decode()), "observe")


def state(said: str) -> bytes:
    return encode(CoordinatorState(fleet="f", session="c", at_ms=0, state=said))  # type: ignore[arg-type]


def test_whether_a_coordinator_is_there() -> None:
    link = link_of(Outbox())
    assert status(link).coordinator is None
    assert "coordinator  not known" in sentences(status(link))
    link.coordinators.take(state("online"))
    assert "coordinator  online" in sentences(status(link))
    link.coordinators.take(state("lost"))
    assert status(link).coordinator is False
    assert "coordinator  away" in sentences(status(link))


async def test_what_waits_and_whether_the_spool_works(tmp_path: Path) -> None:
    link = link_of(Outbox(Spool(tmp_path / "gone" / "spool.db", "f", "d", 10**7)))
    link.send(REPORT)
    assert "reports      1 wait to be sent" in sentences(status(link))
    await link.outbox.settle(at_once=True)
    found = status(link)
    assert (found.waiting, found.spool_failing) == (1, True)
    assert any(line.endswith("they wait in memory: the log says why") for line in sentences(found))
    (tmp_path / "gone").mkdir()
    await link.outbox.close()
    assert not status(link).spool_failing
    assert "reports      1 wait to be sent" in sentences(status(link))


def test_without_a_broker_there_is_nothing_to_say() -> None:
    assert "reports      kept to itself: no broker is named" in sentences(summarise({}, "observe"))


def test_a_birth_says_what_the_device_can_do(profile: BoardProfile, tmp_path: Path) -> None:
    bare = parse_config("[agent]\ndevice = 'd'\n[state]\nfolder = ''", name="c")
    learning = Learning(profile)
    assert capabilities_of(bare, learning, FoldedHands(None), Foresight("", "UTC", "")) == []
    assert not outbox_of(bare).spools, "without a state folder reports wait in memory"
    full = parse_config(f"[agent]\ndevice = 'd'\n[state]\nfolder = '{tmp_path}'", name="c")
    hands = SocketHands("/nowhere", learning.points)
    able = capabilities_of(full, learning, hands, Foresight("shipped", "UTC", ""))
    assert "spool" in able
    assert "forecast" in able
    assert ("caps" in able) == any(point.trims for point in profile.points)
    assert outbox_of(full).spools


def test_when_the_certificate_ends(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    for shown, days in ((pki.shown("d"), 7), (Credentials(certificate=str(tmp_path / "none.pem")), None)):
        link = Link(Connection("mqtts://127.0.0.1:1", shown), "f", lambda: BIRTH, ignore)
        family = next(one for one in link_families(link) if one.name.endswith("certificate_expires_seconds"))
        found = [sample.value for sample in family.samples]
        assert found == ([] if days is None else [pytest.approx(days * 86_400, abs=120)])
    pki.ledger.close()
