"""EBS: gp2 volumes to gp3, never slower than they are.

gp2's speed comes of its size, gp3's is bought: what gp2 gives is bought with gp3, so a small volume becomes
cheaper, and one whose speed would cost more than the change saves is left. ModifyVolume has no precondition
and works while the volume is used; a volume can be changed again only hours later, so a rollback may have to
wait.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, Refusal, aws, installed
from tidewatt_coordinator.levers.data.settings import EbsVolumes
from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
    Throttled,
)
from tidewatt_coordinator.levers.months import day_of
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

SERVICE = "EC2 - Other"
PART = "volume"
#: gp2: IOPS for each GiB, within bounds; MiB/s up to the size, and from it on.
IOPS_PER_GIB, LEAST_IOPS, MOST_IOPS = 3, 100, 16_000
SMALL_GIB, SMALL_MIBPS, LARGE_MIBPS = 170, 128, 250
#: What every gp3 volume has without paying for it.
FREE_IOPS, FREE_MIBPS = 3000, 125
#: A volume that was changed lately, or is being changed: later it can be.
LATER = ("VolumeModificationRateExceeded", "IncorrectModificationState")


class EbsVolumesDriver:
    """See levers/driver.py."""

    name = "ebs_volumes"
    calls = ("ec2:DescribeVolumes", "ec2:DescribeVolumesModifications", "ec2:ModifyVolume")

    def __init__(self, settings: EbsVolumes, book: PriceBook) -> None:
        self._settings, self._book = settings, book

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every gp2 volume."""
        kinds = [{"Name": "volume-type", "Values": ["gp2"]}]
        with aws("ec2", self._settings) as ec2:
            found = [one for page in ec2.pages("DescribeVolumes", Filters=kinds) for one in page["Volumes"]]
        return [_setting(one, settled=True) for one in sorted(found, key=lambda one: str(one["VolumeId"]))]

    def read(self, target: str) -> Setting:
        """One volume."""
        with aws("ec2", self._settings) as ec2:
            return _read(ec2, target)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """gp3 wherever gp2's speed is cheaper with it."""
        told = (self._recommend(one, context) for one in settings if one.content[PART]["type"] == "gp2")
        return [one for one in told if one]

    def send(self, order: Order) -> None:
        """Change the type, with its speed."""
        put = order.put[PART]
        with aws("ec2", self._settings) as ec2:
            if not expected(order.expect, _read(ec2, order.target).content):
                raise Lost(f"{order.target} is not as it was when this was ordered")
            speed = {"Iops": put["iops"], "Throughput": put["mibps"]} if put["type"] == "gp3" else {}
            try:
                ec2.call("ModifyVolume", VolumeId=_id(order.target), VolumeType=put["type"], **speed)
            except Refusal as error:
                if error.code in LATER:
                    raise Throttled(str(error)) from error
                raise

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        size = one.facts["gib"]
        iops, mibps = speed(size)
        day, region = day_of(context.now_ms), self._settings.region
        found = self._book.find("aws-data", "ebs-gp2", region, on=day)
        before = found.price.cost(size)
        bought = {
            ("aws-other", "ebs-gp3"): size,
            ("aws-data", "ebs-gp3-iops"): max(0, iops - FREE_IOPS),
            ("aws-data", "ebs-gp3-throughput"): max(0, mibps - FREE_MIBPS),
        }
        after = sum(
            (self._book.find(*item, region, on=day).price.cost(count) for item, count in bought.items()),
            Decimal(0),
        )
        saved = before - after
        if saved <= 0 or saved < Decimal(repr(self._settings.least_usd)):
            return None
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=self._settings.service or SERVICE,
            what=f"make {one.target} a gp3 volume, no slower than it is",
            before={PART: one.content[PART]},
            after={PART: {"type": "gp3", "iops": max(iops, FREE_IOPS), "mibps": max(mibps, FREE_MIBPS)}},
            saving=Saving(low=saved, middle=saved, high=saved, currency=found.table.currency),
            spending=before if found.table.currency == context.currency else None,
            disruption=0.0,
            risk="low",
            evidence=[
                (
                    f"{size} GiB of gp2 give {iops} IOPS and {mibps} MiB/s, without bursts, for {before:.2f}"
                    f" {found.table.currency} a month; the same of gp3 costs {after:.2f} ({found.table.name})"
                ),
                "the price is a list's: exact but for discounts",
                "a volume can be changed again six hours later at the soonest",
            ],
            selector=Selector(services=[SERVICE]),
        )


def speed(gib: int) -> tuple[int, int]:
    """IOPS and MiB/s that a gp2 volume of a size has at all times. Pure."""
    iops = min(MOST_IOPS, max(LEAST_IOPS, IOPS_PER_GIB * gib))
    return iops, SMALL_MIBPS if gib <= SMALL_GIB else LARGE_MIBPS


def _read(ec2: Aws, target: str) -> Setting:
    found = ec2.call("DescribeVolumes", VolumeIds=[_id(target)])["Volumes"]
    if not found:
        raise LeverError(f"there is no {target}")
    return _setting(found[0], settled=not any(_moving(ec2, _id(target))))


def _moving(ec2: Aws, volume: str) -> Iterator[bool]:
    # Optimizing goes on for a day, at the new price and no less than the lower of both speeds.
    only = [{"Name": "volume-id", "Values": [volume]}]
    for page in ec2.pages("DescribeVolumesModifications", Filters=only):
        for one in page["VolumesModifications"]:
            yield one["VolumeId"] == volume and one["ModificationState"] == "modifying"


def _setting(volume: dict[str, Any], *, settled: bool) -> Setting:
    kind = volume["VolumeType"]
    part: Content = {"type": kind}
    if kind == "gp3":
        part |= {"iops": volume["Iops"], "mibps": volume.get("Throughput", FREE_MIBPS)}
    return Setting(
        target=f"ebs://{volume['VolumeId']}",
        content={PART: part},
        settled=settled,
        facts={"gib": volume["Size"]},
    )


def _id(target: str) -> str:
    return target.removeprefix("ebs://")
