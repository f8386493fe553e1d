"""Planning from the configuration."""

from collections.abc import Callable, Sequence

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.rounds import Planner
from tidewatt_coordinator.hinting.topic import PlanTopics
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_coordinator.waking import Waker
from tidewatt_wire.clock import Clock
from tidewatt_wire.signing import Signer


def planned(
    config: Config,
    clock: Clock,
    steering: Steering,
    engine: Engine,
    signers: Callable[[], Sequence[Signer]],
    orders: Book,
    waker: Waker,
) -> PlanTopics:
    """The planner of the fleet that is steered, which goes by it, and its way to the boards."""
    fleet = config.coordinator.fleet
    planner = Planner(
        config.planning, steering.settings, steering.fleet, engine.current, steering.power, steering.readings,
        steering.edge_share, steering.sees,
    )  # fmt: skip
    steering.planned = planner.capacities
    book = PlanBook(orders.database, fleet)
    return PlanTopics(
        planner, book, clock, engine.may_publish, signers, fleet,
        lambda device: not steering.weighs(device), waker.wake,
    )  # fmt: skip
