"""The simulated twin: settings in memory behind the Driver Protocol, which fail as told.

Part of the product, for trials of the engine without an account and as the measure of real drivers: both
pass the same contract tests (tests/contract.py).
"""

import copy
from collections.abc import Callable, Sequence
from typing import Literal

from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    Foreign,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Setting,
    Throttled,
    Unsure,
)
from tidewatt_coordinator.levers.standing import expected

Fault = Literal[
    "lost", "throttled", "foreign", "refused", "timeout_before", "timeout_after", "partial", "crash"
]


class Killed(BaseException):
    """The process died here."""


class Twin:
    """Settings by target; `faults` is used up from the front, one for each order ("" for none)."""

    def __init__(
        self,
        name: str,
        settings: dict[str, Content],
        propose: Callable[[Sequence[Setting], Context], Sequence[Recommendation]] = lambda _s, _c: [],
    ) -> None:
        self._name, self._propose = name, propose
        self.settings = settings
        self.faults: list[Fault | Literal[""]] = []
        self.read_faults: list[LeverError | None] = []
        self.sent: list[Order] = []
        """Every order that arrived."""
        self.changes = 0
        """How often something became other than it was."""
        self.settles_after_reads = 0
        self._reads_left = 0

    @property
    def name(self) -> str:
        """As it was given."""
        return self._name

    def probe(self) -> Probe:
        """Always ready."""
        return Probe("ok")

    def observe(self) -> Sequence[Setting]:
        """All of them, by target."""
        return [self._setting(target) for target in sorted(self.settings)]

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """As it was given."""
        return self._propose(settings, context)

    def read(self, target: str) -> Setting:
        """The target; the next of `read_faults` if there is one."""
        if self.read_faults and (error := self.read_faults.pop(0)):
            raise error
        self._reads_left = max(0, self._reads_left - 1)
        return self._setting(target)

    def send(self, order: Order) -> None:
        """Carry it out, or fail as told."""
        self.sent.append(order)
        fault = self.faults.pop(0) if self.faults else ""
        simple = {"lost": Lost, "throttled": Throttled, "foreign": Foreign, "refused": LeverError}
        if fault in simple:
            raise simple[fault](f"the twin was told to be {fault}")
        if fault == "crash":
            raise Killed
        if fault == "timeout_before":
            raise Unsure("no answer, and nothing done")
        if not expected(order.expect, self.settings[order.target]):
            raise Lost(f"{order.target} is not as expected")
        self._put(order, half=fault == "partial")
        if fault in ("timeout_after", "partial"):
            raise Unsure("no answer, though it was done")

    def _put(self, order: Order, *, half: bool) -> None:
        names = sorted(order.put)
        before = copy.deepcopy(self.settings[order.target])
        for name in names[: (len(names) + 1) // 2] if half else names:
            if order.put[name] is None:
                self.settings[order.target].pop(name, None)
            else:
                self.settings[order.target][name] = copy.deepcopy(order.put[name])
        self.changes += before != self.settings[order.target]
        self._reads_left = self.settles_after_reads

    def _setting(self, target: str) -> Setting:
        content = copy.deepcopy(self.settings[target])
        return Setting(target=target, content=content, settled=not self._reads_left)
