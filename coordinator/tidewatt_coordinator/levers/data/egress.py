"""Egress: advice to send what load balancers give to viewers through CloudFront.

Transfer from AWS to CloudFront is free, and CloudFront's own is cheaper and begins with a free terabyte, even
where nothing can be cached.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from statistics import fmean

from tidewatt_coordinator.levers.advice import Advice, Told
from tidewatt_coordinator.levers.aws.client import aws
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.data.settings import Egress
from tidewatt_coordinator.levers.driver import Saving, Setting
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, exact
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.prices.worked import beyond_free

GIGABYTE = 2**30
#: A load balancer counts both ways; of what it counts at least so much goes to viewers.
SHARE_OUT = Decimal("0.5")


class EgressDriver(Advice):
    """See levers/advice.py."""

    name = "egress"
    service = "EC2 - Other"
    settings: Egress
    calls = ("cloudwatch:GetMetricData", "elasticloadbalancing:DescribeLoadBalancers")

    def look(self, now_ms: int) -> Iterator[Setting]:
        """Every application load balancer that faces the internet, with its bytes and requests."""
        with aws("elbv2", self.settings) as balancing, aws("cloudwatch", self.settings) as watch:
            for page in balancing.pages("DescribeLoadBalancers"):
                for one in page["LoadBalancers"]:
                    if one["Type"] != "application" or one["Scheme"] != "internet-facing":
                        continue
                    at = (("LoadBalancer", one["LoadBalancerArn"].partition(":loadbalancer/")[2]),)
                    asked = {
                        "bytes": Series("AWS/ApplicationELB", "ProcessedBytes", at),
                        "requests": Series("AWS/ApplicationELB", "RequestCount", at),
                    }
                    found = series(watch, asked, now_ms=now_ms, days=self.settings.days)
                    yield self.setting(f"alb://{one['LoadBalancerName']}", **found)

    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """CloudFront, where it costs less."""
        facts = one.facts
        if not facts["bytes"]:
            return
        most = exact(fmean(facts["bytes"]) / GIGABYTE) * DAYS_PER_MONTH
        requests = exact(fmean(facts["requests"] or [0.0])) * DAYS_PER_MONTH
        direct = self.price("aws-other", "transfer-to-internet", day)
        saved = sorted(
            beyond_free(direct.price, size) - through(self._book, self.settings.viewers, size, requests, day)
            for size in (most * SHARE_OUT, most)
        )
        yield Told(
            what=f"serve {one.target} through CloudFront",
            saving=Saving(
                low=saved[0], middle=(saved[0] + saved[1]) / 2, high=saved[1], currency=direct.table.currency
            ),
            spending=beyond_free(direct.price, most),
            evidence=[
                (
                    f"{most:.4g} GB a month, both ways, of which at least {SHARE_OUT:.0%} are held to go out;"
                    f" {requests:.3g} requests"
                ),
                "transfer to CloudFront is free; its free terabyte and requests are counted as unused so far",
                "without caching: every hit saves the service's own work, too",
            ],
        )


def through(book: PriceBook, viewers: str, gigabytes: Decimal, requests: Decimal, day: date) -> Decimal:
    """A month through CloudFront, beyond what is free. Pure."""
    transfer = book.find("aws-cloudfront", "transfer-out", viewers, on=day).price
    asked = book.find("aws-data", "cloudfront-https-requests", on=day).price
    return beyond_free(transfer, gigabytes) + beyond_free(asked, requests)
