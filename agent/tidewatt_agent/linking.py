"""The agent's link, made of what it says of itself and who takes what comes."""

import socket
import uuid
from collections.abc import Callable, Sequence

import msgspec

from tidewatt_agent.body import Body
from tidewatt_agent.config import Config
from tidewatt_agent.link import Link
from tidewatt_agent.mind import Mind
from tidewatt_agent.reached import reached_at
from tidewatt_agent.setup import capabilities_of, outbox_of
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sleeping.word import Words
from tidewatt_agent.version import VERSION
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Birth


def link_of(config: Config, clock: Clock, body: Body, mind: Mind) -> Link | None:
    """The link to the broker that is named; None where none is."""
    if not config.link.broker:
        return None

    async def offered(envelope: bytes) -> None:
        await mind.policies.offer(envelope, clock.now_ms())

    return Link(
        Connection(config.link.broker, config.link, setting="link.broker"),
        config.agent.fleet,
        lambda: birth(config, clock, body, mind),
        offered,
        outbox_of(config),
        mind.policies.acks,
        mind.models.take,
        config.link.spread_s,
        mind.signals.take,
        mind.hints.take,
        mind.plans.take,
        mind.wakes.take,
        Words(config.link).sealed,
    )


def birth(config: Config, clock: Clock, body: Body, mind: Mind) -> Birth:
    """What the agent says of itself at every connection.

    A session is one connection: the will of the one that was lost must not bury the next.
    """
    return Birth(
        device=body.identity.device,
        session=uuid.uuid4().hex,
        epoch=body.identity.epoch,
        at_ms=clock.now_ms(),
        version=VERSION,
        board=body.profile.name if body.profile else "unknown",
        control=config.agent.control,
        labels=config.labels,
        points=mind.learning.points,
        vendor_default=body.profile.vendor_default if body.profile else None,
        capabilities=capabilities_of(config, mind.learning, body.hands, mind.foresight),
        metrics=reached_at(config.metrics, socket.gethostname()) or msgspec.UNSET,
    )


def follow(link: Link, mind: Mind, sleeper: Sleeper | None) -> Callable[[Sequence[str]], None]:
    """Listen to topics that come and go beside those that stay."""
    fixed = [*mind.plans.topics, mind.wakes.topic, *(sleeper.topics if sleeper else [])]
    return lambda topics: link.follow([*topics, *mind.signals.topics, *fixed])
