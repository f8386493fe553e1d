"""Replay a journal: the same decisions again, from what was recorded. Pure but for reading lines."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

import msgspec

from tidewatt_agent.journal import TickRecord
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.decide import Decision, GovernorState, decide, moved


class JournalError(ValueError):
    """A line that is not a tick record."""


class Replayed(msgspec.Struct, frozen=True):
    """One tick, replayed: what was decided then and what is decided now."""

    record: TickRecord
    decision: Decision

    @property
    def same(self) -> bool:
        """Whether today's code decides as it was decided then."""
        return self.decision == self.record.decision

    def sentence(self) -> str:
        """One line for a person: when, where the board stood, what was decided and why."""
        moment = datetime.fromtimestamp(self.record.at_ms / 1000.0, timezone.utc)
        mark = "" if self.same else f"   [was: {self.record.decision.reason}]"
        return f"{moment:%Y-%m-%d %H:%M:%S}  {self.record.stands:>10}  {self.decision.reason}{mark}"


def _reached(record: TickRecord, decision: Decision) -> str:
    """Where the board was taken to stand, by a record that doesn't say: what was observed counts as done."""
    observed = record.outcome.kind == "observed"
    return (decision.point if observed else record.outcome.point) or record.stands


def replay(lines: Iterable[str], profile: BoardProfile) -> Iterator[Replayed]:
    """Decide again from every line; JournalError names the first that isn't a tick record."""
    state: GovernorState | None = None
    points = profile.points
    for number, line in enumerate(lines, start=1):
        try:
            record = msgspec.json.decode(line, type=TickRecord)
        except msgspec.DecodeError as error:
            raise JournalError(f"line {number} is not a tick record: {error}") from error
        if state is None or record.began:
            state, points = GovernorState(point=profile.vendor_default, since_s=record.now_s), profile.points
        state = moved(state, record.stands, record.now_s)
        points = record.learned or points
        state, decision = decide(
            state,
            record.load,
            record.policy,
            points,
            profile.vendor_default,
            record.now_s,
            record.leases,
            record.barred,
            record.situation,
            record.forecast,
            record.hint,
        )
        state = moved(state, record.became or _reached(record, decision), record.now_s)
        yield Replayed(record, decision)
