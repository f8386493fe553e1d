"""A fleet as its planner sees it: births and reports as they are told, minute by minute."""

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.hinting.outlook import Foreseer
from tidewatt_coordinator.hinting.rounds import MINUTE_MS, Planner
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.steering.pools import PoolPrice
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_governor.boards import load_profile
from tidewatt_governor.points import usable_rps
from tidewatt_wire.messages import Birth, Control, Counters, Gauges, Policy, PolicySet, Report, Rule

BOARD = load_profile("orin-nano-super")
USABLE = {point.name: usable_rps(point, Policy().slo_p95_ms) for point in BOARD.points}
BEGIN_MS = 1_800_000_000_000


class World:
    """A fleet that reports what it is told to have served, and its planner."""

    def __init__(
        self,
        dispatch: Dispatch | None = None,
        *,
        sees: bool = True,
        foreseer: Foreseer | None = None,
        **settings: object,
    ) -> None:
        self.fleet, self.minute, self.requests = Fleet(90_000), BEGIN_MS // MINUTE_MS, dict[str, float]()
        self.policies = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[Rule()])
        power = Power(0.15, "USD", {"spot": PoolPrice(1e-6, 0.0, "")})
        planning = Planning(**{"mode": "hint", **settings})  # type: ignore[arg-type]
        self.planner = Planner(
            planning, dispatch or Dispatch(), self.fleet, lambda: self.policies, power, {}, lambda: None,
            lambda: sees, lambda: foreseer,
        )  # fmt: skip

    @property
    def now_ms(self) -> int:
        return self.minute * MINUTE_MS

    def born(self, *names: str, control: Control = "enforce", site: str = "", session: str = "s") -> None:
        for name in names:
            birth = Birth(
                device=name, session=session, epoch="e", at_ms=0, version="0", board="b", control=control,
                points=BOARD.points, labels={"site": site} if site else {},
            )  # fmt: skip
            self.fleet.born(birth, self.now_ms)

    def pass_minute(self, at: dict[str, str], rps: float | None) -> None:
        """Every device serves `rps` at its point for a minute."""
        self.minute += 1
        for name, point in at.items():
            self.requests[name] = self.requests.get(name, 0.0) + 60.0 * (rps or 0.0)
            report = Report(
                device=name, session="s", epoch="e", seq=self.minute, at_ms=self.now_ms,
                counters=Counters(requests=round(self.requests[name])),
                gauges=Gauges(point=point, requests_rps=rps),
            )  # fmt: skip
            self.fleet.reported(report, self.now_ms)
