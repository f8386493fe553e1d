"""Fitting a network to windows: pinball loss, each series counting alike whatever its size."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tidewatt_coordinator.train.nets import MOST, DesignLstm, HabitModel
from tidewatt_coordinator.train.windows import IDLE, Series, sure, windows
from tidewatt_governor.forecast.layout import AHEAD, FLOOR_RPS, PAST, QUANTILES

BATCH = 512
LEARNING_RATE = 2e-3
#: Windows taken of one series, so that a long one doesn't rule.
MOST_WINDOWS = 15_000
MOST_EXCESS = 5.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long and from which seed."""

    epochs: int = 10
    seed: int = 0
    say: Callable[[str], None] = lambda _line: None


class Lessons(msgspec.Struct, frozen=True):
    """Windows of all series together: inputs, targets as shares beyond the last minute, weights."""

    minutes: Tensor
    calendar: Tensor
    targets: Tensor
    """NaN where there is nothing to learn: the minutes that are sure until a held rate's next step."""
    weights: Tensor


def lessons(series: Sequence[Series], share: float, seed: int) -> Lessons:
    """The windows of the first `share` of every series; ValueError if there are none."""
    chance = np.random.default_rng(seed)
    parts = [part for one in series if (part := _lessons_of(one, share, chance)) is not None]
    if not parts:
        raise ValueError("too little history: not one window of 75 minutes with traffic in it")
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    return Lessons(*(torch.from_numpy(column.astype(np.float32)) for column in joined))


def _lessons_of(
    one: Series, share: float, chance: np.random.Generator
) -> tuple[NDArray[np.float32], ...] | None:
    end = int(len(one) * share) - AHEAD
    origins: NDArray[np.int64] = np.arange(PAST - 1, end)
    if len(origins) == 0:
        return None
    mean = np.nanmean(one.rps[: end + AHEAD])
    sums = np.convolve(np.nan_to_num(one.rps[:end]), np.ones(PAST) / PAST)[origins]
    origins = origins[(sums > IDLE * mean) & ~np.isnan(one.rps[origins])]
    if len(origins) > MOST_WINDOWS:
        origins = np.sort(chance.choice(origins, MOST_WINDOWS, replace=False))
    seen = windows(one, origins)
    whole = ~np.isnan(seen.truth).any(axis=1)
    if not whole.any():
        return None
    own = seen.minutes[whole, 0, :PAST]
    scale = np.maximum(np.nanmean(own, axis=1), FLOOR_RPS)
    targets = (seen.truth[whole] - own[:, -1:]) / scale[:, None]
    # A series counts by how hard it is, not by how large: else the noisiest would be all that is learnt.
    targets[sure(one, seen.origins[whole])] = np.nan
    hard = max(float(np.nanmean(np.abs(targets[:, :AHEAD]))), 1e-4)
    weights = np.minimum(scale / scale.mean(), MOST) / hard
    return (
        seen.minutes[whole],
        seen.calendar[whole],
        np.clip(targets, -MOST_EXCESS, MOST_EXCESS).astype(np.float32),
        weights.astype(np.float32),
    )


def pinball(shares: Tensor, targets: Tensor) -> Tensor:
    """Pinball loss [n, 17, 3] of quantiles against what came; 0 where that is NaN."""
    error = torch.nan_to_num(targets)[..., None] - shares
    levels = torch.tensor(QUANTILES)
    return torch.maximum(levels * error, (levels - 1.0) * error) * ~torch.isnan(targets)[..., None]


def fit_habit(of: Lessons, plan: Plan, members: int = 6) -> HabitModel:
    """A `HabitModel` whose members were each trained from their own seed."""
    torch.manual_seed(plan.seed)
    model = HabitModel(members)
    with torch.no_grad():
        chunks = [
            model.inputs(of.minutes[at : at + 4096], of.calendar[at : at + 4096])[:2]
            for at in range(0, len(of.minutes), 4096)
        ]
    common, ahead = (torch.cat([chunk[i] for chunk in chunks]) for i in (0, 1))
    for number, member in enumerate(model.members):
        torch.manual_seed(plan.seed + number)
        _fit(member, (common, ahead), lambda shares: shares, of, plan, f"member {number + 1} of {members}")
    return model.eval()


def fit_lstm(of: Lessons, plan: Plan) -> DesignLstm:
    """The LSTM of the first design."""
    torch.manual_seed(plan.seed)
    model = DesignLstm()
    own = torch.nan_to_num(of.minutes[:, 0, :PAST])
    last, scale = own[:, -1], own.mean(1).clamp(min=FLOOR_RPS)
    _fit(model, (of.minutes, of.calendar), None, of, plan, "lstm", last=last, scale=scale)
    return model.eval()


def _fit(
    model: nn.Module,
    inputs: tuple[Tensor, Tensor],
    shares_of: Callable[[Tensor], Tensor] | None,
    of: Lessons,
    plan: Plan,
    name: str,
    last: Tensor | None = None,
    scale: Tensor | None = None,
) -> None:
    batches = max(1, len(of.targets) // BATCH)
    step = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-3)
    pace = torch.optim.lr_scheduler.OneCycleLR(step, LEARNING_RATE, total_steps=batches * plan.epochs + 1)
    model.train()
    for epoch in range(plan.epochs):
        order, total = torch.randperm(len(of.targets)), 0.0
        for batch in range(batches):
            at = order[batch * BATCH : (batch + 1) * BATCH]
            shares = model(inputs[0][at], inputs[1][at])
            if shares_of is None and last is not None and scale is not None:
                shares = (shares[0] - last[at][:, None, None]) / scale[at][:, None, None]
            loss = (pinball(shares, of.targets[at]).mean((1, 2)) * of.weights[at]).mean()
            step.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            step.step()
            pace.step()
            total += loss.item()
        plan.say(f"{name}: epoch {epoch + 1} of {plan.epochs}, loss {total / batches:.4f}")
    model.eval()
