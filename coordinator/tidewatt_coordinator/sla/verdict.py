"""Whether a service keeps its promise, or would: ok, violates, or unknown, with the margin and the evidence.
Pure.

What isn't measured is unknown and never ok. An expected effect counts at its worst.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tidewatt_coordinator.levers.driver import Effect
from tidewatt_coordinator.sla.objectives import AT_LEAST, RATIOS, Metric, Service

Word = Literal["ok", "violates", "unknown"]
Series = Mapping[int, float]
"""Values by the end of their step, ms since 1970."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One objective."""

    metric: Metric
    promised: float
    word: Word
    value: float | None = None
    """Measured, with the expected effect; None: not measured."""
    margin: float | None = None
    """How far on the good side, as a share of what is promised (of ratios: of what may fail); below 0:
    broken."""
    sentence: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The worst of the objectives."""

    word: Word
    sentence: str
    from_ms: int = 0
    """The evidence window: begin,"""
    until_ms: int = 0
    """and end."""
    margin: float | None = None
    """The least of the known ones."""
    judged: list[Judged] = []


def unpromised(service: str) -> Verdict:
    """The verdict on a service without an [[sla]] section."""
    return Verdict(
        word="unknown", sentence=f"{service or 'no service'}: no promise is known; set one as [[sla]]"
    )


def judge(
    service: Service,
    measured: Mapping[Metric, Series],
    until_ms: int,
    effects: Mapping[str, Effect] | None = None,
    from_ms: int | None = None,
) -> Verdict:
    """Judge what was measured up to `until_ms`, as it would be under `effects`; None: nobody knows these.

    `from_ms`: the evidence begins there, if that is later than the window does: after a change, what was
    before it proves nothing.
    """
    begin_ms = max(until_ms - round(service.window_s * 1000), from_ms or 0)
    within = {
        name: {
            at: value for at, value in series.items() if begin_ms < at <= until_ms and math.isfinite(value)
        }
        for name, series in measured.items()
    }
    steps = max(1, round((until_ms - begin_ms) / 1000 / service.step_s))
    judged = [
        _objective(service, name, promised, within, steps, effects)
        for name, promised in service.promised.items()
    ]
    order: tuple[Word, ...] = ("violates", "unknown", "ok")
    word = min((one.word for one in judged), key=order.index)
    telling = [one for one in judged if one.word == word]
    margins = [one.margin for one in judged if one.margin is not None]
    sentence = min(telling, key=lambda one: math.inf if one.margin is None else one.margin).sentence
    return Verdict(
        word=word,
        sentence=f"{service.service}: {sentence}",
        from_ms=begin_ms,
        until_ms=until_ms,
        margin=min(margins) if margins else None,
        judged=judged,
    )


def _objective(
    service: Service,
    name: Metric,
    promised: float,
    measured: Mapping[Metric, Series],
    steps: int,
    effects: Mapping[str, Effect] | None,
) -> Judged:
    series = measured.get(name, {})
    needed = max(service.coverage * steps, 2 if service.tolerated else 1)
    if len(series) < needed:
        why = f"{name} was measured in {len(series)} of {steps} steps, {math.ceil(needed)} are needed"
        return Judged(metric=name, promised=promised, word="unknown", sentence=why)
    if effects is None:
        why = f"nobody knows what the change does to {name}"
        return Judged(metric=name, promised=promised, word="unknown", sentence=why)
    effect = effects.get(name, Effect())
    value = _value(service, name, series, measured.get("throughput_rps", {})) * effect.factor + effect.plus
    margin = margin_of(name, promised, value)
    word: Word = "ok" if margin >= 0 else "violates"
    bound = "at least" if name in AT_LEAST else "at most"
    sentence = f"{name} {value:.5g}, promised is {bound} {promised:g}, over {len(series)} steps"
    return Judged(metric=name, promised=promised, word=word, value=value, margin=margin, sentence=sentence)


def margin_of(name: Metric, promised: float, value: float) -> float:
    """How far a value is on the good side: 0 at the promise itself."""
    if name in ("availability", "promise"):
        # 99.95 % where 99.9 % is promised uses half of what may fail.
        return (value - promised) / (1 - promised) if promised < 1 else value - promised
    good = value - promised if name in AT_LEAST else promised - value
    return good / promised if promised else good


def _value(service: Service, name: Metric, series: Series, requests: Series) -> float:
    if name in RATIOS:
        return _mean(series, requests)
    # The k-th worst step, so that `tolerated` of them may be worse. Averages of percentiles mean nothing.
    return _worst(list(series.values()), service.tolerated, least=name in AT_LEAST)


def _worst(values: Sequence[float], tolerated: float, *, least: bool) -> float:
    ordered = sorted(values, reverse=not least)
    spared = max(1, math.floor(tolerated * len(ordered))) if tolerated else 0
    return ordered[min(spared, len(ordered) - 1)]


def _mean(series: Series, requests: Series) -> float:
    weights = {at: requests.get(at, 0.0) for at in series}
    whole = math.fsum(weights.values())
    if not whole or any(at not in requests for at in series):
        return math.fsum(series.values()) / len(series)
    return math.fsum(value * weights[at] for at, value in series.items()) / whole
