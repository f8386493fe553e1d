"""What a driver is: one file that can see a real setting, say what would be cheaper, and change it.

The engine (proposals/) does all the rest: verdicts, approval, limits, journal, retries, verification, the
guard window, rollback. A driver therefore never retries, never waits and never remembers.

A setting's **content** holds only the parts that the driver owns, by name; what others own never gets into
it, and `send` leaves it as it is. A part that isn't there is null: to put null takes it away. Applying is to
put `after` where `before` is, rolling back is to put `before` where `after` is, and what was tried can
always be seen by reading.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec

from tidewatt_coordinator.questions.changes import Selector

Content = dict[str, Any]
"""JSON by the name of the part."""

Ready = Literal["ok", "later", "no"]
Risk = Literal["low", "medium", "high"]


class LeverError(RuntimeError):
    """It can't be done, and surely nothing was changed; the sentence says what and why."""


class Lost(LeverError):
    """What is there is not what was expected: nothing was changed."""


class Foreign(LeverError):
    """Somebody else owns what would be changed: nothing was changed."""


class Throttled(LeverError):
    """Not now; the same order may be given again later. Nothing was changed."""


class Unsure(LeverError):
    """Nobody knows whether it was done, or half of it: a timeout, a broken connection. Reading will tell."""


class Probe(msgspec.Struct, frozen=True):
    """Whether a driver can work here."""

    ready: Ready
    why: str = ""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as it is now: of one target, the parts that the driver owns."""

    target: str
    """What is set, as people name it: s3://bucket, a pool, the fleet."""
    content: Content
    version: str = ""
    """An ETag or resourceVersion, for an order that must not overtake somebody else's; empty: there is
    none."""
    settled: bool = True
    """False while what was ordered is on its way: a deployment, a rollout."""
    facts: dict[str, Any] = {}
    """What was measured of it, for `propose`. Needed from `observe` alone."""


class Saving(msgspec.Struct, frozen=True, kw_only=True):
    """Money saved in a month: 80 of 100 lie in the interval."""

    low: Decimal
    middle: Decimal
    high: Decimal
    currency: str = "USD"


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The worst that a change is expected to do to a service, for its promise: value * factor + plus."""

    factor: float = 1.0
    plus: float = 0.0


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One change that would save money, whole: judged, shown and applied without asking the driver again."""

    driver: str
    target: str
    service: str
    """Whose promise it touches, as [[sla]] names it; else what the bill calls it."""
    what: str
    """A sentence for people."""
    before: Content
    after: Content
    """The same parts as `before`."""
    saving: Saving
    spending: Decimal | None = None
    """What the target costs in a month now, in the saving's currency; None: not known."""
    disruption: float
    """Share of the service's capacity or requests that the change disturbs while it is made, 0 to 1."""
    capacity: float = 0.0
    """Share of the fleet's or pool's capacity that is being changed, for the blast radius, 0 to 1."""
    risk: Risk
    evidence: list[str]
    """Sentences: what was measured, where, when."""
    effects: dict[str, Effect] | None = {}
    """By the promise's metric (sla/objectives). Empty: requests don't notice. None: nobody knows."""
    irreversible: bool = False
    """A purchase, a deletion without a copy: recommended only, never applied by the product."""
    final: str = ""
    """Not empty: we can't take it back, but what it does away with is secured; the sentence says how to get
    it back. Only a person may approve it, saying that it is final; there is no rollback."""
    routine: bool = False
    """A move within bounds that the operator set, up as well as down, as demand asks: the rule may approve it
    whatever it saves, and it isn't counted among the changes of an hour."""
    selector: Selector | None = None
    """What the realised saving is counted on; None: it is counted elsewhere, or can't be."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Put `put` where `expect` is. Every part of `put` is in `expect`."""

    target: str
    expect: Content
    put: Content
    version: str = ""
    """Of the setting whose content is `expect`."""
    key: str = ""
    """The same for every try of one order, another for its rollback: an idempotency key for APIs that take
    one."""
    undo: bool = False
    """Whether this takes a change back."""
    by: str = ""
    """Who approved it."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What proposals are priced by."""

    now_ms: int
    currency: str = "USD"
    spending: Mapping[str, Decimal] = {}
    """Effective cost of the last 30 days by the bill's services, in `currency`; one that isn't there isn't
    known."""


class Driver(Protocol):
    """One lever. No method may be called by two threads at once; each may block for seconds."""

    @property
    def name(self) -> str:
        """By which the configuration, proposals and metrics know it; never changes."""

    def probe(self) -> Probe:
        """Whether it can work here: `no` for good, `later` for now. Never raises."""

    def observe(self) -> Sequence[Setting]:
        """Every target, with its facts. LeverError if that can't be read."""

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """What would be cheaper. Pure: the same settings and context give the same, in the same order."""

    def read(self, target: str) -> Setting:
        """One target as it is at this moment. LeverError if it can't be read."""

    def send(self, order: Order) -> None:
        """Carry the order out, once, without waiting for it to settle; others' parts stay as they are.

        Raises Lost if what is there is not `expect`, by the API's own precondition where it has one; Foreign,
        Throttled, LeverError with nothing changed; Unsure, and nothing else, if something may have been.
        """
