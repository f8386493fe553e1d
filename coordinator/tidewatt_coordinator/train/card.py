"""The card that lies beside a model: what it learned from, how it scores, how to know it again."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

import msgspec

from tidewatt_coordinator.train.score import Scores
from tidewatt_coordinator.train.windows import Series
from tidewatt_governor.forecast.layout import LAGS, OPSET


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a card is about."""

    name: str
    kind: str
    content: bytes
    series: Sequence[Series]
    scores: Sequence[Scores]
    share: float
    """How much of each series, from its beginning, was learned from."""


SCORED = (
    "scored on", "WAPE", "last value's", "seasonal", "ridge", "on 1, 5, 15 min (LightGBM's)",
    "peak below p90", "worst 6 h", "pinball (LightGBM's)",
)  # fmt: skip


def card(about: About) -> str:
    """The card in Markdown."""
    lags = ", ".join(map(str, LAGS))
    lines = [
        f"# {about.name}",
        "",
        f"- Kind: {about.kind}; ONNX opset {OPSET}; {len(about.content):,} bytes",
        f"- sha256: {hashlib.sha256(about.content).hexdigest()}",
        f"- Input: 60 minutes of requests/s; the same 75 minutes {lags} minutes before; calendar",
        "- Output: p50, p90, p99 of each of the next 15 minutes, of the peak of the next 3, of the next 15",
        f"- Learned from the first {about.share:.0%} of each series; scored on the last 15 %, minute by",
        "  minute, with what it goes on learning on the device (head and calibration) counted as part of it",
        "",
        "| learned from | minutes | from | to | measured every |",
        "|---|---:|---|---|---:|",
        *(_learned_from(one) for one in about.series),
        "",
        _row(SCORED),
        "|---" + "|---:" * (len(SCORED) - 1) + "|",
        *(_scored_on(one) for one in about.scores),
    ]
    return "\n".join(lines) + "\n"


def _learned_from(one: Series) -> str:
    first, last = _day(one.first), _day(one.first + len(one) - 1)
    return _row((one.name, f"{len(one):,}", first, last, f"{one.step_min} min"))


def _scored_on(of: Scores) -> str:
    boosted = "" if of.wape_boosting is None else f" ({of.wape_boosting:.2%})"
    loss = "" if of.pinball_boosting is None else f" ({of.pinball_boosting:.2%})"
    shares = (of.wape, of.wape_last_value, of.wape_seasonal, of.wape_ridge)
    cells = (of.trace, *(f"{share:.2%}" for share in shares), f"{of.wape_on_those:.2%}{boosted}")
    covered = (f"{of.coverage:.1%}", f"{of.coverage_worst_twentieth:.1%}", f"{of.pinball:.2%}{loss}")
    return _row((*cells, *covered))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _day(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, timezone.utc):%Y-%m-%d}"
