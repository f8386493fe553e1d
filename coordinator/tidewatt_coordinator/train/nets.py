"""The networks: raw requests/s in, quantiles in requests/s out; everything between is in the graph.

`Habit` is what ships: a small network shared by all fifteen minutes ahead, over features that say what
the last hour, and the same minutes of earlier hours, days and weeks, would suggest. `DesignLstm` is the
60 x 5 LSTM (128-64-32) of the first design, kept as a contender. Shapes: see forecast/layout.py.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, softplus

from tidewatt_governor.forecast.layout import AHEAD, FLOOR_RPS, LAGS, OUTPUTS, PAST, SOON

#: Shares beyond these are an outlier or a cold start, and tell no more than the bound.
MOST = 3.0
MEANS = (2, 3, 5, 8, 15, 30, 60)
OWN_LAGS = (15, 20, 30, 60)
TURN = 6.283185307179586
#: Minutes: what cron jobs, scrapers and feeds come back in.
JOB_BEATS = (60.0, 30.0, 20.0, 15.0, 10.0, 5.0)


def known(x: Tensor) -> tuple[Tensor, Tensor]:
    """The values with 0 where they are NaN, and where they are not NaN."""
    there = ~torch.isnan(x)
    return torch.where(there, x, torch.zeros_like(x)), there


class Features(nn.Module):
    """Scale-free features: `common` [n, c] of the origin, `ahead` [n, 15, f] of each minute ahead."""

    def forward(self, minutes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """`common`, `ahead`, the last hour `relative` [n, 60], `last` [n, 1] and `scale` [n, 1] in rps."""
        own, there = known(minutes[:, 0, :PAST])
        scale = own.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        scale = scale.clamp(min=FLOOR_RPS)
        last = own[:, -1:]
        own = torch.where(there, own, scale.expand_as(own))
        relative = ((own - last) / scale).clamp(-MOST, MOST)
        change, usable, likeness = self._habits(minutes, own, scale)
        common = torch.cat([self._shape(relative), likeness], 1)
        before = torch.stack(
            [
                ((own[:, PAST - lag : PAST - lag + AHEAD] - last) / scale).clamp(-MOST, MOST)
                for lag in OWN_LAGS
            ],
            1,
        )
        ahead = torch.cat([change, self._pooled(change, usable, likeness, last / scale), before], 1)
        return common, ahead.transpose(1, 2), relative, last, scale

    @staticmethod
    def _shape(relative: Tensor) -> Tensor:
        parts = [relative[:, PAST - k :].mean(1, keepdim=True) for k in MEANS]
        parts += [relative[:, PAST - 1 - k : PAST - k] for k in (1, 2, 3, 4, 5)]
        for span in (15, 60):
            recent = relative[:, PAST - span :]
            spread = (recent - recent.mean(1, keepdim=True)).pow(2).mean(1, keepdim=True)
            parts += [recent.amax(1, keepdim=True), recent.amin(1, keepdim=True), (spread + 1e-12).sqrt()]
        return torch.cat([*parts, torch.full_like(relative[:, :1], 0.1)], 1)

    @staticmethod
    def _habits(minutes: Tensor, own: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # What followed at each lag, as a share of the level then; and how alike the hour before was.
        past, there = known(minutes[:, 1:])
        whole = there.all(2, keepdim=True)
        level = (past[..., :PAST].sum(2, keepdim=True) / PAST).clamp(min=FLOOR_RPS)
        anchor = past[..., PAST - 3 : PAST].mean(2, keepdim=True)
        change = ((past[..., PAST:] - anchor) / level).clamp(-MOST, MOST)
        change = torch.where(whole, change, torch.zeros_like(change))
        here = ((own[:, 3:] - own[:, :-3]) / scale).clamp(-0.5, 0.5)[:, None]
        then = ((past[..., 3:PAST] - past[..., : PAST - 3]) / level).clamp(-0.5, 0.5)
        alike = (here * then).sum(2) / ((here * here).sum(2) * (then * then).sum(2) + 1e-8).sqrt()
        usable = whole[..., 0].to(change.dtype)
        return change, usable, alike * usable

    @staticmethod
    def _pooled(change: Tensor, usable: Tensor, likeness: Tensor, now: Tensor) -> Tensor:
        padded = torch.cat([change[..., :1] * 0.0, change, change[..., -1:]], 2)
        smooth = (padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]) / 3.0
        at = {lag: index for index, lag in enumerate(LAGS)}
        days = [at[lag] for lag in (1440, 2880, 4320)]
        day = change[:, days].mean(1, keepdim=True)
        day_smooth = smooth[:, days].mean(1, keepdim=True)
        three = change[:, days]
        median = three.sum(1, keepdim=True) - three.amax(1, keepdim=True) - three.amin(1, keepdim=True)
        hours = change[:, :6].mean(1, keepdim=True)
        same = change[:, [at[lag] for lag in (60, 1080, 1380, 1440)]].mean(1, keepdim=True)
        weight = (6.0 * likeness).exp() * usable
        analog = (weight[..., None] * change).sum(1, keepdim=True) / (weight.sum(1)[:, None, None] + 1e-6)
        positive = likeness.clamp(min=0.0)
        likely = (positive[..., None] * change).sum(1, keepdim=True) / (positive.sum(1)[:, None, None] + 0.3)
        single = smooth[:, [at[1440], at[60]]]
        return torch.cat(
            [
                single,
                day,
                day_smooth,
                hours,
                same,
                median,
                day * now.clamp(0.0, 4.0)[..., None],
                analog,
                likely,
            ],
            1,
        )


def clock(calendar: Tensor) -> Tensor:
    """Where each minute ahead lies in its day and its week, [n, 15, 5]."""
    minute = _minutes_ahead(calendar)
    day, week = (
        minute * (TURN / 1440.0),
        (calendar[:, 1:2] * 1440.0 + minute) * (TURN / 10080.0),
    )
    weekend = calendar[:, 2:3].expand_as(minute)
    return torch.stack([day.sin(), day.cos(), week.sin(), week.cos(), weekend], 2) * 0.5


def jobs(calendar: Tensor) -> Tensor:
    """Where each minute ahead lies in the beats that jobs are scheduled on, [n, 15, 12]."""
    minute = _minutes_ahead(calendar)
    turns = [minute * (TURN / beat) for beat in JOB_BEATS]
    return torch.stack([part for turn in turns for part in (turn.sin(), turn.cos())], 2) * 0.1


def _minutes_ahead(calendar: Tensor) -> Tensor:
    return calendar[:, :1] + torch.arange(1, AHEAD + 1, dtype=calendar.dtype)[None]


def fan(middle: Tensor, up: Tensor, further: Tensor) -> Tensor:
    """p50, p90, p99 that never cross."""
    ninety = middle + softplus(up - 3.0)
    return torch.stack([middle, ninety, ninety + softplus(further - 3.0)], -1)


class Habit(nn.Module):
    """A small network shared by the fifteen minutes ahead, then one for the two peaks."""

    def __init__(self, common: int, ahead: int, wide: int = 96, narrow: int = 48) -> None:
        super().__init__()
        self.common, self.ahead = nn.Linear(common, wide), nn.Linear(ahead, wide, bias=False)
        self.place = nn.Parameter(torch.randn(AHEAD, wide) * 0.1)
        self.drop, self.mix, self.out = nn.Dropout(0.1), nn.Linear(wide, narrow), nn.Linear(narrow, 3)
        self.straight, self.slope = nn.Linear(common, AHEAD), nn.Linear(ahead, 1, bias=False)
        for start in (self.straight.weight, self.straight.bias, self.slope.weight):
            nn.init.zeros_(start)
        self.peak_in, self.peak_out = nn.Linear(2 * narrow + 3 * AHEAD, 64), nn.Linear(64, 6)

    def forward(self, common: Tensor, ahead: Tensor) -> Tensor:
        """Quantiles [n, 17, 3] as shares of the scale beyond the last minute."""
        hidden = gelu(self.common(common)[:, None] + self.ahead(ahead) + self.place)
        hidden = gelu(self.mix(self.drop(hidden)))
        out = self.out(hidden)
        middle = out[..., 0] + self.straight(common) + self.slope(ahead)[..., 0]
        each = fan(middle, out[..., 1], out[..., 2])
        seen = torch.cat([hidden[:, :SOON].mean(1), hidden.mean(1), each.flatten(1)], 1)
        peak = self.peak_out(gelu(self.peak_in(seen)))
        soon = fan(each[:, :SOON, 0].amax(1) + peak[:, 0], peak[:, 1], peak[:, 2])
        later = fan(each[..., 0].amax(1) + peak[:, 3], peak[:, 4], peak[:, 5])
        return torch.cat([each, soon[:, None], later[:, None]], 1)


class HabitModel(nn.Module):
    """The whole graph: features, a few `Habit` networks averaged, and back to requests/s."""

    def __init__(self, members: int = 6) -> None:
        super().__init__()
        self.features = Features()
        with torch.no_grad():
            common, ahead = self.inputs(torch.ones(1, 1 + len(LAGS), PAST + AHEAD), torch.zeros(1, 3))[:2]
        self.members = nn.ModuleList(Habit(common.shape[1], ahead.shape[2]) for _ in range(members))

    def inputs(self, minutes: Tensor, calendar: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the networks see, what the device's head learns from, and the last minute and scale in rps."""
        common, ahead, relative, last, scale = self.features(minutes)
        at = jobs(calendar)
        lesson = torch.cat([common[:, None].expand(-1, AHEAD, -1), ahead, at], 2)
        level = (last / scale).clamp(max=5.0)
        return (
            torch.cat([relative[:, : PAST - 1], common, level], 1),
            torch.cat([ahead, clock(calendar), 5.0 * at], 2),
            lesson,
            last,
            scale,
        )

    def forward(self, minutes: Tensor, calendar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`quantiles`, `features`, `scale`."""
        common, ahead, lesson, last, scale = self.inputs(minutes, calendar)
        shares = torch.stack([member(common, ahead) for member in self.members]).mean(0)
        rps = (shares * scale[..., None] + last[..., None]).clamp(min=0.0)
        return rps, lesson, scale[:, 0]


class DesignLstm(nn.Module):
    """The LSTM of the first design: 60 x 5 (rate, time of day, time of week), 128-64-32."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(5, 128, batch_first=True), nn.LSTM(128, 64, batch_first=True)
        self.dense, self.out = nn.Linear(64, 32), nn.Linear(32, OUTPUTS * 3)

    def forward(self, minutes: Tensor, calendar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`quantiles`, no features, `scale`."""
        own, there = known(minutes[:, 0, :PAST])
        scale = (own.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)).clamp(min=FLOOR_RPS)
        last = own[:, -1:]
        relative = (torch.where(there, own, scale.expand_as(own)) / scale).clamp(max=5.0)
        minute = calendar[:, :1] + torch.arange(1 - PAST, 1, dtype=calendar.dtype)[None]
        day, week = minute * (TURN / 1440.0), (calendar[:, 1:2] * 1440.0 + minute) * (TURN / 10080.0)
        steps = torch.stack([relative, day.sin(), day.cos(), week.sin(), week.cos()], 2)
        hidden = self.second(self.first(steps)[0])[0][:, -1]
        out = self.out(torch.relu(self.dense(hidden))).view(-1, OUTPUTS, 3)
        shares = fan(out[..., 0], out[..., 1], out[..., 2])
        rps = (shares * scale[..., None] + last[..., None]).clamp(min=0.0)
        return rps, minutes.new_zeros((1, AHEAD, 0)).expand(minutes.shape[0], -1, -1), scale[:, 0]
