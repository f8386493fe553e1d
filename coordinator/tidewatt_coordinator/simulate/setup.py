"""What simulating needs of a configuration."""

from collections.abc import Callable
from datetime import datetime, timezone

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.simulate.bundled import means
from tidewatt_coordinator.simulate.scenario import Means
from tidewatt_coordinator.simulate.sources import Doors


def doors(config: Config, now_ms: Callable[[], int]) -> Doors:
    """Where recorded demand may be read."""

    def now() -> datetime:
        return datetime.fromtimestamp(now_ms() / 1000, timezone.utc)

    return Doors(config.dispatch.prometheus, config.ledger.url, config.ledger.bucket_s, now)


def equipped(config: Config, now_ms: Callable[[], int]) -> Means:
    """The price book as it is configured, at today's prices. Raises DocumentError or OSError."""
    return means(load_book(config.prices.folder), doors(config, now_ms).now().date())
