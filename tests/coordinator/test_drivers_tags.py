"""Tags: who answers for what is spent, and for what nobody does."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from tests.between import Between
from tests.contract import Enduring, World, how, proposed
from tests.spent import CONTEXT, cost

from tidewatt_coordinator.levers.driver import LeverError, Throttled, Unsure
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.settings import (
    Derived,
    Required,
    Tags,
)
from tidewatt_coordinator.levers.spend.tags import TagsDriver, _check
from tidewatt_coordinator.questions.untagged import tagged


class TestTags(Enduring):
    @pytest.fixture
    def s3(self, fresh: Between) -> Iterator[Any]:
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=fresh.upstream)
        client.create_bucket(Bucket="shop-images")
        self.put(client, theirs="x")
        yield client
        client.close()

    @staticmethod
    def put(client: Any, **tags: str) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        client.put_bucket_tagging(Bucket="shop-images", Tagging={"TagSet": pairs})

    @staticmethod
    def raw(client: Any) -> dict[str, str]:
        found = client.get_bucket_tagging(Bucket="shop-images")["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    @pytest.fixture
    def world(self, s3: Any, fresh: Between) -> World:
        policy = Tags(
            endpoint=fresh.url,
            require=[
                Required(tag="owner", derive=[Derived(match="*:shop-*", value="shop")]),
                Required(tag="project", values=["web"]),
            ],
        )
        known = [cost("arn:aws:s3:::shop-images", effective="12.5"), cost("arn:aws:s3:::never", effective=3)]
        driver = TagsDriver(policy, Sights(spent=lambda _days, _by: known))
        return World(
            driver=driver,
            context=CONTEXT,
            raw=lambda: self.raw(s3),
            disturb=lambda: self.put(s3, **self.raw(s3), owner="ops"),
            add_foreign=lambda: self.put(s3, **self.raw(s3), more="theirs"),
        )

    def test_what_is_proposed_is_whole(self, world: World) -> None:
        one = proposed(world)
        assert one.after == {"owner": "shop"}
        assert one.saving.middle == 0  # tags save nothing by themselves
        assert one.spending == Decimal("12.50")
        assert how(world, one) == "untouched"

    def test_what_nobody_can_tell_is_left_to_people(self, world: World) -> None:
        seen = {one.target: one.content for one in world.driver.observe()}
        assert seen["arn:aws:s3:::never"] == {"owner": None, "project": None}  # from the bill
        told = world.driver.propose(world.driver.observe(), world.context)
        assert [one.target for one in told] == ["arn:aws:s3:::shop-images"]

    def test_a_failure_for_one_resource_is_a_failure(self) -> None:
        def failed(status: int, code: str) -> dict[str, Any]:
            return {"FailedResourcesMap": {"a": {"StatusCode": status, "ErrorCode": code}}}

        for answer, after, error in (
            (failed(400, "InvalidParameterException"), False, LeverError),
            (failed(500, "InternalServiceException"), False, Unsure),
            (failed(400, "InvalidParameterException"), True, Unsure),
            (failed(400, "ThrottlingException"), False, Throttled),
        ):
            with pytest.raises(error):
                _check(answer, after=after)
        _check({"FailedResourcesMap": {}})


def test_who_answers_for_what_and_for_what_nobody_does() -> None:
    rows = [
        cost("EC2", "shop", "(none)", effective="10.01"),
        cost("EC2", "(none)", "web", effective="5"),
        cost("S3", "(none)", "old", effective="0.99"),
        cost("S3", "shop", "web", effective="3", currency="EUR"),
    ]
    found = tagged(rows, ["owner", "project"], [[], ["web"]])
    owner = next(one for one in found if (one.tag, one.currency) == ("owner", "USD"))
    assert owner.by_value == {"shop": Decimal("10.01")}
    assert owner.untagged == {"EC2": Decimal(5), "S3": Decimal("0.99")}
    project = next(one for one in found if (one.tag, one.currency) == ("project", "USD"))
    assert project.wrong == {"old": Decimal("0.99")}
    for one in found:
        assert one.missing + sum(one.by_value.values()) == one.whole
