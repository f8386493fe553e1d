"""Whether the devices that a rollout has reached do worse than those it hasn't. Pure.

Energy and broken promises are compared as a difference in differences: each group's own
change since before the rollout, and then the one's against the other's. Where nobody is
left to compare with (the last wave) a group is compared with itself alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

import msgspec

from tidewatt_coordinator.rollout.terms import Gates

#: Less judged time than this says nothing of how often the promise is broken.
LEAST_JUDGED_MS = 60_000


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What a device did in an interval, by the ledger."""

    joules: float | None = None
    """None where a part of its power was not measured."""
    requests: int = 0
    violating_ms: int = 0
    judged_ms: int = 0
    """Time in which the promise was known to be kept or broken."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One known device in the light of a rollout."""

    device: str
    reached: bool
    online: bool = True
    answered: bool = False
    """It has answered the policy set that reached it,"""
    refused: bool = False
    """and refused it."""
    p95_ms: float | None = None
    skill: float | None = None
    before: Tally | None = None
    """In the time before the rollout; None: it wasn't there."""
    after: Tally | None = None
    """Since the wave was reached."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger doesn't keep, of one group at one moment."""

    devices: int = 0
    offline: float = 0.0
    p95_ms: float | None = None
    skill: float | None = None


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """Both groups at one moment."""

    reached: Reading = Reading()
    rest: Reading = Reading()


class Verdict(msgspec.Struct, frozen=True):
    """What the gates say, one clause each. Failed outweighs unsure; neither means passed."""

    failed: list[str]
    unsure: list[str]
    passed: list[str]


Finding = tuple[str, str]
"""failed, unsure or passed; and the clause that says why."""


def contrast(seen: Iterable[Seen]) -> Contrast:
    """The two groups as they stand."""
    seen = list(seen)
    return Contrast(
        reached=_reading([one for one in seen if one.reached]),
        rest=_reading([one for one in seen if not one.reached]),
    )


def judge(gates: Gates, seen: Sequence[Seen], before: Contrast) -> Verdict:
    """All gates that are on and can be judged. `before`: the same two groups before the rollout."""
    reached = [one for one in seen if one.reached]
    if not reached:
        return Verdict([], ["none of the known devices is in the waves reached"], [])
    found = list(_findings(gates, seen, before, contrast(seen)))
    return Verdict(*([clause for kind, clause in found if kind == which] for which in _KINDS))


_KINDS = ("failed", "unsure", "passed")


def _findings(gates: Gates, seen: Sequence[Seen], before: Contrast, now: Contrast) -> Iterator[Finding]:
    reached = [one for one in seen if one.reached]
    yield from _answers(reached, gates)
    if gates.offline_share is not None:
        more = (now.reached.offline - before.reached.offline) - (now.rest.offline - before.rest.offline)
        yield _limit("offline devices", more, gates.offline_share, "%")
    if gates.violating_share is not None:
        yield from _violating(seen, gates.violating_share)
    if gates.joules_per_request is not None:
        yield from _energy(seen, gates)
    if gates.p95_ms is not None:
        yield from _latency(before, now, gates.p95_ms)
    if gates.forecast_skill is not None:
        yield from _skill(before, now, gates.forecast_skill)


def _answers(reached: Sequence[Seen], gates: Gates) -> Iterator[Finding]:
    refusing = [one for one in reached if one.refused]
    if gates.refused_share is not None:
        yield _limit("refusals", len(refusing) / len(reached), gates.refused_share, "%")
    online = [one for one in reached if one.online]
    answered = sum(one.answered for one in online)
    if not online or answered < gates.least_answers * len(online):
        yield "unsure", f"{answered} of {len(online)} devices online have answered"


def _energy(seen: Sequence[Seen], gates: Gates) -> Iterator[Finding]:
    limit = gates.joules_per_request or 0.0
    now, least = _per_request(seen, reached=True)
    if now is None or least < gates.least_requests:
        yield "unsure", f"joules per request: {least} requests to compare, {gates.least_requests} are asked"
        return
    rest, least = _per_request(seen, reached=False)
    if any(not one.reached and one.online for one in seen):
        if rest is None or least < gates.least_requests:
            yield (
                "unsure",
                f"joules per request: {least} requests by the others, {gates.least_requests} are asked",
            )
            return
        now /= rest
    yield _limit("joules per request", now - 1.0, limit, "%")


def energy_factor(seen: Sequence[Seen], least_requests: int) -> tuple[float | None, bool]:
    """By what factor joules per request changed where the rollout is, and whether the others' change is
    taken out; None from fewer requests.
    """
    now, least = _per_request(seen, reached=True)
    if now is None or least < least_requests:
        return None, False
    rest, least = _per_request(seen, reached=False)
    return (now / rest, True) if rest and least >= least_requests else (now, False)


def _per_request(seen: Sequence[Seen], *, reached: bool) -> tuple[float | None, int]:
    """By what factor a group's joules per request changed, and the fewer requests of both times."""
    pairs = [
        (one.before, one.after)
        for one in seen
        if one.reached == reached and one.before and one.after
        and one.before.joules is not None and one.after.joules is not None
    ]  # fmt: skip
    before, after = (sum(pair[i].requests for pair in pairs) for i in (0, 1))
    joules = [sum(pair[i].joules or 0.0 for pair in pairs) for i in (0, 1)]
    least = min(before, after)
    if not least or not joules[0]:
        return None, least
    return (joules[1] / after) / (joules[0] / before), least


def _violating(seen: Sequence[Seen], limit: float) -> Iterator[Finding]:
    rise = _violating_rise(seen, reached=True)
    if rise is None:
        yield "unsure", "too little judged time to say how often the promise is broken"
        return
    rest = _violating_rise(seen, reached=False)
    yield _limit("broken promise", rise - (rest or 0.0), limit, "%")


def _violating_rise(seen: Sequence[Seen], *, reached: bool) -> float | None:
    shares = []
    mine = [one for one in seen if one.reached == reached and one.before and one.after]
    for tallies in ([one.before for one in mine], [one.after for one in mine]):
        judged = sum(tally.judged_ms for tally in tallies if tally)
        if judged < LEAST_JUDGED_MS:
            return None
        shares.append(sum(tally.violating_ms for tally in tallies if tally) / judged)
    return shares[1] - shares[0]


def _latency(before: Contrast, now: Contrast, limit: float) -> Iterator[Finding]:
    if not before.reached.p95_ms:
        return  # nobody measured it, so nobody can say that it rose
    if now.reached.p95_ms is None:
        yield "unsure", "p95: none of the devices reached measures it now"
        return
    ratio = now.reached.p95_ms / before.reached.p95_ms
    if before.rest.p95_ms and now.rest.p95_ms:
        ratio /= now.rest.p95_ms / before.rest.p95_ms
    yield _limit("p95", ratio - 1.0, limit, "%")


def _skill(before: Contrast, now: Contrast, limit: float) -> Iterator[Finding]:
    if before.reached.skill is None:
        return
    if now.reached.skill is None:
        yield "unsure", "forecast skill: none of the devices reached measures it now"
        return
    fall = before.reached.skill - now.reached.skill
    if before.rest.skill is not None and now.rest.skill is not None:
        fall -= before.rest.skill - now.rest.skill
    yield _limit("loss of forecast skill", fall, limit, "")


def _limit(what: str, worse: float, limit: float, unit: str) -> Finding:
    # The least digits that tell it from the limit; a share is said in percent.
    scale = 100.0 if unit else 1.0
    said = f"{what} {worse * scale:+.3g}{' ' + unit if unit else ''}"
    if worse > limit + 1e-9:
        return "failed", f"{said} is beyond the gate of {limit * scale:+.3g}{' ' + unit if unit else ''}"
    return "passed", said


def _reading(group: Sequence[Seen]) -> Reading:
    if not group:
        return Reading()
    online = [one for one in group if one.online]
    return Reading(
        devices=len(group),
        offline=1.0 - len(online) / len(group),
        p95_ms=_median(one.p95_ms for one in online),
        skill=_median(one.skill for one in online),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
