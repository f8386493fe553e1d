"""NAT gateways: advice on those that nobody uses, and on what needn't go through them."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from statistics import fmean

from tidewatt_coordinator.levers.advice import Advice, Told
from tidewatt_coordinator.levers.aws.client import aws
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.driver import Saving, Setting
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, exact, shares
from tidewatt_coordinator.prices.book import HOURS_PER_MONTH

GIGABYTE = 2**30
#: Less than this in a day is the noise of clocks and names.
IDLE_BYTES = 1_000_000
#: Gateway endpoints cost nothing, neither by the hour nor by the byte.
FREE = ("s3", "dynamodb")
#: What is processed and billed: whatever comes in from either side.
METRICS = ("BytesInFromDestination", "BytesInFromSource")


def pays_from(hourly: Decimal, saved: Decimal) -> str:
    """From which traffic on an endpoint pays that costs so much an hour and saves so much a gigabyte."""
    if saved <= 0:
        return "never pays"
    return f"pays from {hourly * HOURS_PER_MONTH / saved:.0f} GB a month and zone on"


class NatDriver(Advice):
    """See levers/advice.py."""

    name = "nat"
    service = "EC2 - Other"
    calls = ("cloudwatch:GetMetricData", "ec2:DescribeNatGateways", "ec2:DescribeVpcEndpoints")

    def look(self, now_ms: int) -> Iterator[Setting]:
        """Every gateway, with its bytes and the endpoints of its network."""
        with aws("ec2", self.settings) as ec2, aws("cloudwatch", self.settings) as watch:
            ends = [one for page in ec2.pages("DescribeVpcEndpoints") for one in page["VpcEndpoints"]]
            for page in ec2.pages("DescribeNatGateways"):
                for gateway in page["NatGateways"]:
                    if gateway["State"] != "available":
                        continue
                    name, network = gateway["NatGatewayId"], gateway["VpcId"]
                    asked = {
                        each: Series("AWS/NATGateway", each, (("NatGatewayId", name),)) for each in METRICS
                    }
                    found = series(watch, asked, now_ms=now_ms, days=self.settings.days)
                    some = [values for values in found.values() if values]
                    has = {one["ServiceName"].rpartition(".")[2] for one in ends if one["VpcId"] == network}
                    yield self.setting(
                        f"nat://{name}",
                        bytes=[sum(each) for each in zip(*some, strict=True)],
                        network=network,
                        lacks=[one for one in FREE if one not in has],
                        addresses=sum(1 for one in gateway["NatGatewayAddresses"] if one.get("PublicIp")),
                        since_days=(now_ms - gateway["CreateTime"].timestamp() * 1000) / 86_400_000,
                    )

    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """None where nothing flows; endpoints where much does."""
        facts, data = one.facts, self.price("aws-other", "nat-gateway-data", day)
        mean = fmean(facts["bytes"]) if facts["bytes"] else 0.0
        if mean < IDLE_BYTES:
            if facts["since_days"] >= self.settings.days:
                yield self._unneeded(one, day, mean)
            return
        gigabytes = exact(mean / GIGABYTE) * DAYS_PER_MONTH
        cost = data.price.cost(gigabytes)
        end, more = (
            self.price("aws-data", item, day).price.marginal()
            for item in ("interface-endpoint", "interface-endpoint-data")
        )
        if facts["lacks"]:
            low, high = self.settings.saves
            worth = pays_from(end, data.price.marginal() - more)
            yield Told(
                what=f"give {facts['network']} free gateway endpoints for {' and '.join(facts['lacks'])}",
                saving=shares(cost, self.settings.saves, data.table.currency),
                spending=cost,
                evidence=[
                    (
                        f"{gigabytes:.3g} GB a month go through {one.target}"
                        f" for {data.price.marginal()} {data.table.currency} each"
                    ),
                    f"between {low:.0%} and {high:.0%} of it to them: assumed; flow logs tell",
                    f"for other services an interface endpoint {worth}",
                ],
                risk="low",
            )

    def _unneeded(self, one: Setting, day: date, mean: float) -> Told:
        hour = self.price("aws-other", "nat-gateway", day)
        address = self.price("aws-other", "public-ipv4", day).price.cost(HOURS_PER_MONTH)
        saved = hour.price.cost(HOURS_PER_MONTH) + Decimal(one.facts["addresses"]) * address
        return Told(
            what=f"delete {one.target}: nothing goes through it",
            saving=Saving(low=saved, middle=saved, high=saved, currency=hour.table.currency),
            spending=saved,
            evidence=[
                f"{mean / 1e6:.3g} MB a day in {self.settings.days} days",
                "look at the routes to it first: something may need it once a month",
            ],
        )
