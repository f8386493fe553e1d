"""Who else has a say on this board: an agent that governs it, and the fleet's policy."""

import asyncio

import aiomqtt

from tidewatt_agent.config import Config
from tidewatt_agent.connection import Connection
from tidewatt_agent.hands import Hands
from tidewatt_agent.hold import Agent
from tidewatt_agent.policies import Policies
from tidewatt_agent.status import AgentSilentError, fetch
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

    Raises OSError where the broker can't be asked: what is allowed isn't known then.
    """
    policies = Policies(config.agent.fleet, config.device, config.labels)
    if not config.link.broker:
        return policies.policy
    broker = Connection(config.link.broker, config.link, setting="link.broker")
    try:
        async with broker.client(timeout=ANSWER_S) as client:
            await client.subscribe(str(FleetTopic(config.agent.fleet, "policy")), qos=1)
            hearing = asyncio.create_task(_hear(client, policies))
            await asyncio.wait({hearing}, timeout=ANSWER_S)
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
    except aiomqtt.MqttError as error:
        raise OSError(
            f"link.broker: {error}; without it the policy isn't known, and so neither "
            "which modes may be set; --this-mode-only needs none"
        ) from error
    return policies.policy


async def _hear(client: aiomqtt.Client, policies: Policies) -> None:
    async for message in client.messages:
        policies.offer(bytes(message.payload), 0)
        return
