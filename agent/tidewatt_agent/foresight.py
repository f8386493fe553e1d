"""The forecaster on this board: minutes made of ticks, one forecast a minute, and what becomes of failures.

Nothing of it is imported unless a model is configured, and nothing that goes wrong with it reaches the
decision: without a forecast the reactive rule rules, one log line says why, and a metric shows it.
"""

import asyncio
import hashlib
import logging
import math
import os
from array import array
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_governor.forecast.history import History
from tidewatt_governor.forecast.shipped import SHIPPED, shipped_model
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.sample import Load
from tidewatt_link.durable import replace_file
from tidewatt_wire.clock import Clock

if TYPE_CHECKING:
    from tidewatt_agent.resident import Forecasting
    from tidewatt_governor.forecast.forecaster import Forecaster

log = logging.getLogger(__name__)

MINUTE_MS = 60_000
MINUTE_S = 60.0
#: A minute of which less was seen is taken as unknown.
LEAST_SEEN_S = 30.0
#: The history is written this often: losing an hour costs an hour's lags, a card wears by writing.
SAVE_EVERY_S = 3600.0
SHIPPED_NAME = "shipped"
#: As many digits of a sha256 as are told upstream.
ID_DIGITS = 12


class KeptHistory(msgspec.Struct, frozen=True):
    """The history's file: the newest minute since 1970, and float32 requests/s up to it, NaN: unknown."""

    newest: int
    rates: bytes


class Foresight:
    """What the traffic will be, as far as a model is configured and works."""

    def __init__(self, model: str, zone: str, folder: str) -> None:
        """`model`: "" for none, "shipped", or a file; `folder`: where the history is kept, "" for nowhere."""
        self._configured, self._zone = model, ZoneInfo(zone)
        self._path = Path(folder, "traffic.history") if folder else None
        self._forecaster: Forecaster | None = None
        self._code: Forecasting | None = None
        self._minute: int | None = None
        self._requests = 0
        self._seconds = 0.0
        self.forecast: Forecast | None = None
        self.model_id: str | None = None
        """The first digits of the sha256 of the model in use; None without one."""
        self.failures = 0
        """Minutes for which there was a model and no forecast."""
        self._said: str | None = None

    @property
    def configured(self) -> bool:
        """Whether there is a model to forecast with, or should be."""
        return bool(self._configured) or self._forecaster is not None

    @property
    def skill(self) -> float | None:
        """1 - the forecasts' error over the last value's; None before the first score."""
        return self._forecaster.trust.skill if self._forecaster else None

    @property
    def coverage(self) -> float | None:
        """Share of the peaks that stayed at or below their p90; None before the first score."""
        return self._forecaster.trust.coverage if self._forecaster else None

    def start(self) -> None:
        """Read the model and the kept history. A failure is one log line, and there are no forecasts."""
        self.use_configured(None)

    def use_configured(self, name: str | None) -> None:
        """Forecast by the configured model, or by the shipped one where the policy names that.

        Another `name` is of a model that nobody has: the present one stays, and one log line says so.
        """
        if name not in (None, SHIPPED_NAME):
            self._say(f"the policy names the model {name!r}, which its policy set doesn't bring")
            return
        wanted = name or self._configured
        if not wanted:
            self._forecaster = self.forecast = self.model_id = None
            return
        shipped = wanted == SHIPPED_NAME
        try:
            content = shipped_model() if shipped else Path(wanted).read_bytes()
        except OSError as error:
            self._say(f"no forecasts: {error}")
            return
        if why := self.use(content, SHIPPED if shipped else wanted):
            self._say(f"no forecasts: {why}")

    def use(self, content: bytes, name: str) -> str:
        """Forecast by this model from the next minute on; "" or why not, and then the present one stays."""
        try:
            # One thread: for matrices this small the others only wait for each other, at three times the CPU.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
            # numpy, onnxruntime and the head take 51 MB: only who forecasts has them in memory.
            from tidewatt_agent.resident import Forecasting  # noqa: PLC0415 - numpy has brought ctypes
            from tidewatt_governor.forecast.forecaster import Forecaster  # noqa: PLC0415
            from tidewatt_governor.forecast.model import Model  # noqa: PLC0415

            model = Model(content, name=name)
            present = self._forecaster
            self._forecaster = Forecaster(model, present.history if present else self._kept())
            self._code = Forecasting()
            self._code.loaded()
        except ImportError as error:
            return f"{error.name} is missing; the package tidewatt-agent-forecast brings it"
        except ValueError as error:
            return str(error)
        self.model_id = hashlib.sha256(content).hexdigest()[:ID_DIGITS]
        return ""

    def note(self, load: Load | None, now_s: float, at_ms: int) -> Forecast | None:
        """Take the load of a tick, and give the newest forecast; None where there is none."""
        if self._forecaster is None:
            return None
        minute = at_ms // MINUTE_MS
        if self._minute is None:
            self._minute = minute
        if minute > self._minute:
            self._end_minute(self._forecaster, self._minute, now_s, minute - self._minute)
            self._minute = minute
        elif minute < self._minute:  # the clock was set back: what was said of the future is void
            self._minute, self.forecast = minute, None
            self._requests, self._seconds = 0, 0.0
        if load is not None:
            self._requests += load.requests
            self._seconds += load.interval_s
        return self.forecast

    def _end_minute(self, forecaster: "Forecaster", minute: int, now_s: float, behind: int) -> None:
        rps = self._requests / self._seconds if self._seconds >= LEAST_SEEN_S else None
        self._requests, self._seconds = 0, 0.0
        newest = forecaster.history.last
        if newest is not None and minute <= newest:
            # The clock was ahead and is right now: what was filed under days to come can't be used.
            self._say("the clock went back: the traffic's history begins anew")
            forecaster = self._forecaster = forecaster.fresh()
        local = datetime.fromtimestamp(minute * MINUTE_S, self._zone)
        try:
            forecast, problem = forecaster.minute(minute, rps, local), forecaster.problem
            if self._code and forecast:
                self._code.rests() if self.forecast else self._code.loaded()  # the first one loads more
        except Exception as error:
            # Whatever a model does to its forecaster, the decision goes on without it.
            log.exception("the forecaster failed")
            self._forecaster = forecaster.fresh()
            forecast, problem = None, str(error) or type(error).__name__
        if forecast is None:
            self.failures += 1
            self._say(f"no forecast: {problem}", same="no forecast")
        else:
            # The governor counts minutes by its own clock; a late tick makes an old forecast.
            forecast = msgspec.structs.replace(forecast, minute=int(now_s // MINUTE_S) - behind)
            self._say("forecasts are followed" if forecast.trusted else f"not followed: {forecast.reason}",
                      same=f"trusted: {forecast.trusted}")  # fmt: skip
        self.forecast = forecast

    async def keep(self, clock: Clock) -> None:
        """Write the history every hour, for ever."""
        while True:
            await asyncio.sleep(clock.real_seconds(SAVE_EVERY_S))
            if content := self._content():
                await asyncio.to_thread(self._write, content)

    def save(self) -> None:
        """Write the history now, before the end."""
        if content := self._content():
            self._write(content)

    def _content(self) -> bytes | None:
        if self._path is None or self._forecaster is None or self._forecaster.history.last is None:
            return None
        history = self._forecaster.history
        return msgspec.msgpack.encode(KeptHistory(history.last or 0, array("f", history.rates()).tobytes()))

    def _write(self, content: bytes) -> None:
        # A disk that fails costs the history, nothing else.
        try:
            replace_file(self._path or Path(), content)
        except OSError as error:
            self._say(f"the traffic's history can't be kept: {error}")

    def _kept(self) -> History:
        history = History()
        if self._path is None:
            return history
        try:
            kept = msgspec.msgpack.decode(self._path.read_bytes(), type=KeptHistory)
            rates = array("f", kept.rates)
        except FileNotFoundError:
            return history
        except (OSError, ValueError, msgspec.DecodeError) as error:
            log.warning("the traffic's history can't be read (%s): it begins anew", error)
            return history
        first = kept.newest - len(rates) + 1
        for place, rps in enumerate(rates):
            history.add(first + place, None if math.isnan(rps) else rps)
        return history

    def _say(self, sentence: str, same: str | None = None) -> None:
        # What is the same as last time is not said again: a model that fails fails every minute.
        if (same or sentence) != self._said:
            self._said = same or sentence
            log.warning("%s", sentence)
