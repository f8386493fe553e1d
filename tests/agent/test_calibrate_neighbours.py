"""Who else has a say while a board is calibrated: the fleet's policy, and an agent."""

import asyncio
import socket
import subprocess
from pathlib import Path

import pytest
from tests.sealing import FOREIGN_KEY, PUBLIC, sealed_rules
from tests.world import Mosquitto

from tidewatt_agent.calibrate import neighbours
from tidewatt_agent.calibrate.neighbours import fleet_policy, who_governs
from tidewatt_agent.config import Agent, Board, Config, Lease, Link, Metrics, State
from tidewatt_agent.hands import NoReboots, Outcome, Stance
from tidewatt_wire.messages import Policy, Rule
from tidewatt_wire.topics import FleetTopic


def config(
    broker: str = "", control: str = "enforce", lease: str = "", keys: list[str] | None = None
) -> Config:
    return Config(
        agent=Agent(fleet="f", device="d", control=control),  # type: ignore[arg-type]
        board=Board(actuator_socket="/actuator"),
        link=Link(broker=broker, policy_keys=keys or [PUBLIC]),
        state=State(folder=""),
        lease=Lease(socket=lease),
        metrics=Metrics(listen=""),
    )


async def test_without_a_broker_the_built_in_policy_holds() -> None:
    assert await fleet_policy(config()) == Policy()


@pytest.mark.parametrize("policy", [None, Policy(allowed_points=["15W"], slo_p95_ms=40.0)])
async def test_the_fleets_policy_is_asked_for(
    mosquitto: Mosquitto, policy: Policy | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if policy:
        payload = sealed_rules(1, [Rule(policy=policy)])
        await publish(mosquitto, payload)
    else:
        monkeypatch.setattr(neighbours, "ANSWER_S", 1.0)  # there is none to wait for
    assert await fleet_policy(config(mosquitto.url)) == (policy or Policy())


async def test_a_policy_set_that_is_refused_leaves_unknown_what_is_allowed(mosquitto: Mosquitto) -> None:
    await publish(mosquitto, sealed_rules(1))
    with pytest.raises(OSError, match=r"policy set is refused \(unknown_key\)"):
        await fleet_policy(config(mosquitto.url, keys=[FOREIGN_KEY.trusted.public]))


async def publish(mosquitto: Mosquitto, payload: bytes) -> None:
    topic = str(FleetTopic("f", "policy"))
    command = ["mosquitto_pub", "-p", str(mosquitto.port), "-q", "1", "-r", "-t", topic, "-s"]
    await asyncio.to_thread(subprocess.run, command, input=payload, check=True)


async def test_a_broker_that_is_away_is_one_sentence() -> None:
    with pytest.raises(OSError, match="without it the policy isn't known, and so neither which modes"):
        await fleet_policy(config("mqtt://127.0.0.1:1"))


class Standing(NoReboots):
    """Hands that say where they stand."""

    acts = True

    def __init__(self, stance: Stance) -> None:
        self.stance = stance

    async def look(self) -> Stance:
        return self.stance

    async def go_to(self, point: str) -> Outcome:
        pytest.fail("a look at the neighbours moves nothing")

    async def restore(self) -> None: ...

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("stance", "sentence"),
    [
        (Stance("25W", changed=False), ""),
        (Stance("25W", changed=True), "somebody holds a change of this board's mode"),
        (Stance(None, seen=False), "no actuator answers at /actuator"),
    ],
)
async def test_what_the_actuator_tells(stance: Stance, sentence: str) -> None:
    assert (await who_governs(config(), Standing(stance))).startswith(sentence)
    assert bool(await who_governs(config(), Standing(stance))) == bool(sentence)


async def test_an_agent_is_seen_by_its_socket(tmp_path: Path) -> None:
    path, free = str(tmp_path / "agent.sock"), Standing(Stance("25W", changed=False))
    assert await who_governs(config(lease=path), free) == ""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        agent.listen()
        assert (await who_governs(config(lease=path), free)).startswith("the agent governs this board;")
        observing = config(control="observe", lease=path)
        assert await who_governs(observing, free) == "", "an agent that only observes is in nobody's way"
