"""How a fleet stands to its policy, as values and as lines that people read. Pure."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from tidewatt_coordinator.rollout.plan import State, clock_time, rollout_of, soak_ms
from tidewatt_coordinator.rollout.roster import Known
from tidewatt_coordinator.rollout.standing import Standing, policy_set_of
from tidewatt_governor.policy import member

#: So many stragglers and reasons are named; the rest is a number.
MOST_NAMED = 10
#: A clock further off than this is worth a line: reports land in the wrong bucket.
SKEW_MS = 5_000

BEHIND, SILENT = "behind", "no answer"


class WaveLine(msgspec.Struct, frozen=True, kw_only=True):
    """One wave: how many known devices it reaches beyond those before it, and when."""

    number: int
    percent: float
    match: dict[str, str]
    devices: int
    reached_ms: int | None
    soak_s: float
    state: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that `tidewatt policy status` says."""

    fleet: str
    revision: int
    name: str
    document: str
    not_after_ms: int | None
    rollout: str | None
    stage: str | None
    reason: str | None
    waves: list[WaveLine]
    devices: int
    answers: dict[str, int]
    """Known devices by their answer to this revision; `behind`: it is to an older one."""
    reasons: dict[str, int]
    """Why it was refused or waits, by code and sentence."""
    stragglers: list[str]
    """Devices that are behind, or have never answered."""
    skewed: dict[str, int]
    """Devices whose clock is far off, in milliseconds."""


def status(standing: Standing, known: Sequence[Known]) -> Status:
    """How these devices stand to the policy."""
    state = standing.rollout
    answers = {one.device: answer(one, standing.revision) for one in known}
    said = [one for one in known if one.reason and answers[one.device] in ("refused", "pending_reboot")]
    return Status(
        fleet=standing.fleet,
        revision=standing.revision,
        name=standing.content.name,
        document=standing.content.document,
        not_after_ms=policy_set_of(standing).not_after_ms,
        rollout=state.id if state else None,
        stage=state.stage if state else None,
        reason=state.reason if state else None,
        waves=_waves(state, known) if state else [],
        devices=len(known),
        answers=dict(Counter(answers.values()).most_common()),
        reasons=dict(Counter(_why(one) for one in said).most_common(MOST_NAMED)),
        stragglers=[one.device for one in known if answers[one.device] in (BEHIND, SILENT)],
        skewed={
            one.device: one.skew_ms for one in known if one.skew_ms is not None and abs(one.skew_ms) > SKEW_MS
        },
    )


def answer(one: Known, revision: int) -> str:
    """A device's answer to a revision."""
    if not one.ack:
        return SILENT
    return one.ack if one.revision >= revision else BEHIND


def lines(told: Status) -> list[str]:
    """The status as people read it."""
    until = f", until {clock_time(told.not_after_ms)}" if told.not_after_ms is not None else ""
    digest = f" ({told.document[:12]})" if told.document else ""
    out = [f"fleet {told.fleet}: {told.name}{digest} at revision {told.revision}{until}"]
    if told.rollout:
        out.append(f"rollout {told.rollout}: {told.stage}: {told.reason}")
        out.append("  wave  percent  devices  reached                  state")
        out += [_wave(wave) for wave in told.waves]
    counts = ", ".join(f"{count} {kind}" for kind, count in told.answers.items())
    out.append(f"{told.devices} known devices{': ' + counts if counts else ''}")
    out += [f"  {count} x {reason}" for reason, count in told.reasons.items()]
    if told.stragglers:
        more = len(told.stragglers) - MOST_NAMED
        out.append(
            f"stragglers: {', '.join(told.stragglers[:MOST_NAMED])}{f' and {more} more' if more > 0 else ''}"
        )
    for device, skew_ms in list(told.skewed.items())[:MOST_NAMED]:
        ahead = "ahead" if skew_ms > 0 else "behind"
        out.append(f"clock of {device}: {abs(skew_ms) / 1000:.1f} s {ahead}")
    return out


def _wave(wave: WaveLine) -> str:
    reached = clock_time(wave.reached_ms) if wave.reached_ms is not None else "-"
    whom = "".join(f"  {key}={value}" for key, value in sorted(wave.match.items()))
    return f"  {wave.number:>4}  {wave.percent:>6g}%  {wave.devices:>7}  {reached:<23}  {wave.state}{whom}"


def _waves(state: State, known: Sequence[Known]) -> list[WaveLine]:
    out, before = [], 0
    for number, wave in enumerate(state.plan.waves, 1):
        reached = sum(member(rollout_of(state, number), one.device, one.labels) for one in known)
        here = msgspec.structs.replace(state, wave=number)
        out.append(
            WaveLine(
                number=number,
                percent=wave.percent,
                match=wave.match,
                devices=reached - before,
                reached_ms=state.reached_ms[number - 1] if number <= state.wave else None,
                soak_s=soak_ms(here) / 1000,
                state=_wave_state(state, number),
            )
        )
        before = reached
    return out


def _wave_state(state: State, number: int) -> str:
    if state.stage == "aborted":
        return "taken back" if number <= state.wave else "not reached"
    if number < state.wave or state.stage == "complete":
        return "passed"
    if number == state.wave:
        return "paused" if state.stage == "paused" else "soaking"
    waits = number == state.wave + 1 and state.stage == "waiting_approval"
    return "waits for approval" if waits else "to come"


def _why(one: Known) -> str:
    return f"{one.ack}{f' ({one.code})' if one.code else ''}: {one.reason}"
