"""What is asked of a simulation, over REST or by file."""

from typing import Annotated

import msgspec

from tidewatt_coordinator.simulate.bundled import reference, templates
from tidewatt_coordinator.simulate.demand import MOST_DAYS, Demand, Profile
from tidewatt_coordinator.simulate.outcome import Outcome
from tidewatt_coordinator.simulate.scenario import Means, outcome, sight
from tidewatt_coordinator.simulate.world import Change, World

#: Scenarios times days: what a coordinator has time for beside its work.
MOST_LIVED = 120
Days = Annotated[int, msgspec.Meta(ge=1, le=MOST_DAYS)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused."""


class Recorded(Strict, frozen=True, kw_only=True):
    """Where demand is from: one of these. None: the reference service's profile."""

    profile: Profile | None = None
    rps: Annotated[list[Rate], msgspec.Meta(min_length=1440, max_length=MOST_DAYS * 1440)] | None = None
    """By minute, from midnight (UTC) of a Monday on."""
    query: str = ""
    """PromQL for requests/s, asked of `dispatch.prometheus`; several series are summed."""
    ledger: bool = False
    """What the whole fleet was asked for."""
    days: Days = 14
    """Of the query or the ledger: the last so many."""
    peak_rps: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = None
    """Recorded demand is scaled so that its 99.5th percentile meets this."""

    def __post_init__(self) -> None:
        given = [self.profile is not None, self.rps is not None, bool(self.query), self.ledger]
        if sum(given) > 1:
            raise ValueError("demand is from one place: profile, rps, query or ledger")


class Wanted(Strict, frozen=True, kw_only=True):
    """One scenario: a template by name, or what it changes."""

    template: str = ""
    name: str = ""
    change: Change | None = None

    def __post_init__(self) -> None:
        if bool(self.template) == (self.change is not None):
            raise ValueError("a scenario is either a template or a change")


class One(Wanted, frozen=True, kw_only=True):
    """The body of POST /v1/simulate."""

    world: World | None = None
    """None: the reference service."""
    demand: Recorded = Recorded()
    seed: int = 1


class Batch(Strict, frozen=True, kw_only=True):
    """The body of POST /v1/simulate/batch: scenarios of one world and one demand."""

    scenarios: Annotated[list[Wanted], msgspec.Meta(min_length=1, max_length=32)]
    world: World | None = None
    demand: Recorded = Recorded()
    seed: int = 1


class Refused(Strict, frozen=True, kw_only=True):
    """A scenario of a batch that can't be."""

    scenario: str
    error: str


def answer(asked: One | Batch, demand: Demand, means: Means) -> list[Outcome | Refused]:
    """An outcome for each scenario, or why there is none. ValueError: the world itself can't be."""
    scenarios: list[Wanted] = list(asked.scenarios) if isinstance(asked, Batch) else [asked]
    if len(scenarios) * len(demand.rps) > MOST_LIVED:
        raise ValueError(
            f"{len(scenarios)} scenarios over {len(demand.rps)} days are more than {MOST_LIVED} days to live"
        )
    first = sight(asked.world or reference().world, demand, means)
    found: list[Outcome | Refused] = []
    for one in scenarios:
        name = one.name or one.template or "scenario"
        try:
            found.append(outcome(name, first, _change(one), demand, means, seed=asked.seed))
        except ValueError as error:
            found.append(Refused(scenario=name, error=str(error)))
    return found


def _change(wanted: Wanted) -> Change:
    if wanted.change is not None:
        return wanted.change
    known = templates()
    if wanted.template not in known:
        raise ValueError(f"there is no template {wanted.template!r}; there are: {', '.join(known)}")
    return known[wanted.template].change
