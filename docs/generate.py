"""Documents made from the product itself: boards.md from the recordings, metrics.md from the collectors,
reference.md from a simulation, cli.md and the manual from the command lines, asyncapi.json and schemas/ from
the wire, Grafana's pages from dashboards.py.

python docs/generate.py          write them
python docs/generate.py --check  exit code 1 if one of them is not what it would write
python docs/generate.py --man    write every page of the manual to build/man
"""

import asyncio
import functools
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
from commands import programs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dashboards import DASHBOARDS
from grafana import dashboard_json
from manual import page as page_of_commands
from manual import pages
from prometheus_client import Metric
from sizing import page as sizing_page

from tidewatt_agent.config import Board as AgentBoard
from tidewatt_agent.config import Config as AgentConfig
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.host import Host
from tidewatt_agent.learning import Learning
from tidewatt_agent.link import Link
from tidewatt_agent.metrics import AgentMetrics
from tidewatt_agent.models import Models
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.policies import Policies
from tidewatt_agent.power import TotalPower, total_watts
from tidewatt_agent.readers import Readers
from tidewatt_agent.recognise import BoardIdentity, recognise
from tidewatt_agent.recording import Recording, lay_out, load
from tidewatt_agent.situation import Seen
from tidewatt_agent.sleeping.door import SleepDoor
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sleeping.verdict import Identity
from tidewatt_agent.sleeping.verdict import Verdict as SleepVerdict
from tidewatt_agent.spool import Spool
from tidewatt_agent.sysfs.rails import read_rails
from tidewatt_agent.sysfs.reader import Nodes, find_nodes
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_coordinator.alerts.episodes import Standing
from tidewatt_coordinator.alerts.watch import Judged
from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Foreseen
from tidewatt_coordinator.budgets.standing import Standing as BudgetStanding
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.rounds import Planner
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.hinting.topic import PlanTopics
from tidewatt_coordinator.levers.driver import Recommendation, Saving
from tidewatt_coordinator.levers.settings import Levers, PowerPolicy
from tidewatt_coordinator.observing.spending import Spent
from tidewatt_coordinator.pki.metrics import DoorMetrics
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.simulate.bundled import means, reference
from tidewatt_coordinator.simulate.page import page
from tidewatt_coordinator.simulate.reference import told
from tidewatt_coordinator.steering.pools import PoolPrice
from tidewatt_coordinator.steering.settings import Dispatch, Pool
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_governor.boards import BoardProfile, load_profile, profile_for
from tidewatt_governor.sample import Clocked, Core, Fan, Rail, Sample, Temperature
from tidewatt_link.connection import Connection
from tidewatt_link.connection import Connection as LinkConnection
from tidewatt_link.connection import Connection as RouterConnection
from tidewatt_router.applier import Applier
from tidewatt_router.config import Config as RouterConfig
from tidewatt_router.config import Haproxy
from tidewatt_router.keeping import TableFile
from tidewatt_router.link import Link as RouterLink
from tidewatt_router.metrics import RouterMetrics
from tidewatt_router.proxies.haproxy import HaproxySocket
from tidewatt_router.routes import Backend, Route
from tidewatt_router.tables import Tables
from tidewatt_router.watch import Watch
from tidewatt_wire.asyncapi import MESSAGES, Document, asyncapi, json_schema
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import (
    Birth,
    CoordinatorState,
    Counters,
    DispatchTable,
    Gauges,
    Message,
    PolicySet,
    Report,
    Rollout,
    Verdict,
)
from tidewatt_wire.signing import DISPATCH_TYPE, seal, signer

ROOT = Path(__file__).parents[1]
# What releases are made from.
sys.path.insert(0, str(ROOT / "packaging"))
from release.notices import page as notices  # noqa: E402
from release.tree import version  # noqa: E402

RECORDINGS = ROOT / "tests/boards"
#: Pages that the Debian packages bring.
SHIPPED_PAGES = ("tidewatt-agent.1", "tidewatt-actuator.8", "tidewatt-router.1")
MADE = "<!-- Made by docs/generate.py (`make docs`); not to be edited by hand. -->"

BOARDS_HEAD = """# Boards

Supported means: we hold a recording of it ([the format](../tests/boards/README.md)), and a test brings
the whole agent up on it. **Composed** trees were written from public facts, not recorded on a board of
ours; their tegrastats lines are real captures that users published. **Captured** ones were recorded by
`tidewatt-agent capture` on the board itself, and are what we want more of.

Total is where the board's power comes from: `measured` at its input, or the `sum` of its rails, which
leaves out the carrier board. Read-outs work on all of them; to run the agent takes Python 3.10, which
JetPack 6 and 7 bring.
"""

METRICS_HEAD = """# Metrics

Base units, one prefix; `_total` only on counters, ratios 0 to 1. A quantity that was not measured is
an absent series, never a zero. Every page also carries Prometheus' own `process_*` families.
"""

#: A sample with everything that any board shows, so that every family has a series.
EVERYTHING = Sample(
    cores=(Core(0.5, 1_000_000_000),),
    emc=Clocked(use=0.1, hertz=(2_133_000_000,)),
    gpus={"GR3D": Clocked(use=0.2, hertz=(306_000_000,))},
    temperatures={"tj": Temperature(45.0)},
    rails=(Rail("VDD_IN", 5.0),),
    caps={"EMC": 2_133_000_000},
    fan=Fan(duty=0.4, rpm=1800),
    over_current={"oc1": 0},
)
REPORT = Report(
    device="device",
    session="session",
    epoch="epoch",
    seq=1,
    at_ms=0,
    counters=Counters(mode_ms={"15W": 1}),
    gauges=Gauges(point="15W", watts=5.0, requests_rps=10.0, p95_ms=20.0, temperature_c=45.0),
    verdict=Verdict(point="15W", rule="cheapest", reason="", outcome="unchanged"),
)


def main() -> None:
    """Write the documents, or say which of them are stale."""
    logging.disable()  # what is refused here is refused on purpose
    typed = programs()
    manual = dict(pages(typed, ROOT / "packaging/deb/changelog", version()))
    if "--man" in sys.argv:
        _write_manual(manual)
        return
    makers: dict[str, Callable[[], str]] = {"docs/boards.md": boards, "docs/metrics.md": metrics}
    makers["docs/reference.md"] = reference_page
    makers["docs/sizing.md"] = functools.partial(sizing_page, MADE)
    makers["docs/NOTICE"] = notices
    makers["docs/cli.md"] = lambda: page_of_commands(MADE, typed)
    for name in SHIPPED_PAGES:
        makers[f"packaging/deb/{name}"] = functools.partial(manual.__getitem__, name)
    makers["docs/asyncapi.json"] = lambda: _json(asyncapi())
    for name, kind in MESSAGES.items():
        makers[f"docs/schemas/{name}.json"] = functools.partial(_schema, kind)
    for board in DASHBOARDS:
        makers[f"packaging/grafana/dashboards/{board.uid}.json"] = functools.partial(dashboard_json, board)
    stale = []
    for name, make in makers.items():
        text, file = make(), ROOT / name
        if "--check" not in sys.argv:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != text:
            stale.append(name)
    for name in stale:
        print(f"{name} is stale: make docs", file=sys.stderr)  # noqa: T201 - a command
    sys.exit(1 if stale else 0)


def _write_manual(manual: Mapping[str, str]) -> None:
    folder = ROOT / "build/man"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in manual.items():
        (folder / name).write_text(text, "utf-8")


def _schema(kind: type[Message]) -> str:
    return _json(json_schema(kind))


def _json(document: Document) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def boards() -> str:
    """The table of recorded boards, by family and release."""
    rows = ["| board | SoC | JetPack | L4T | total | rails | sensors | tegrastats lines | tree |"]
    rows.append("|" + "---|" * 9)
    rows += [_board_row(folder.name, load(folder)) for folder in _folders()]
    return f"{MADE}\n{BOARDS_HEAD}\n" + "\n".join(rows) + "\n\n" + _profiles() + "\n"


def _board_row(name: str, recording: Recording) -> str:
    with tempfile.TemporaryDirectory() as root:
        lay_out(recording.tree, Path(root))
        tree = Tree(root)
        nodes, board = find_nodes(tree), recognise(tree)
        total = total_watts(read_rails(tree, nodes.rails))
    about = recording.about
    cells = (
        f"[{about.title}](../tests/boards/{name}/board.toml)",
        board.soc or "",
        about.jetpack,
        about.l4t,
        total.provenance,
        ", ".join(channel.name for channel in nodes.rails),
        _sensors(nodes),
        str(len(recording.tegrastats)),
        about.origin,
    )
    return f"| {' | '.join(cells)} |"


def _sensors(nodes: Nodes) -> str:
    parts = [f"{len(nodes.zones)} zones", f"{nodes.cores} cores"]
    parts += ["GPU load" if nodes.gpu.load else "GPU clock"] if nodes.gpu else []
    parts += ["EMC cap"] if nodes.emc else []
    parts += ["fan"] if nodes.fan else []
    parts += ["over-current"] if nodes.over_current else []
    return ", ".join(parts)


def _profiles() -> str:
    known = []
    for folder in _folders():
        with tempfile.TemporaryDirectory() as root:
            recording = load(folder)
            lay_out(recording.tree, Path(root))
            if profile := profile_for(recognise(Tree(root)).compatible):
                known.append(f"{recording.about.title} (`{profile.name}`)")
    return f"Operating points come with the product for: {', '.join(known)}. Others are only measured."


def _folders() -> list[Path]:
    return sorted(path for path in RECORDINGS.iterdir() if path.is_dir())


def metrics() -> str:
    """The tables of metric families: the agent's, the coordinator's, the router's."""
    return "\n".join(
        [
            MADE,
            METRICS_HEAD,
            "## The agent",
            "",
            *_table(_agent_families()),
            "",
            "## The coordinator",
            "",
            *_table(_coordinator_families()),
            "",
            "## The router",
            "",
            *_table(_router_families()),
            "",
        ]
    )


def reference_page() -> str:
    """The reference service's two months, simulated."""
    told_of = reference()
    story = told(told_of, means(load_book(), told_of.date), seed=13)
    return f"{MADE}\n{page(story)}"


def _table(families: Iterator[Metric]) -> Iterator[str]:
    yield "| name | type | labels | what |"
    yield "|---|---|---|---|"
    for family in sorted(families, key=lambda one: one.name):
        labels = sorted({label for sample in family.samples for label in sample.labels})
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        names = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{family.name}{suffix}` | {kind} | {names} | {family.documentation} |"


def _agent_families() -> Iterator[Metric]:
    clock = Clock(lambda: 0.0, lambda: 0.0)
    reader = TegrastatsChild(["tegrastats"], 1.0, clock)
    outbox = Outbox(Spool(Path("spool.db"), "fleet", "device", 1))
    link = Link(LinkConnection("mqtt://broker"), "fleet", _birth, _take, outbox=outbox)
    link.coordinators.take(encode(CoordinatorState(fleet="fleet", session="s", at_ms=0, state="online")))
    profile = load_profile("orin-nano-super")
    policies = _policies()
    foresight = Foresight("shipped", "UTC", "")
    foresight.start()
    models = Models("fleet", None, policies, foresight)
    shown = AgentMetrics(
        "0", profile, BoardIdentity(), Readers([reader], clock), link, Host("/"), _learned(profile),
        foresight, policies, models,
    )  # fmt: skip
    config = AgentConfig(board=AgentBoard(actuator_socket="a.sock"))
    hints = Hints("fleet", "device", list)
    shown.sleeper = Sleeper(config, clock, SleepDoor(""), link, hints, lambda _s, _w: None, lambda: True)
    shown.sleeper.naps["woke"] = 1
    shown.plans = PlanHints("fleet", "device", list, clock)
    shown.sleeper.verdict = SleepVerdict(
        identity=Identity(kernel="", jetpack="", application=""), at_ms=0, passed=True
    )
    shown.show(REPORT, Seen(sample=EVERYTHING, power=TotalPower(5.0, "measured"), over_current={"oc1": 0.0}))
    yield from shown.collect()


def _policies() -> Policies:
    """What has accepted a set with a rollout and an end, and then refused one."""
    key = signer(Ed25519PrivateKey.generate())
    policies = Policies("fleet", "device", {}, [key.trusted])
    rollout = Rollout(id="rollout", rules=[], waves=[])
    held = PolicySet(fleet="fleet", revision=1, issued_at_ms=0, rules=[], not_after_ms=1000, rollout=rollout)
    for envelope in (seal(encode(held), [key]), b""):
        asyncio.run(policies.offer(envelope, 0))
    return policies


async def _take(_payload: bytes) -> None:
    """Take nothing."""


def _learned(profile: BoardProfile) -> Learning:
    learning = Learning(profile)
    for minutes in range(20):
        learning.note(Counters(energy_mj=minutes * 240_000, mode_ms={"25W": minutes * 60_000}))
    return learning


def _judged() -> Judged:
    """A budget with an outlook, and an alert."""
    one = Decimal(1)
    budget = BudgetStanding(
        budget=Budget(name="cloud", amount=one),
        month=date(2026, 11, 1),
        spent=one,
        missing_days=0,
        foreseen=Foreseen(one, one, one),
        thresholds=(),
    )
    alert = Standing(name="a", episode=1, kind="budget", severity="warning", summary="", since_ms=0)
    return Judged([budget], [alert])


def _proposal() -> Proposal:
    one = Decimal(1)
    told = Recommendation(
        driver="driver",
        target="",
        service="",
        what="",
        before={},
        after={},
        saving=Saving(low=one, middle=one, high=one),
        disruption=0.0,
        risk="low",
        evidence=[],
    )
    return Proposal(id="p", recommendation=told, made_ms=0)


def _birth() -> Birth:
    return Birth(
        device="device",
        session="s",
        epoch="epoch",
        at_ms=0,
        version="0",
        board="board",
        control="observe",
        points=load_profile("orin-nano-super").points,
    )


def _coordinator_families() -> Iterator[Metric]:
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            ledger=LedgerConfig(url=f"sqlite:///{folder}/l.db"),
            clock=Timebase(0, 0.0, 1e-9),
            levers=Levers(power_policy=PowerPolicy(enabled=True)),
        )
        coordinator = Coordinator(config, Connection("mqtt://broker"), None)
        try:
            coordinator.fleet.born(_birth(), 0)
            coordinator.fleet.reported(REPORT, 1)
            coordinator.ingest.messages["report"] += 1
            coordinator.ingest.refused["invalid"] += 1
            coordinator.ledger.take([REPORT])
            traffic, money, alarms = coordinator.traffic, coordinator.money, coordinator.alarms
            traffic.steering.said(traffic.steering.make())
            traffic.interruptions.events["interruption"] += 1
            traffic.interruptions.warned_s = traffic.interruptions.followed_s = 0.0
            traffic.plans = _plans(coordinator)
            coordinator.publisher.policy.displaced["cleared"] += 1
            alarms.costs.judged = _judged()
            amounts = {("AmazonEC2", "USD"): Decimal(1)}
            money.spending.spent = Spent(date(2026, 11, 1), amounts, amounts)
            asyncio.run(_asked(coordinator))
            money.levers.store.make(_proposal(), "")
            money.levers.tick()
            yield from (one for one in coordinator.registry.collect() if one.name.startswith("tidewatt_http"))
            yield from coordinator.metrics.collect()
            for wing in coordinator.wings:
                for collector in wing.collectors():
                    yield from (one for one in collector.collect() if one.name.startswith("tidewatt"))
            yield from DoorMetrics({"enrolled": 1}).collect()
        finally:
            coordinator.ledger.close()


async def _asked(coordinator: Coordinator) -> None:
    """One request, so that there is something to count."""
    transport = httpx.ASGITransport(coordinator.web)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        await client.get("/healthz")


def _plans(coordinator: Coordinator) -> PlanTopics:
    """A plan of that one device, with a pool of nodes."""
    pool = Pool(name="spot", kind="spot", capacity_rps=100.0, node_rps=100.0)
    power = Power(0.15, "USD", {"spot": PoolPrice(1e-6, 0.0, "")})
    planner = Planner(
        Planning(mode="observe"), Dispatch(pools=[pool]), coordinator.fleet, coordinator.engine.current,
        power, {}, lambda: None,
    )  # fmt: skip
    for minute in range(2):
        planner.make(minute * 60_000)
    book = PlanBook(coordinator.ledger.engine, "fleet")
    return PlanTopics(planner, book, coordinator.clock, lambda: False, list, "fleet")


def _router_families() -> Iterator[Metric]:
    """Of one that follows a table and has refused another."""
    key, clock = signer(Ed25519PrivateKey.generate()), Clock(lambda: 0.0, lambda: 0.0)
    config = RouterConfig(backend=[Backend(name="backend")], route=[Route(name="route")])
    tables = Tables("fleet", lambda: [key.trusted], TableFile(None))
    table = DispatchTable(fleet="fleet", epoch=1, issued_at_ms=0, expires_at_ms=1000, weights={"backend": 1})
    for envelope in (seal(encode(table), [key], DISPATCH_TYPE), b""):
        tables.offer(envelope, 0)
    applier = Applier(HaproxySocket(config, Haproxy(socket="")), clock.monotonic_s, 1.0)
    watch = Watch(config, tables, [applier], clock)
    watch.look()
    applier.applied = watch.wanted
    link = RouterLink(RouterConnection("mqtt://broker"), "fleet", "router", lambda _table: None)
    yield from RouterMetrics("0", tables, [applier], link, watch, clock.now_ms).collect()


if __name__ == "__main__":
    main()
