"""Commitments and other clouds: compared, and never bought."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract import AdviceOnly, World, proposed
from tests.spent import BOOK, CONTEXT, EC2, TODAY, cost

from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.commitments import CommitmentsDriver
from tidewatt_coordinator.levers.spend.committing import Offer, choose, fall, growths, use_of
from tidewatt_coordinator.levers.spend.multi_cloud import MultiCloudDriver
from tidewatt_coordinator.levers.spend.settings import (
    Commitments,
    MultiCloud,
)
from tidewatt_coordinator.prices.book import PriceError
from tidewatt_coordinator.prices.elsewhere import compare, pays_back_months, shape_of

DAYS = 84
YEAR_NONE = Offer(table="t", name="1-year-none", share=0.73, months=12, upfront=0)


ON_DEMAND = "$0.29 per On Demand Linux c7g.2xlarge Instance Hour"
SPOT = "c7g.2xlarge Linux/UNIX Spot Instance-hour in US East in VPC Zone #1"


def spent(per_day: list[float], service: str = EC2, spot: float = 0.0) -> Sights:
    first = TODAY - timedelta(days=len(per_day))
    rows = [
        cost(str(first + timedelta(days=day)), service, "Usage", described, effective=amount)
        for day, on_demand in enumerate(per_day)
        for described, amount in ((ON_DEMAND, on_demand), (SPOT, spot))
        if amount or not spot
    ]
    return Sights(described=lambda _days, services: [row for row in rows if row.key[1] in services])


class TestCommitments(AdviceOnly):
    @pytest.fixture
    def world(self) -> World:
        sights = spent([240.0] * DAYS)
        driver = CommitmentsDriver(Commitments(), BOOK, sights)
        return World(driver=driver, context=CONTEXT, raw=lambda: None, disturb=lambda: None)

    def test_the_longest_and_deepest_isnt_bought_where_shrinking_is_likely(self, world: World) -> None:
        one = proposed(world)
        told = one.after["commitment"]
        assert one.before == {"commitment": None}
        assert one.saving.low > 0
        # 240 a day are 10 an hour; even the least hour is more than what is committed to covers.
        assert Decimal(told["per_hour"]) < 10
        assert any("futures lose money" in sentence for sentence in one.evidence)
        short = CommitmentsDriver(Commitments(most_months=12), BOOK, spent([240.0] * DAYS))
        year = short.propose(short.observe(), CONTEXT)[0]
        assert year.after["commitment"]["months"] == 12
        assert year.saving.middle < one.saving.middle

    def test_too_little_history_other_services_and_what_is_committed_leave_nothing(self) -> None:
        for seen, terms in (
            (spent([240.0] * 20), Commitments()),
            (spent([240.0] * DAYS, "Amazon Simple Storage Service"), Commitments()),
            (spent([240.0] * DAYS), Commitments(committed_per_hour={"compute": Decimal(15)})),
            (spent([0.0] * DAYS), Commitments()),
        ):
            driver = CommitmentsDriver(terms, BOOK, seen)
            assert not driver.propose(driver.observe(), CONTEXT)

    def test_spot_machines_are_nothing_to_commit_to(self, world: World) -> None:
        """Else a fleet that is mostly spot would buy hours that it can't use."""
        mixed = CommitmentsDriver(Commitments(), BOOK, spent([240.0] * DAYS, spot=560.0))
        one = mixed.propose(mixed.observe(), CONTEXT)[0]
        assert (one.after, one.saving) == (proposed(world).after, proposed(world).saving)
        assert any("47,040.00 USD of spot machines is left out" in sentence for sentence in one.evidence)
        only = CommitmentsDriver(Commitments(), BOOK, spent([0.0] * DAYS, spot=560.0))
        assert not only.propose(only.observe(), CONTEXT)

    def test_tomorrows_advice_is_todays(self) -> None:
        told = []
        for level in (240.0, 240.4):
            driver = CommitmentsDriver(Commitments(), BOOK, spent([level] * DAYS))
            told.append(driver.propose(driver.observe(), CONTEXT)[0].after)
        assert told[0] == told[1]

    def test_a_fall_that_is_seen_makes_it_smaller(self) -> None:
        steady, falling = (
            choose(use_of(days, 0.6), YEAR_NONE, growths(-0.3, 0.3, fall(days)), 0.1)
            for days in ([240.0] * 56, [250.0] * 28 + [240.0] * 28)
        )
        assert steady
        assert falling is None or falling.per_hour < steady.per_hour

    @settings(max_examples=25)
    @given(
        days=st.lists(st.floats(1, 1000), min_size=28, max_size=40),
        share=st.floats(0.3, 0.9),
        scale=st.sampled_from([0.1, 10.0, 1000.0]),
    )
    def test_the_saving_is_bounded_and_scales_with_money(
        self, days: list[float], share: float, scale: float
    ) -> None:
        offer = msgspec.structs.replace(YEAR_NONE, share=share)
        flat = growths(-0.2, 0.2, 0.0)
        one = choose(use_of(days, 0.6), offer, flat, 0.1)
        if one is None:
            return
        assert one.low <= one.middle <= one.high
        assert one.loss <= 0.1
        assert one.used >= share  # else the mean saving were none
        # Never more than the discount on everything that would be spent.
        most = sum(days) / len(days) / 24 * 730 * (1 - share) * max(1 + each for each in flat)
        assert one.middle <= most + 1e-6
        larger = choose(use_of([day * scale for day in days], 0.6), offer, flat, 0.1)
        assert larger
        assert larger.middle == pytest.approx(one.middle * scale, rel=0.05)

    def test_break_even_is_the_share(self) -> None:
        use = use_of([240.0] * 30, 1.0)
        certain = growths(0.0, 0.0, 0.0)
        one = choose(use, YEAR_NONE, certain, 0.1)
        assert one
        assert one.per_hour == pytest.approx(10 * 0.73, rel=0.08)
        assert one.middle == pytest.approx(10 * 0.27 * 730, rel=0.08)
        assert one.even_months == pytest.approx(12 * 0.73)
        assert one.upfront == 0


# Other clouds


class TestMultiCloud(AdviceOnly):
    @pytest.fixture
    def world(self) -> World:
        terms = MultiCloud(nodes={"m7g.2xlarge": 5}, stored_gb=1000.0)
        driver = MultiCloudDriver(terms, BOOK)
        return World(driver=driver, context=CONTEXT, raw=lambda: None, disturb=lambda: None)

    def test_the_same_machines_by_hand(self) -> None:
        found = compare(BOOK, {"m7g.2xlarge": 5}, "us-east-1", on=TODAY, stored_gb=Decimal(1000))
        gcp = next(one for one in found if one.provider == "gcp")
        assert gcp.here == Decimal("0.3264") * 730 * 5
        assert gcp.there == Decimal("0.308") * 730 * 5
        assert [one.machine for one in gcp.nodes] == ["t2a-standard-8"]
        assert gcp.moving == Decimal(90)
        assert pays_back_months(gcp) == Decimal("1.3")

    def test_shapes_by_name(self) -> None:
        assert shape_of("c7g.2xlarge").gib == 16
        assert shape_of("r6i.large").arm64 is False
        with pytest.raises(PriceError, match=r"t3\.large"):
            shape_of("t3.large")

    def test_what_is_dearer_elsewhere_is_not_recommended(self) -> None:
        driver = MultiCloudDriver(MultiCloud(nodes={"c7g.2xlarge": 5}), BOOK)
        assert not driver.propose(driver.observe(), CONTEXT)
        assert MultiCloudDriver(MultiCloud(), BOOK).probe().ready == "no"
