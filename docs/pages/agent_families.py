"""The agent's metric families, from a daemon's parts that have been through everything once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import Metric

from pages.reported import EVERYTHING, REPORT, birth
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
from tidewatt_agent.power import TotalPower
from tidewatt_agent.readers import Readers
from tidewatt_agent.recognise import BoardIdentity
from tidewatt_agent.situation import Seen
from tidewatt_agent.sleeping.door import SleepDoor
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sleeping.verdict import Identity
from tidewatt_agent.sleeping.verdict import Verdict as SleepVerdict
from tidewatt_agent.spool import Spool
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_governor.boards import BoardProfile, load_profile
from tidewatt_link.connection import Connection as LinkConnection
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import CoordinatorState, Counters, PolicySet, Rollout
from tidewatt_wire.signing import seal, signer


def agent_families() -> Iterator[Metric]:
    """Every family that an agent shows."""
    clock = Clock(lambda: 0.0, lambda: 0.0)
    reader = TegrastatsChild(["tegrastats"], 1.0, clock)
    outbox = Outbox(Spool(Path("spool.db"), "fleet", "device", 1))
    link = Link(LinkConnection("mqtt://broker"), "fleet", birth, _take, outbox=outbox)
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
