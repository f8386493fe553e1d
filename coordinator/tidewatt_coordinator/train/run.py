"""Training from beginning to end: series in, model and card out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tidewatt_coordinator.train.card import About, card
from tidewatt_coordinator.train.export import export
from tidewatt_coordinator.train.fit import Plan, fit_habit, fit_lstm, lessons
from tidewatt_coordinator.train.score import score
from tidewatt_coordinator.train.windows import TUNE_SHARE, Series
from tidewatt_governor.forecast.model import Model

Kind = Literal["habit", "lstm"]
DESCRIBED = {
    "habit": "six small networks over the last hour and the same minutes of hours, days, a week before",
    "lstm": "LSTM 128-64-32 over 60 minutes x 5",
}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to train."""

    out: Path
    kind: Kind = "habit"
    epochs: int = 16
    share: float = TUNE_SHARE
    """How much of each series, from its beginning, is learned from; the last 15 % is reported on."""
    seed: int = 0
    compare: bool = True
    """Whether LightGBM is fitted, too, to compare with."""


def train(series: Sequence[Series], wanted: Wanted, say: Callable[[str], None]) -> None:
    """Fit, export, score, write the model and its card. ValueError for a useless history."""
    say(f"{len(series)} series, {sum(map(len, series)):,} minutes")
    plan = Plan(epochs=wanted.epochs, seed=wanted.seed, say=say)
    of = lessons(series, wanted.share, wanted.seed)
    model = fit_lstm(of, plan) if wanted.kind == "lstm" else fit_habit(of, plan)
    content = export(model, {"kind": wanted.kind, "series": str(len(series))})
    read = Model(content, name=wanted.out.name)
    scores = []
    for one in series:
        say(f"scoring {one.name}")
        if found := score(one, read, boosting=wanted.compare):
            scores.append(found)
    wanted.out.write_bytes(content)
    page = wanted.out.with_suffix(".md")
    about = About(
        name=wanted.out.name,
        kind=DESCRIBED[wanted.kind],
        content=content,
        series=series,
        scores=scores,
        share=wanted.share,
    )
    page.write_text(card(about), "utf-8")
    say(f"{wanted.out}: {len(content):,} bytes; its card with scores and sha256: {page.name}")
