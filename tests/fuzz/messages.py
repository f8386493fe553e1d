"""What comes by MQTT: to the coordinator, to a device, to a router; unsigned, and signed all the same."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
from tests.certified import CA, ROOF_3, edwards, paper, signed
from tests.fuzz.target import Target
from tests.sealing import FLEETS_KEY, sealed_rules
from tests.world import HandClock

from tidewatt_agent.coordinators import Coordinators
from tidewatt_agent.link import Link
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.policies import Policies
from tidewatt_agent.signals import Signals
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.neighbours import Wakes
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.pki.devicetrust import DeviceTrust
from tidewatt_coordinator.pki.register import Register
from tidewatt_coordinator.sleepwords import SleepWords
from tidewatt_link.connection import Connection
from tidewatt_router.keeping import TableFile
from tidewatt_router.routes import Backend, Route
from tidewatt_router.splits import wanted
from tidewatt_router.tables import Tables
from tidewatt_wire.codec import Refused, decode, encode
from tidewatt_wire.messages import Birth, Message, PolicySet, Rule
from tidewatt_wire.signing import DISPATCH_TYPE, HINT_TYPE, PLAN_TYPE, WAKE_TYPE, seal
from tidewatt_wire.sleeping import SleepState
from tidewatt_wire.topics import EnergyTopic, WakeTopic, parse

GOLDEN = Path(__file__).parents[1] / "golden" / "v1.2"
NOW_MS = 1_763_700_000_000
BROKER = "mqtt://127.0.0.1:1"
#: A coordinator's time after which all that it took is merged and forgotten again.
ROUND = 200
KEYS = (FLEETS_KEY.trusted,)


def golden(*names: str) -> list[bytes]:
    """Messages that were once sent, as fleet f's and device d's."""
    return [(GOLDEN / f"{name}.json").read_bytes().strip() for name in names]


class _Office:
    """A coordinator's ears, new from time to time."""

    def __init__(self) -> None:
        self.ledger = Ledger("sqlite://", 60_000)
        self.ingest = Ingest(Connection(BROKER), "f", Fleet(60_000), self.ledger, lambda: NOW_MS)
        self.taken = 0


@cache
def _office() -> list[_Office]:
    return [_Office()]


def ingest(data: bytes) -> None:
    """A topic, a line's end, a payload: taken or counted, and what was taken can be merged and shown."""
    topic, _, payload = data.partition(b"\n")
    office = _office()[0]
    said = office.ingest
    before = said.messages.total() + said.refused.total()
    said.take(topic.decode("utf-8", "replace"), payload)
    assert said.messages.total() + said.refused.total() == before + 1
    office.taken += 1
    if office.taken % 20 == 0:
        said.intake.take(said._waiting)
        said._waiting = []
        for name in said._fleet.devices:
            said._fleet.status(name, NOW_MS)
        said._fleet.able(PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[Rule()]), NOW_MS)
        assert all(value >= 0 for total in office.ledger.totals() for value in total.values)
    if office.taken % ROUND == 0:
        office.ledger.close()
        _office()[0] = _Office()


def topic(data: bytes) -> None:
    """A topic is one of ours, and then written as it was read; or ValueError."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse(text)
    except ValueError:
        return
    assert str(found) == text


def _sealed(data: bytes, kind: str) -> list[bytes]:
    """As it came; and as it would come from somebody who has the key."""
    return [data, seal(data, [FLEETS_KEY], kind)]


def sleep_hint(data: bytes) -> None:
    """A hint that holds ends."""
    hints = Hints("f", "d", lambda: KEYS)
    for envelope in _sealed(data, HINT_TYPE):
        hints.take(envelope)
    if held := hints.at(NOW_MS):
        assert held.expires_at_ms > NOW_MS


@cache
def _words() -> SleepWords:
    with tempfile.NamedTemporaryFile() as file:
        file.write(CA.certificate_pem)
        file.flush()
        trust = DeviceTrust(file.name, "", Register(Ledger("sqlite://", 60_000).engine), lambda: NOW_MS)
        trust.read()
    return SleepWords(trust, unsigned=False)


@cache
def _signed_words() -> tuple[SleepState, ...]:
    """What roof-3 has signed in its life."""
    states = [decode(SleepState, payload) for payload in golden("sleep_state", "sleep_state_signed")]
    return tuple(msgspec.structs.replace(state, signed=msgspec.UNSET) for state in states)


def sleep_word(data: bytes) -> None:
    """Whatever comes, what is believed is what the board has signed."""
    try:
        found = _words().believed("roof-3", decode(SleepState, data))
    except Refused:
        return
    assert found in _signed_words()


def _sleep_words() -> list[bytes]:
    """Signed by the board, by another of its fleet, by nobody, by a stranger."""
    by = [ROOF_3, paper("roof-4", edwards(9), CA), paper("roof-3", edwards(10))]
    found = [encode(signed(state, one)) for state in _signed_words() for one in by]
    return [*found, *golden("sleep_state", "sleep_state_signed")]


def plan_hint(data: bytes) -> None:
    """A hint holds for an hour at the most."""
    clock = HandClock(NOW_MS)
    hints = PlanHints("f", "d", lambda: KEYS, clock)
    for envelope in _sealed(data, PLAN_TYPE):
        hints.take(envelope)
    hints.at(NOW_MS, clock.monotonic_s())
    assert hints.at(NOW_MS, clock.monotonic_s() + 3601.0) is None


def wake_order(data: bytes) -> None:
    """What is sent is a magic packet, three times at the most."""
    sent: list[bytes] = []
    wakes = Wakes(WakeTopic("f", "d"), HandClock(NOW_MS), lambda: KEYS, lambda: True, sent.append)
    for envelope in _sealed(data, WAKE_TYPE):
        wakes.take(envelope)
    assert len(sent) in (0, 3)
    assert all(len(packet) == 102 and packet.startswith(b"\xff" * 6) for packet in sent)


def policy_set(data: bytes) -> None:
    """A set is taken or answered with why not; what is in force can be told and kept."""

    async def offer() -> None:
        policies = Policies("f", "d", {"site": "x"}, KEYS)
        await policies.offer(sealed_rules(1), NOW_MS)
        for envelope in _sealed(data, "application/vnd.tidewatt.policy-set+json"):
            before = policies.revision
            await policies.offer(envelope, NOW_MS)
            assert policies.revision >= before >= 1
        msgspec.json.encode(policies.policy)

    asyncio.run(offer())


def dispatch_table(data: bytes) -> None:
    """A table is held or counted; splits of one that is held are whole."""
    tables = Tables("f", lambda: KEYS, TableFile(None))
    for envelope in _sealed(data, DISPATCH_TYPE):
        tables.offer(envelope, 0)
    for now_ms in (0, NOW_MS, 2**60):
        found = wanted([Route(name="r")], [Backend(name="a", address="127.0.0.1:1")], tables.table, now_ms)
        assert all(part >= 0 for one in found.splits for part in one.parts.values())


def said_to_all(data: bytes) -> None:
    """What is not signed: the worth of energy, and whether a coordinator is there."""
    signals, coordinators = Signals("f", lambda: "de"), Coordinators("f")
    signals.take(EnergyTopic("f", "de"), data)
    coordinators.take(data)
    worth = signals.at(NOW_MS)
    assert worth.price == worth.price
    for kind in Message.__subclasses__():
        try:
            message = decode(kind, data)
        except Refused:
            continue
        assert decode(kind, encode(message)) == message


def device(data: bytes) -> None:
    """A topic, a line's end, a payload from a broker that may be anybody's: no topic ends the link."""
    text, _, payload = data.partition(b"\n")

    async def nothing(*_: object) -> None:
        pass

    async def hear() -> None:
        link = Link(Connection(BROKER), "f", _birth, nothing, on_chunk=nothing)
        await link.take(text.decode("utf-8", "replace"), payload)

    asyncio.run(hear())


@cache
def _birth() -> Birth:
    return decode(Birth, golden("birth")[0])


def _on(kind: str, *names: str) -> list[bytes]:
    return [b"tidewatt/v1/f/" + kind.encode() + b"\n" + payload for payload in golden(*names)]


def _to_coordinator() -> list[bytes]:
    kinds = {"birth": ("birth", "birth_with_metrics"), "report": ("report",), "will": ("will",)}
    kinds |= {"ack": ("ack",), "sleep": ("sleep_state", "sleep_state_mac", "sleep_state_signed")}
    found = []
    for kind, names in kinds.items():
        for payload in golden(*names):
            device = msgspec.json.decode(payload)["device"].encode()
            found.append(b"tidewatt/v1/f/device/" + device + b"/" + kind.encode() + b"\n" + payload)
    return found


def _to_device() -> list[bytes]:
    chunk = b"tidewatt/v1/f/model/" + b"0" * 64 + b"/0\nchunk"
    return [*_on("policy", "policy_set"), *_on("state", "coordinator_state"), chunk,
            *_on("hint/d", "sleep_hint"), *_on("device/d/report", "report"),
            *_on("energy/de", "energy_signal")]  # fmt: skip


def _of_f(*names: str) -> Callable[[], Sequence[bytes]]:
    """Golden messages made out to fleet f and device d."""

    def seeds() -> list[bytes]:
        found = []
        for payload in golden(*names):
            document = msgspec.json.decode(payload)
            document |= {
                key: to for key, to in (("fleet", "f"), ("device", "d"), ("zone", "de")) if key in document
            }
            for key in ("expires_at_ms", "issued_at_ms"):
                if key in document:
                    document[key] = NOW_MS + (60_000 if key == "expires_at_ms" else 0)
            found.append(msgspec.json.encode(document))
        return found

    return seeds


TARGETS = {
    "ingest": Target(ingest, _to_coordinator, 300),
    "topic": Target(
        topic, lambda: [line.partition(b"\n")[0] for line in _to_coordinator() + _to_device()], 2000, 400
    ),
    "device": Target(device, _to_device, 300),
    "policy-set": Target(policy_set, _of_f("policy_set", "policy_set_in_rollout"), 150),
    "sleep-hint": Target(sleep_hint, _of_f("sleep_hint"), 400),
    "sleep-word": Target(sleep_word, _sleep_words, 400),
    "plan-hint": Target(plan_hint, _of_f("plan_hint", "plan_hint_enough"), 400),
    "wake-order": Target(wake_order, _of_f("wake_order"), 400),
    "dispatch-table": Target(dispatch_table, _of_f("dispatch_table", "dispatch_table_by_class"), 300),
    "said-to-all": Target(said_to_all, _of_f("energy_signal", "coordinator_state", "report", "birth"), 200),
}
