"""Spot interruptions: from what EventBridge says, over a real SQS server, to a table without the pool."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiomqtt
import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.costing import aws
from tests.sealing import FLEETS_KEY
from tests.steered import POLICIES, steering_of
from tests.world import HandClock, Mosquitto, until

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.interruptions import EventError, orders_of, parse
from tidewatt_coordinator.steering.pools import PoolPrice
from tidewatt_coordinator.steering.queue import Interruptions, QueueError
from tidewatt_coordinator.steering.settings import Class, Dispatch, Pool, Spot
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import DispatchTable
from tidewatt_wire.signing import DISPATCH_TYPE, open_envelope

USUAL = Spot()
AT = "2026-11-21T12:00:00Z"
AT_MS = int(datetime(2026, 11, 21, 12, tzinfo=timezone.utc).timestamp() * 1000)
INSTANCE = "i-0123456789abcdef0"
EAST, WEST = (
    Pool(name=name, kind="spot", capacity_rps=100, cost_per_million=Decimal(1), zone=zone)
    for name, zone in (("east", "us-east-1a"), ("west", "us-west-2b"))
)
DEMAND = Pool(name="demand", kind="on_demand", capacity_rps=500, cost_per_million=Decimal(9))
PRICES = {
    one.name: PoolPrice(float(one.cost_per_million or 0) / 1e6, 0.0, "") for one in (EAST, WEST, DEMAND)
}


def an_event(kind: str = "EC2 Spot Instance Interruption Warning", **rest: Any) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": kind,
        "source": "aws.ec2",
        "account": "123456789012",
        "time": AT,
        "region": "us-east-1",
        "resources": [f"arn:aws:ec2:us-east-1a:instance/{INSTANCE}"],
        "detail": {"instance-id": INSTANCE, "instance-action": "terminate"},
    } | rest


def an_arn(zone: str) -> str:
    return f"arn:aws:ec2:{zone}:123456789012:instance/{INSTANCE}"


def ordered(event: dict[str, Any], *pools: Pool, spot: Spot = USUAL, real_ms: int = AT_MS) -> list[str]:
    found = orders_of(parse(json.dumps(event)), pools or (EAST, WEST, DEMAND), spot, 5, real_ms)
    return [one.backend for one in found]


def test_a_warning_is_about_the_pool_of_its_zone() -> None:
    event = parse(json.dumps(an_event(resources=[an_arn("us-east-1a")])))
    (order,) = orders_of(event, (EAST, WEST, DEMAND), Spot(hold_s=100.0), 5_000, AT_MS + 2_000)
    assert (order.backend, order.kind, order.made_ms, order.until_ms) == (
        "east",
        "interruption",
        5_000,
        103_000,
    )
    assert order.sentence.endswith(f"spot interruption warning (terminate) of {INSTANCE}")
    assert order == orders_of(event, (EAST, WEST, DEMAND), Spot(hold_s=100.0), 5_000, AT_MS + 2_000)[0]


@pytest.mark.parametrize(
    ("event", "pools"),
    [
        (an_event(), ["east"]),
        (an_event(resources=[an_arn("us-west-2b")], region="us-west-2"), ["west"]),
        (an_event(resources=[an_arn("eu-west-1a")], region="eu-west-1"), []),
        (an_event("EC2 Instance Rebalance Recommendation", resources=[an_arn("us-east-1a")]), []),
        (
            an_event(
                "EC2 Instance State-change Notification",
                resources=[an_arn("us-east-1a")],
                detail={"instance-id": INSTANCE, "state": "shutting-down"},
            ),
            ["east"],
        ),
        (
            an_event(
                "EC2 Instance State-change Notification",
                resources=[an_arn("us-east-1a")],
                detail={"instance-id": INSTANCE, "state": "running"},
            ),
            [],
        ),
        (
            an_event(
                "AWS Health Event",
                resources=[an_arn("us-east-1a")],
                detail={"service": "EC2", "eventTypeCategory": "scheduledChange", "statusCode": "open"},
            ),
            ["east"],
        ),
        (
            an_event(
                "AWS Health Event",
                resources=[an_arn("us-east-1a")],
                detail={"service": "EC2", "eventTypeCategory": "issue", "statusCode": "closed"},
            ),
            [],
        ),
        (an_event("Something New", resources=[an_arn("us-east-1a")]), []),
    ],
)
def test_what_each_event_means(event: dict[str, Any], pools: list[str]) -> None:
    assert ordered(event) == pools


def test_the_finer_points() -> None:
    here = an_event(resources=[an_arn("us-east-1a")])
    assert ordered(here, real_ms=AT_MS + 3_600_000) == [], "an hour old: that is over"
    assert ordered(here, real_ms=AT_MS - 60_000) == ["east"], "a clock that is ahead of ours"
    wrapped = {"Type": "Notification", "Message": json.dumps(here)}
    assert ordered(wrapped) == ["east"], "by way of SNS"
    rebalance = an_event("EC2 Instance Rebalance Recommendation", resources=[an_arn("us-east-1a")])
    assert ordered(rebalance, spot=Spot(on_rebalance=True)) == ["east"]
    mine = Pool(name="mine", kind="on_demand", capacity_rps=1, instances=[INSTANCE])
    other = Pool(name="other", kind="spot", capacity_rps=1, instances=["i-1"])
    anywhere = Pool(name="anywhere", kind="spot", capacity_rps=1, aws_region="us-east-1")
    assert ordered(here, mine, other, anywhere) == ["mine", "anywhere"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
near = st.fixed_dictionaries(
    {},
    optional={
        key: st.just(value) | anything for key, value in an_event(resources=[an_arn("us-east-1a")]).items()
    },
)


@settings(max_examples=300)
@given(body=near.map(json.dumps) | anything.map(json.dumps) | st.text(max_size=50) | st.binary(max_size=50))
def test_any_message_is_read_or_refused(body: str | bytes) -> None:
    try:
        event = parse(body)
    except EventError as error:
        assert str(error)  # noqa: PT017 - both ways are good
        return
    for order in orders_of(event, (EAST, WEST, DEMAND), Spot(on_rebalance=True), 5, AT_MS):
        assert order.backend in ("east", "west")
        assert order.made_ms < order.until_ms <= order.made_ms + 600_000


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with aws() as url:
        yield url


class World:
    """A publisher on a real broker, a queue on a real server, and a router that listens."""

    def __init__(self, cloud: str, name: str, clock: HandClock, folder: Path, broker: Mosquitto) -> None:
        self.sqs: Any = boto3.client("sqs", region_name="us-east-1", endpoint_url=cloud)
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        spot = Spot(queue=self.queue, endpoint=cloud, hold_s=100.0)
        self.settings = Dispatch(
            pools=[EAST, WEST, DEMAND],
            classes=[Class(name="all", expected_rps=60.0)],
            spot=spot,
            motion=2.0,
            absorb_loss=False,
        )
        self.ledger = Ledger(f"sqlite:///{folder / 'l.db'}", 60_000)
        self.book, self.clock, self.broker = Book(self.ledger.engine, "f"), clock, broker
        self.real_ms = AT_MS + 1_500
        self.steering, self.interruptions = self.coordinator()

    def coordinator(self) -> tuple[Steering, Interruptions]:
        """Another one, on the same database and queue."""
        steering = steering_of(Fleet(60_000), self.clock, self.settings, book=self.book, prices=PRICES)
        return steering, Interruptions(
            self.settings, steering, self.book, self.clock, real_ms=lambda: self.real_ms
        )

    def say(self, *events: object) -> None:
        for event in events:
            body = event if isinstance(event, str) else json.dumps(event)
            self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def left(self) -> int:
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[list[DispatchTable]]:
        """The tables that a router hears, in order."""
        heard: list[DispatchTable] = []

        async def listen() -> None:
            async with aiomqtt.Client(*self.broker.address, protocol=aiomqtt.ProtocolVersion.V5) as client:
                await client.subscribe("tidewatt/v1/f/dispatch", qos=1)
                async for message in client.messages:
                    envelope = bytes(message.payload)
                    payload = open_envelope(envelope, [FLEETS_KEY.trusted], DISPATCH_TYPE)
                    heard.append(decode(DispatchTable, payload))

        publisher = Publisher(
            Connection(self.broker.url),
            lambda: POLICIES,
            self.steering,
            self.clock,
            signers=lambda: [FLEETS_KEY],
        )
        tasks = [asyncio.create_task(listen()), asyncio.create_task(publisher.run())]
        try:
            await until(lambda: heard)
            yield heard
        finally:
            await ended(*tasks)


@pytest.fixture
def world(
    cloud: str, clock: HandClock, tmp_path: Path, mosquitto: Mosquitto, request: pytest.FixtureRequest
) -> Iterator[World]:
    world = World(cloud, request.node.name[:60], clock, tmp_path, mosquitto)
    yield world
    world.ledger.close()


async def test_the_weight_is_zero_on_the_broker_before_the_message_is_gone(world: World) -> None:
    async with world.publishing() as heard:
        assert heard[-1].weights["east"] > 0
        world.say(an_event(resources=[an_arn("us-east-1a")]))
        assert await world.interruptions.look(1) == 1
        followed = world.interruptions.followed_s
        assert followed is not None
        assert followed < 5.0
        assert world.interruptions.warned_s == 1.5
        assert world.left() == 0
        (order,) = world.book.holding(world.clock.now_ms())
        assert order.in_force_ms is not None, "who drains the pool may begin"
        await until(lambda: "east" not in heard[-1].weights)
        assert "east gets nothing until" in heard[-1].reason
        assert not any("east" in one.weights for one in heard[-1].safe)
        # And it comes back when that is over.
        world.clock.move(101.0)
        await until(lambda: heard[-1].weights.get("east", 0) > 0)


async def test_replays_duplicates_and_nonsense_do_no_harm(world: World) -> None:
    warning = an_event(resources=[an_arn("us-east-1a")])
    async with world.publishing() as heard:
        world.say(warning, warning, "nonsense", an_event("Something New", id="2"), warning)
        seen = 0
        while seen < 5:
            seen += await world.interruptions.look(1)
        assert world.interruptions.events == {
            "interruption": 1,
            "repeated": 2,
            "malformed": 1,
            "other": 1,
        }
        assert len(world.book.history(10)) == 1
        await until(lambda: "east" not in heard[-1].weights)
        # An operator who knows better takes it back, and a replay doesn't bring it again.
        world.book.end(world.book.history(1)[0].id, "ana", world.clock.now_ms())
        world.say(warning)
        await world.interruptions.look(1)
        await until(lambda: heard[-1].weights.get("east", 0) > 0)


async def test_one_that_dies_between_leaves_the_message_to_the_next(world: World) -> None:
    world.say(an_event(resources=[an_arn("us-east-1a")]))
    # Nobody publishes: the order is kept, and the message stays.
    first = asyncio.create_task(world.interruptions.look(1))
    await until(lambda: world.book.history(1))
    await ended(first)
    assert world.left() == 1
    assert world.book.history(1)[0].in_force_ms is None
    world.steering, successor = world.coordinator()
    messages = world.sqs.receive_message(QueueUrl=world.queue, VisibilityTimeout=0, WaitTimeSeconds=0)
    assert "Messages" not in messages, "hidden for a minute yet"
    async with world.publishing() as heard:
        await until(lambda: world.book.history(1)[0].in_force_ms is not None)
        assert "east" not in heard[-1].weights, "the order holds without the message"
    assert successor.events == {}


async def test_a_queue_that_is_not_there_is_said_in_a_sentence(world: World) -> None:
    world.sqs.delete_queue(QueueUrl=world.queue)
    with pytest.raises(QueueError, match="SQS: "):
        await world.interruptions.look(1)
