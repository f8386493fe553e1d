"""What the proxies should do at each moment: asked at every tick and at every table."""

from collections.abc import Sequence

from tidewatt_router.applier import Applier
from tidewatt_router.config import Config
from tidewatt_router.splits import Wanted, wanted
from tidewatt_router.tables import Tables
from tidewatt_wire.clock import Clock

#: The fleet's present table comes with the subscription: until it had its chance the proxy is left as it is.
FIRST_TABLE_S = 5.0


class Watch:
    """Asks at each moment what the proxies should do, and tells them."""

    def __init__(self, config: Config, tables: Tables, appliers: Sequence[Applier], clock: Clock) -> None:
        self._config, self._tables, self._appliers, self._clock = config, tables, appliers, clock
        self._begun_s = clock.monotonic_s()
        self.wanted: Wanted | None = None
        """What they should do; None before the first table had its chance to come."""

    def look(self) -> None:
        """Tell the proxies what holds now."""
        now_ms, table = self._clock.now_ms(), self._tables.table
        fresh = table is not None and now_ms < table.expires_at_ms
        if self.wanted is None and not fresh and self._clock.monotonic_s() - self._begun_s < FIRST_TABLE_S:
            return
        self.wanted = wanted(self._config.route, self._config.backend, table, now_ms)
        for applier in self._appliers:
            applier.want(self.wanted)
