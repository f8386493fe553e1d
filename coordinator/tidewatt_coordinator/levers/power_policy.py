"""The fleet's own lever: the power policy, changed by a rollout in waves with its gates.

The setting is the fleet's rules. While a rollout of ours is on its way they count as the new ones that have
not settled; where its gates end it they are the old ones again.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.levers.driver import (
    Context,
    Foreign,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.settings import PowerPolicy
from tidewatt_coordinator.levers.standing import canonical
from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.rollout.documents import Read, parse, to_text
from tidewatt_coordinator.rollout.journal import Changed, Event, Journal
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.rollout.plan import Content
from tidewatt_coordinator.rollout.standing import Standing, begin, put, rolled_back
from tidewatt_coordinator.rollout.terms import Document
from tidewatt_wire.messages import Rule

#: By what our documents are known.
OURS = "lever"


class PowerPolicyDriver:
    """See levers/driver.py."""

    name = "power_policy"

    def __init__(
        self, settings: PowerPolicy, journal: Journal, fleet: str, now_ms: Callable[[], int]
    ) -> None:
        self._settings, self._journal, self._now_ms = settings, journal, now_ms
        self._target = f"fleet {fleet}"

    def probe(self) -> Probe:
        """Needs a policy that stands."""
        return Probe("ok") if self._journal.read() else Probe("later", "no policy stands yet")

    def observe(self) -> Sequence[Setting]:
        """The fleet's rules."""
        return [self.read(self._target)]

    def read(self, target: str) -> Setting:
        """The fleet's rules, or those on their way."""
        standing = self._standing()
        rules = _wanted(standing)
        return Setting(
            target=target,
            content={"rules": msgspec.to_builtins(rules)},
            version=str(standing.revision),
            settled=standing.live is None,
        )

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Let boards choose their point where a rule pins one."""
        found = []
        for one in settings:
            rules = msgspec.convert(one.content["rules"], list[Rule])
            pinned = [rule for rule in rules if rule.policy.mode is not None]
            spent = context.spending.get(ELECTRICITY)
            if pinned and spent is not None and one.settled:
                found.append(self._recommend(one, rules, spent, context.currency))
        return found

    def send(self, order: Order) -> None:
        """Begin a rollout; or, where one is on its way or was, give the rules of before."""
        rules = msgspec.convert(order.put["rules"], list[Rule])
        read = _document(rules, order.key)
        event = Event(
            at_ms=self._now_ms(),
            what="lever",
            author=order.by or OURS,
            reason=f"proposal {order.key}",
            document=read.sha256,
        )
        try:
            self._journal.change(lambda standing: self._following(standing, order, read), event, read)
        except (NothingToDo, Changed) as error:
            raise Lost(str(error)) from error

    def _following(self, standing: Standing, order: Order, read: Read) -> Standing:
        document, live = read.document, standing.live
        if live and live.new.name.partition("-")[0] != OURS:
            raise Foreign(f"rollout {live.id} is on its way, and not ours")
        if canonical({"rules": msgspec.to_builtins(_wanted(standing))}) != canonical(order.expect):
            raise Lost("the fleet's rules are not as they were when this was ordered")
        if live:
            return rolled_back(standing, f"proposal {order.key}", self._now_ms())
        last = standing.rollout
        if last and last.new.name == document.name and last.stage == "aborted":
            raise LeverError(f"its rollout was aborted: {last.reason}")
        if order.undo and standing.previous and standing.previous.rules == document.rules:
            # As it was, with its document's name: else a restart would take it for somebody's own.
            return put(standing, standing.previous, self._now_ms())
        content = Content(rules=document.rules, document=read.sha256, name=document.name)
        return begin(standing, content, document.rollout, self._now_ms())

    def _standing(self) -> Standing:
        kept = self._journal.read()
        if kept is None:
            raise LeverError("no policy stands yet")
        return kept.standing

    def _recommend(
        self, one: Setting, rules: Sequence[Rule], spent: Decimal, currency: str
    ) -> Recommendation:
        freed = [replace(rule, policy=replace(rule.policy, mode=None)) for rule in rules]
        count = sum(rule.policy.mode is not None for rule in rules)
        share = Decimal(count) / len(rules)
        low, high = ((spent * share * Decimal(str(part))).quantize(FINEST) for part in self._settings.saves)
        after: dict[str, Any] = {"rules": msgspec.to_builtins(freed)}
        return Recommendation(
            driver=self.name,
            target=one.target,
            service="edge",
            what=f"let boards choose their operating point, which {count} of {len(rules)} rules pin",
            before=one.content,
            after=after,
            saving=Saving(low=low, middle=(low + high) / 2, high=high, currency=currency),
            spending=spent,
            disruption=0.01,  # a board is switched in a quiet moment
            risk="low",
            evidence=[
                f"electricity of 30 days: {spent:.2f} {currency}; rules are taken to have equal parts of it",
                f"boards that choose save {self._settings.saves[0]:.0%} to {self._settings.saves[1]:.0%}",
            ],
            effects={},  # the governor keeps the promise, and the rollout's gates watch it
        )


def _wanted(standing: Standing) -> list[Rule]:
    live = standing.live
    ours = live and live.new.name.partition("-")[0] == OURS
    return live.new.rules if live and ours else standing.content.rules


def _document(rules: list[Rule], key: str) -> Read:
    document = Document(name=f"{OURS}-{key}"[:63], rules=rules)
    return parse(to_text(document), name=f"{key}.toml", language="toml")
