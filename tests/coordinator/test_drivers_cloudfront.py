"""CloudFront: classes, the flat plan and caching, on moto and behind a line that breaks."""

import gzip
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import boto3
import pytest
from tests.between import Between
from tests.contract import Enduring, World, order, proposed

from tidewatt_coordinator.config import parse_config
from tidewatt_coordinator.levers.driver import Context
from tidewatt_coordinator.levers.edge.cloudfront import CloudFrontDriver
from tidewatt_coordinator.levers.edge.cloudfront_logs import locations
from tidewatt_coordinator.levers.edge.cloudfront_mix import Mix, given, lines, measured
from tidewatt_coordinator.levers.edge.settings import CloudFront, Route53, Viewers
from tidewatt_coordinator.levers.settings import Levers, wrong_levers
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.prices.worked import transfer

BOOK = load_book()
NOW = datetime.now(timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
ON = date(2026, 11, 21)
CONTEXT = Context(now_ms=NOW_MS)

#: 100 M requests and 50 TB a month as the first design notes had them.
NOTES = {
    "us": ("0.50", 20, 40), "eu": ("0.25", 18, 38), "ap": ("0.18", 25, 58), "in": ("0.04", 30, 62),
    "sa": ("0.02", 40, 88), "me": ("0.01", 40, 75),
}  # fmt: skip
"""Share, median and p95 in ms."""


def viewers() -> dict[str, Viewers]:
    return {
        region: Viewers(gb=float(share) * 50_000, requests=round(float(share) * 1e8), p50_ms=p50, p95_ms=p95)
        for region, (share, p50, p95) in NOTES.items()
    }


def a_distribution(reference: str = "a", **values: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "CallerReference": reference,
        "Comment": "the shop",
        "Enabled": True,
        "PriceClass": "PriceClass_All",
        "Origins": {
            "Quantity": 1,
            "Items": [{"Id": "o", "DomainName": "o.example.com", "CustomOriginConfig": {
                "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}}],
        },
        "DefaultCacheBehavior": {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "redirect-to-https",
            "MinTTL": 0,
            "ForwardedValues": {"QueryString": True, "Cookies": {"Forward": "none"}},
        },
    }  # fmt: skip
    return known | values


class TestCloudFront(Enduring):
    @pytest.fixture
    def front(self, fresh: Between, cloud: str) -> Iterator[Any]:
        client = boto3.client("cloudfront", region_name="us-east-1", endpoint_url=cloud)
        yield client
        client.close()

    @pytest.fixture
    def name(self, front: Any) -> str:
        return str(front.create_distribution(DistributionConfig=a_distribution())["Distribution"]["Id"])

    @pytest.fixture
    def world(self, front: Any, name: str, fresh: Between) -> World:
        settings = CloudFront(endpoint=fresh.url, mix={name: viewers()}, service="shop")

        def become(**values: Any) -> None:
            got = front.get_distribution_config(Id=name)
            config = got["DistributionConfig"] | values
            front.update_distribution(Id=name, IfMatch=got["ETag"], DistributionConfig=config)

        return World(
            driver=CloudFrontDriver(settings, BOOK, lambda: NOW_MS),
            context=CONTEXT,
            raw=lambda: front.get_distribution_config(Id=name)["DistributionConfig"],
            disturb=lambda: become(PriceClass="PriceClass_200"),
            add_foreign=lambda: become(Comment="the shop of others", HttpVersion="http2"),
            settle=lambda: front.get_distribution(Id=name),
        )

    def test_the_etag_that_was_read_goes_with_it(self, world: World, name: str, fresh: Between) -> None:
        one = proposed(world)
        seen = world.driver.read(name)
        world.driver.send(order(one, seen, one.after))
        ((method, path, headers),) = fresh.changes
        assert (method, path) == ("PUT", f"/2020-05-31/distribution/{name}/config")
        assert {key.lower(): value for key, value in headers.items()}["if-match"] == seen.version

    def test_classes_the_plan_and_caching_are_told_with_their_figures(self, world: World, name: str) -> None:
        to_100, to_200, plan, caching = world.driver.propose(world.driver.observe(), CONTEXT)
        table = BOOK.table("aws-cloudfront", on=ON)
        assert to_100.after == {"PriceClass": "PriceClass_100"}
        assert to_200.after == {"PriceClass": "PriceClass_200"}
        costs = {name: self.cost(name) for name in table.reach}
        assert to_100.saving.middle == costs["PriceClass_All"] - costs["PriceClass_100"]
        assert to_100.spending == costs["PriceClass_All"]
        assert "25.0% of the requests (ap, in, me, sa)" in " ".join(to_100.evidence)
        assert to_100.risk == "medium"
        assert to_100.effects
        assert to_100.effects["p95_ms"].plus > 100  # a quarter of the viewers are sent overseas
        assert to_200.effects
        assert 0 <= to_200.effects["p95_ms"].plus < to_200.effects["p99_ms"].plus
        assert plan.irreversible
        assert plan.after == {"plan": "Business"}
        assert plan.saving.middle == costs["PriceClass_All"] - 200
        assert "a web ACL is attached" in " ".join(plan.evidence)
        assert caching.irreversible
        assert "legacy forwarded values" in caching.evidence[0]

    @staticmethod
    def cost(price_class: str) -> Decimal:
        return transfer(BOOK, given(viewers()).gigabytes, price_class, on=ON)

    def test_a_cached_answer_is_never_anothers(self, world: World, front: Any) -> None:
        behaviour = {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "https-only",
            "Compress": True,
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            "OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3",
        }
        config = a_distribution("b", DefaultCacheBehavior=behaviour)
        leaky = front.create_distribution(DistributionConfig=config)["Distribution"]["Id"]
        settings = CloudFront(endpoint=str(front.meta.endpoint_url), mix={leaky: viewers()})
        driver = CloudFrontDriver(settings, BOOK, lambda: NOW_MS)
        told = [one for one in driver.propose(driver.observe(), CONTEXT) if "caching" in one.after]
        assert "one viewer's answer may be given to another" in told[0].evidence[0]

    def test_viewers_are_read_from_its_own_logs(self, front: Any, fresh: Between, cloud: str) -> None:
        s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=cloud)
        s3.create_bucket(Bucket="logs")
        where = {
            "Enabled": True,
            "IncludeCookies": False,
            "Bucket": "logs.s3.amazonaws.com",
            "Prefix": "cdn/",
        }
        config = a_distribution("c", Logging=where)
        name = front.create_distribution(DistributionConfig=config)["Distribution"]["Id"]
        for back in range(2, 9):
            day = f"{NOW - timedelta(days=back):%Y-%m-%d}"
            rows = [f"{day}\tFRA56-P1\t1000000\t0.040\tHit"] * 9 + [f"{day}\tSYD1-C1\t1000000\t0.090\tMiss"]
            text = "#Version: 1.0\n#Fields: date x-edge-location sc-bytes time-taken x-edge-result-type\n"
            packed = gzip.compress((text + "\n".join(rows)).encode(), mtime=0)
            s3.put_object(Bucket="logs", Key=f"cdn/{name}.{day}-11.abc.gz", Body=packed)
        s3.close()
        settings = CloudFront(endpoint=fresh.url, distributions=[name])
        (seen,) = CloudFrontDriver(settings, BOOK, lambda: NOW_MS).observe()
        mix: Mix = seen.facts["mix"]
        assert {region: round(gb, 9) for region, gb in mix.gigabytes.items()} == {
            "au": Decimal("0.03"),
            "eu": Decimal("0.27"),
        }
        assert mix.requests == pytest.approx(300)
        assert mix.hits == 0.9
        assert mix.spread == 0.02

    def test_percentiles_are_taken_over_all_requests(self) -> None:
        """The notes averaged regions' p95 to 22 ms; 7 % of their requests took 62 ms and more."""
        told = {"us": ("0.93", 20), "in": ("0.04", 62), "sa": ("0.02", 88), "au": ("0.01", 75)}
        mix = given(
            {
                region: Viewers(gb=1, requests=round(float(share) * 1e6), p50_ms=ms, p95_ms=ms)
                for region, (share, ms) in told.items()
            }
        )
        everywhere = BOOK.table("aws-cloudfront", on=ON).reach["PriceClass_All"]
        assert mix.quantile_ms(0.95, everywhere, everywhere, {}) == 62

    def test_a_log_that_is_no_log_says_nothing(self) -> None:
        assert measured(lines("#Fields: date\nx\ty\n\nnonsense", locations()), 7, 1) is None


def test_a_mix_is_read_from_the_configuration_and_wrong_ends_are_told() -> None:
    text = "[levers.cloudfront.mix.E1.us]\ngb = 4.5\nrequests = 3\np50_ms = 3\np95_ms = 9\n"
    levers = parse_config(text, name="c.toml").levers
    assert levers.cloudfront.mix == {"E1": {"us": Viewers(gb=4.5, requests=3, p50_ms=3, p95_ms=9)}}
    wrong = Levers(route53=Route53(endpoint="localhost:5000"))
    assert list(wrong_levers(wrong)) == [
        "levers.route53.endpoint 'localhost:5000' is not http://HOST or https://HOST"
    ]


@pytest.mark.parametrize(
    ("price_class", "cost"), [("PriceClass_All", 4563), ("PriceClass_200", 4533), ("PriceClass_100", 4100)]
)
def test_the_worked_figures_of_50_tb(price_class: str, cost: int) -> None:
    # As in test_prices.py: the mix by which the figures were computed.
    by_region = {"us": "22500", "eu": "15000", "ap": "9000", "in": "2000", "sa": "1000", "me": "500"}
    mix = {region: Decimal(gb) for region, gb in by_region.items()}
    assert transfer(BOOK, mix, price_class, on=ON) == pytest.approx(cost, abs=1)
