"""What a group's demand will be: the guard over the last minutes and, where a model is configured, forecasts.

Nothing of the model is imported unless one is configured; what fails with it is one log line, and the guard
goes on without.
"""

import logging
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from tidewatt_coordinator.planning.demand import DemandGuard, Guarded
from tidewatt_coordinator.planning.naps import NapTerms
from tidewatt_coordinator.planning.outlook import Outlook as Minutes
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.forecast.shipped import SHIPPED, shipped_model
from tidewatt_governor.forecast.value import Forecast

log = logging.getLogger(__name__)

SHIPPED_NAME = "shipped"
MINUTE_S = 60
#: Requests/s by minute, from one on.
Needs = tuple[float, ...]


class Foreseer(Protocol):
    """Foresees one group's demand."""

    def minute(self, minute: int, rps: float | None, local: datetime) -> Forecast | None:
        """Take a minute that is over, None: unknown, with its local time; the forecast, if there is one."""


class Outlook:
    """One group's. Minutes are those since 1970 UTC."""

    def __init__(
        self, terms: Terms, floor_rps: float, forecaster: Foreseer | None, zone: str, room_rps: float = 0.0
    ) -> None:
        """`room_rps`: what all of them serve at their strongest; 0: none of them may sleep."""
        self._guard = DemandGuard(terms, floor_rps)
        self._forecaster, self._zone = forecaster, ZoneInfo(zone)
        naps = NapTerms()
        self._sure = Minutes(naps.tail_quantile, floor_rps)
        self._worth = Minutes(naps.tail_quantile, floor_rps, naps.worth * room_rps or None)
        self._likely = Minutes(naps.likely_quantile, floor_rps)
        self._all = (self._sure, self._worth, self._likely) if room_rps else ()
        self.forecast: Forecast | None = None

    def came(self, minute: int, rps: float | None) -> None:
        """What was asked for in a minute that is over; None: nobody knows."""
        if rps is not None:
            self._guard.came(minute, rps)
        if self._forecaster:
            local = datetime.fromtimestamp(minute * MINUTE_S, timezone.utc).astimezone(self._zone)
            self.forecast = self._forecaster.minute(minute, rps, local)
        for minutes in self._all if rps is not None else ():
            minutes.came(minute, rps or 0.0, self.forecast)

    def ready(self, minute: int) -> Guarded | None:
        """What to be ready for; None where what is known is too old to tell."""
        return self._guard.ready(minute, self.forecast)

    def ahead(self, minute: int, *, callable_: bool) -> tuple[Needs, Needs | None]:
        """Requests/s to be ready for in `minute` and in each after it, as far as is known; and what of that
        is to be carried without the spare, None: all. `callable_`: whether all who may sleep can be called.
        """
        if not callable_:
            return self._sure.ahead(minute), None
        return self._worth.ahead(minute), self._likely.ahead(minute)


def forecasters(model: str) -> Callable[[], Foreseer | None]:
    """Makes a forecaster for each group by the configured model; None where there is none, or it fails."""
    if not model:
        return lambda: None
    try:
        content = shipped_model() if model == SHIPPED_NAME else Path(model).read_bytes()
        # One thread: for matrices this small the others only wait for each other.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from tidewatt_governor.forecast.forecaster import Forecaster  # noqa: PLC0415
        from tidewatt_governor.forecast.model import Model  # noqa: PLC0415

        first = Forecaster(Model(content, name=SHIPPED if model == SHIPPED_NAME else model))
    except ImportError as error:
        log.error("planning without forecasts: %s is missing", error.name)  # noqa: TRY400
    except (OSError, ValueError) as error:
        log.error("planning without forecasts: %s", error)  # noqa: TRY400
    else:
        return first.fresh
    return lambda: None
