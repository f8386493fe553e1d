"""The forecaster: one minute in, one forecast out; it scores itself and says whether it is to be trusted."""

import math
from datetime import datetime

import numpy as np

from tidewatt_governor.forecast.conformal import Conformal
from tidewatt_governor.forecast.head import Head
from tidewatt_governor.forecast.history import History, calendar_row
from tidewatt_governor.forecast.layout import AHEAD, FLOOR_RPS, PEAK_15
from tidewatt_governor.forecast.model import Answer, Model, ModelError
from tidewatt_governor.forecast.peaks import Peaks
from tidewatt_governor.forecast.trust import Trust
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.steps import beat_of, changed, with_change


class Forecaster:
    """A model, its head and calibration on this device, and its record."""

    def __init__(self, model: Model, history: History | None = None) -> None:
        """`history`: the minutes known from before, of which the newest may be long ago."""
        self._model, self.history = model, history or History()
        self._head: Head | None = None
        self._peaks, self._conformal, self.trust = Peaks(), Conformal(), Trust()
        self._open: list[tuple[Forecast, float] | None] = []
        self._changes: tuple[int, ...] = ()
        self.problem: str | None = None
        """Why there is no forecast now; None while there is."""

    def fresh(self) -> "Forecaster":
        """One with the same model that has seen nothing."""
        return Forecaster(self._model)

    def minute(self, minute: int, rps: float | None, local: datetime) -> Forecast | None:
        """The forecast at the end of `minute` (any origin, rising), whose mean rate was `rps`.

        None, with `problem` said, where there can be none. `local`: that minute where the users live.
        """
        newest = self.history.last
        gaps = 0 if newest is None else min(minute - newest - 1, AHEAD + 1)
        for _ in range(gaps):
            self._came(None)
            self._skipped()
            self._made(None, 0.0)
        self.history.add(minute, rps)
        self._note_change(minute)
        self._came(rps)
        forecast = self._forecast(minute, local)
        self._made(forecast, rps or 0.0)
        return forecast

    def _forecast(self, minute: int, local: datetime) -> Forecast | None:
        self.problem = self.history.ready()
        if self.problem is None:
            try:
                answer = self._model(self.history.rows(), calendar_row(local))
                return self._finish(minute, answer)
            except ModelError as error:
                self.problem = str(error)
        self._skipped()
        return None

    def _skipped(self) -> None:
        self._peaks.skipped()
        self._conformal.skipped()

    def _finish(self, minute: int, answer: Answer) -> Forecast:
        scale = max(answer.scale, FLOOR_RPS)
        middle = answer.quantiles[:AHEAD, 0]
        beat = beat_of(self._changes)
        sure = min(beat.left(minute), AHEAD) if beat else 0
        if answer.features.shape[1]:
            if self._head is None:
                self._head = Head(answer.features.shape[1])
            recent = np.array([self.history.rate(minute - back) for back in reversed(range(AHEAD))])
            middle = self._head(middle, answer.features, recent, scale, sure)
        last = self.history.rate(minute)
        middle = np.where(np.arange(AHEAD) < sure, last, middle)
        peaks = self._peaks(answer.quantiles, middle, scale, last, sure)
        medians = np.concatenate([middle, peaks])
        steps = beat.minutes if beat else 0
        quantiles = self._conformal(answer.quantiles, medians, scale, last, sure, steps)
        if not np.isfinite(quantiles).all():
            raise ModelError("what the head made of the model's answer is not a number")
        return Forecast(
            minute=minute,
            rps=tuple((float(p50), float(p90), float(p99)) for p50, p90, p99 in quantiles),
            trusted=self.trust.trusted,
            reason=self.trust.reason,
        )

    def _note_change(self, minute: int) -> None:
        before, now = self.history.rate(minute - 1), self.history.rate(minute)
        if changed(before, now):  # False where one of them isn't known
            self._changes = with_change(self._changes, minute)

    def _came(self, rps: float | None) -> None:
        known = rps is not None and math.isfinite(rps) and rps >= 0.0
        value = rps if known else None
        if self._head is not None:
            self._head.came(value)
        self._peaks.came(value)
        self._conformal.came(value)
        if len(self._open) == AHEAD and (oldest := self._open[0]) is not None:
            newest = oldest[0].minute
            # `history` already holds the minute that came last.
            came = [self.history.rate(newest + ahead) for ahead in range(1, AHEAD + 1)]
            if not any(math.isnan(rate) for rate in came):
                forecast, last = oldest
                middle = [row[0] for row in forecast.rps[:AHEAD]]
                self.trust.score(middle, forecast.rps[PEAK_15][1], last, came)

    def _made(self, forecast: Forecast | None, last: float) -> None:
        self._open.append(None if forecast is None else (forecast, last))
        del self._open[:-AHEAD]
        if forecast is None and self._head is not None:
            self._head.skipped()
