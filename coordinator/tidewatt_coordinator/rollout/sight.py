"""The fleet in the light of a rollout: what is known of each device, as evidence for the gates. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from tidewatt_coordinator.rollout.gates import Seen, Tally, contrast
from tidewatt_coordinator.rollout.plan import Evidence, State, rollout_of
from tidewatt_governor.policy import member
from tidewatt_wire.messages import Ack


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """One known device now."""

    device: str
    labels: dict[str, str] = {}
    online: bool = True
    p95_ms: float | None = None
    skill: float | None = None
    ack: Ack | None = None


def evidence(
    state: State,
    revision: int,
    fleet: Sequence[Glimpse],
    before: Mapping[str, Tally],
    after: Mapping[str, Tally],
) -> Evidence:
    """What the fleet shows of the rollout in this state.

    `revision`: that of the policy set which brought the present wave; `before` and `after`:
    what each device did before the rollout, and since the wave was reached.
    """
    if state.wave == 0:
        prefixes = [
            contrast(_seen(state, one, number, revision) for one in fleet)
            for number in range(1, len(state.plan.waves) + 1)
        ]
        return Evidence(wave=0, since_ms=state.since_ms, contrasts=prefixes)
    seen = [
        msgspec.structs.replace(
            _seen(state, one, state.wave, revision),
            before=before.get(one.device),
            after=after.get(one.device),
        )
        for one in fleet
    ]
    return Evidence(wave=state.wave, since_ms=state.since_ms, seen=seen)


def _seen(state: State, one: Glimpse, waves: int, revision: int) -> Seen:
    answered = one.ack is not None and one.ack.revision >= revision
    return Seen(
        device=one.device,
        reached=member(rollout_of(state, waves), one.device, one.labels),
        online=one.online,
        answered=answered,
        refused=answered and one.ack is not None and one.ack.status == "refused",
        p95_ms=one.p95_ms,
        skill=one.skill,
    )
