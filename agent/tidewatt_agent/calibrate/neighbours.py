"""Who else has a say on this board: an agent that governs it, and the fleet's policy."""

import asyncio
import time

import aiomqtt

from tidewatt_agent.config import POLICY_FILE, Config, kept_in
from tidewatt_agent.hands import Hands
from tidewatt_agent.hold import Agent
from tidewatt_agent.policies import Policies
from tidewatt_agent.policyfile import PolicyFile, configured_keys
from tidewatt_agent.status import AgentSilentError, fetch
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Policy
from tidewatt_wire.topics import FleetTopic

#: A retained policy set comes at once, or there is none.
ANSWER_S = 3.0
STOP_IT = "stop it first: systemctl stop tidewatt-agent"


async def who_governs(config: Config, hands: Hands) -> str:
    """Why the board is not ours to measure now; empty when it is."""
    if config.agent.control == "enforce" and await asyncio.to_thread(_agent_runs, config):
        return f"the agent governs this board; {STOP_IT}"
    if not hands.acts:
        return ""
    stance = await hands.look()
    if not stance.seen:
        return f"no actuator answers at {config.board.actuator_socket}; see `tidewatt-agent doctor`"
    if stance.changed:
        return f"somebody holds a change of this board's mode, an agent perhaps; {STOP_IT}"
    return ""


def _agent_runs(config: Config) -> bool:
    if config.metrics.listen:
        try:
            return "tidewatt_agent_info" in fetch(config.metrics.listen)
        except AgentSilentError:
            pass
    if config.lease.socket:
        try:
            Agent(config.lease.socket).close()
        except OSError:
            return False
        return True
    return False


async def fleet_policy(config: Config) -> Policy:
    """The policy that the fleet holds this device to; the built-in one without a broker, or a policy set.

    Raises OSError where the broker can't be asked, or its policy set is refused: what is allowed isn't known
    then.
    """
    kept = PolicyFile(kept_in(config, POLICY_FILE), writes=False)
    keys = configured_keys(config.link)
    policies = Policies(config.agent.fleet, config.device, config.labels, keys, kept)
    policies.load()
    now_ms = Clock(time.monotonic, time.time, config.clock).now_ms()
    if not config.link.broker:
        return policies.at(now_ms)
    broker = Connection(config.link.broker, config.link, setting="link.broker")
    try:
        async with broker.client(timeout=ANSWER_S) as client:
            await client.subscribe(str(FleetTopic(config.agent.fleet, "policy")), qos=1)
            hearing = asyncio.create_task(_hear(client, policies, now_ms))
            await asyncio.wait({hearing}, timeout=ANSWER_S)
            await ended(hearing)
    except aiomqtt.MqttError as error:
        raise OSError(
            f"link.broker: {error}; without it the policy isn't known, and so neither "
            "which modes may be set; --this-mode-only needs none"
        ) from error
    if refusal := policies.refusal:
        raise OSError(f"the fleet's policy set is refused ({refusal.code}): {refusal.reason}")
    return policies.at(now_ms)


async def _hear(client: aiomqtt.Client, policies: Policies, now_ms: int) -> None:
    async for message in client.messages:
        await policies.offer(bytes(message.payload), now_ms)
        return
