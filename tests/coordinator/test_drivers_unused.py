"""Resources that nobody uses: quarantined, and deleted for good when a person says so."""

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.amazon import BOOK, DAY_S, LATER, NOW_MS, count, now_ms
from tests.contract import Contract, Final, World, applied, how, order, proposed
from tests.coordinator.conftest import Client

from tidewatt_coordinator.levers.data.settings import Unused
from tidewatt_coordinator.levers.data.unused import UnusedDriver
from tidewatt_coordinator.levers.data.unused_seen import COPIED_ON, COPY_OF, SINCE
from tidewatt_coordinator.levers.driver import Context, Foreign, LeverError, Lost


class TestUnused(Contract):
    TAGS = ({"Key": "environment", "Value": "dev"},)

    @pytest.fixture
    def ec2(self, client: Client) -> Any:
        return client("ec2")

    @pytest.fixture
    def volume(self, ec2: Any) -> str:
        for tags in (self.TAGS, ({"Key": "environment", "Value": "production"},)):
            made = ec2.create_volume(
                Size=100,
                AvailabilityZone="us-east-1a",
                VolumeType="gp3",
                TagSpecifications=[{"ResourceType": "volume", "Tags": list(tags)}],
            )
            if tags is self.TAGS:
                volume = str(made["VolumeId"])
        return volume

    @pytest.fixture
    def world(self, ec2: Any, volume: str, cloud: str) -> World:
        return World(
            driver=UnusedDriver(Unused(endpoint=cloud), BOOK, now_ms),
            context=LATER,
            raw=lambda: self.seen(ec2),
            disturb=lambda: self.tag(ec2, volume, SINCE, "2020-01-01"),
            add_foreign=lambda: self.tag(ec2, volume, "owner", "them"),
        )

    @staticmethod
    def tag(ec2: Any, volume: str, key: str, value: str) -> None:
        ec2.create_tags(Resources=[volume], Tags=[{"Key": key, "Value": value}])

    @staticmethod
    def seen(ec2: Any) -> Any:
        volumes = {one["VolumeId"]: one.get("Tags") for one in ec2.describe_volumes()["Volumes"]}
        ours = [{"Name": "tag-key", "Values": [COPY_OF]}]
        return volumes, [one["VolumeId"] for one in ec2.describe_snapshots(Filters=ours)["Snapshots"]]

    def test_it_is_copied_first_and_deleted_for_good_when_its_time_is_over(
        self, world: World, ec2: Any, volume: str
    ) -> None:
        one = applied(world)
        assert one.what == f"quarantine volume {volume}: nobody uses it"
        copies = ec2.describe_snapshots(Filters=[{"Name": f"tag:{COPY_OF}", "Values": [volume]}])["Snapshots"]
        assert [copy["VolumeId"] for copy in copies] == [volume]
        later = Context(now_ms=NOW_MS + 15 * DAY_S * 1000)
        deletion = world.driver.propose(world.driver.observe(), later)[0]
        assert (deletion.irreversible, deletion.after) == (False, {"exists": None})
        assert f"SnapshotId={copies[0]['SnapshotId']}" in deletion.final
        asked = order(deletion, world.driver.read(deletion.target), deletion.after)
        with pytest.raises(Lost, match="not been in quarantine for long enough"):
            world.driver.send(asked)  # its time isn't over by the driver's own clock
        self.tag(ec2, volume, SINCE, "2020-01-01")
        ec2.delete_snapshot(SnapshotId=copies[0]["SnapshotId"])
        with pytest.raises(Lost, match="has no copy"):
            world.driver.send(asked)
        specification = {"ResourceType": "snapshot", "Tags": [{"Key": COPY_OF, "Value": volume}]}
        ec2.create_snapshot(VolumeId=volume, TagSpecifications=[specification])
        self.tag(ec2, volume, "environment", "production")
        with pytest.raises(Lost, match="no more of the environments"):
            world.driver.send(asked)
        self.tag(ec2, volume, "environment", "dev")
        world.driver.send(asked)
        assert how(world, deletion) == "applied"
        assert self.seen(ec2)[1] == [volume]  # its copy stays
        with pytest.raises(Lost):
            world.driver.send(asked)
        with pytest.raises(LeverError, match="can't be taken back"):
            world.driver.send(order(deletion, world.driver.read(deletion.target), deletion.before, undo=True))

    def test_who_uses_it_again_ends_its_quarantine(self, world: World, ec2: Any, volume: str) -> None:
        applied(world)
        machine = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]
        ec2.attach_volume(VolumeId=volume, InstanceId=machine["InstanceId"], Device="/dev/sdh")
        again = world.driver.propose(world.driver.observe(), Context(now_ms=NOW_MS + 99 * DAY_S * 1000))
        assert [(one.what.partition(" ")[0], one.after) for one in again] == [("end", {"quarantined": None})]

    def test_what_is_young_or_was_used_lately_or_is_another_environments_is_left(
        self, world: World, client: Client, volume: str, ec2: Any
    ) -> None:
        seen = world.driver.observe()
        assert [one.target for one in seen] == [f"volume {volume}"]
        young = Context(now_ms=NOW_MS - 30 * DAY_S * 1000)
        assert not world.driver.propose(seen, young)
        one = proposed(world)
        # Attached until ten days ago, as its metrics tell.
        count(client("cloudwatch"), "AWS/EBS", "VolumeIdleTime", {"VolumeId": volume}, {10 * DAY_S: 300.0})
        assert not world.driver.propose(world.driver.observe(), world.context)
        self.tag(ec2, volume, "environment", "production")
        with pytest.raises(Foreign, match="not tagged"):
            world.driver.send(order(one, world.driver.read(one.target), one.after))

    def test_a_copy_of_an_earlier_quarantine_secures_nothing(
        self, world: World, ec2: Any, volume: str
    ) -> None:
        """It lacks what was written since: another is made, and nothing is deleted on its account."""
        long_ago = {"Key": COPIED_ON, "Value": "2020-01-01"}
        tags = [{"Key": COPY_OF, "Value": volume}, long_ago]
        old = ec2.create_snapshot(
            VolumeId=volume, TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}]
        )["SnapshotId"]
        one = proposed(world)
        assert one.before["copied"] is None
        world.driver.send(order(one, world.driver.read(one.target), one.after))
        ours = ec2.describe_snapshots(Filters=[{"Name": "tag-key", "Values": [COPY_OF]}])["Snapshots"]
        (new,) = {each["SnapshotId"] for each in ours} - {old}
        assert how(world, one) == "applied"
        later = Context(now_ms=NOW_MS + 15 * DAY_S * 1000)
        assert f"SnapshotId={new}" in world.driver.propose(world.driver.observe(), later)[0].final
        ec2.delete_snapshot(SnapshotId=new)
        assert not world.driver.propose(world.driver.observe(), later)

    def test_what_was_used_in_the_midst_of_a_long_quarantine_is_not_deleted(
        self, world: World, ec2: Any, volume: str, client: Client
    ) -> None:
        """Its copy lacks what was written then, however idle it has been since."""
        one = applied(world)
        began = datetime.fromtimestamp(NOW_MS / 1000 - 60 * DAY_S, timezone.utc).date().isoformat()
        self.tag(ec2, volume, SINCE, began)
        deletion = proposed(world)
        asked = order(deletion, world.driver.read(deletion.target), deletion.after)
        count(client("cloudwatch"), "AWS/EBS", "VolumeIdleTime", {"VolumeId": volume}, {20 * DAY_S: 300.0})
        with pytest.raises(Lost, match="used again"):
            world.driver.send(asked)
        again = world.driver.propose(world.driver.observe(), world.context)
        assert [each.after for each in again] == [{"quarantined": None}]
        assert one.target == again[0].target

    def test_half_a_quarantine_is_told_from_a_whole_one(self, world: World, ec2: Any, volume: str) -> None:
        one = proposed(world)
        today = datetime.fromtimestamp(NOW_MS / 1000, timezone.utc).date().isoformat()
        tags = [{"Key": COPY_OF, "Value": volume}, {"Key": COPIED_ON, "Value": today}]
        specification = {"ResourceType": "snapshot", "Tags": tags}
        ec2.create_snapshot(VolumeId=volume, TagSpecifications=[specification])
        assert how(world, one) == "partial"
        world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert how(world, one) == "applied"
        assert self.seen(ec2)[1] == [volume]

    def test_addresses_snapshots_without_an_image_and_idle_load_balancers_too(
        self, world: World, ec2: Any, client: Client, volume: str
    ) -> None:
        tags = list(self.TAGS)
        ec2.allocate_address(TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
        ec2.create_snapshot(VolumeId=volume, TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}])
        machine = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]
        ec2.create_image(InstanceId=machine["InstanceId"], Name="ours")
        image = ec2.describe_images(Owners=["self"])["Images"][0]
        backing = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        ec2.create_tags(Resources=[backing], Tags=tags)
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
        client("elbv2").create_load_balancer(Name="idle", Subnets=subnets, Tags=tags)
        old = Context(now_ms=NOW_MS + 99 * DAY_S * 1000)
        every = world.driver.propose(world.driver.observe(), old)
        told = {one.target.partition(" ")[0]: one for one in every}
        assert sorted(told) == ["address", "load-balancer", "snapshot", "volume"]
        assert f"snapshot {backing}" not in [one.target for one in every]
        assert told["address"].saving.middle == Decimal("3.65")
        for name in ("address", "load-balancer", "snapshot"):
            one = told[name]
            world.driver.send(order(one, world.driver.read(one.target), one.after))
            assert how(world, one) == "applied"
            world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
            assert how(world, one) == "untouched"


class TestDeletion(Final):
    """Of a volume whose quarantine is over and whose copy is complete."""

    KIND = "volume"

    @pytest.fixture
    def ec2(self, client: Client) -> Any:
        return client("ec2")

    @pytest.fixture
    def resource(self, ec2: Any) -> str:
        quarantined = [*TestUnused.TAGS, {"Key": SINCE, "Value": "2020-01-01"}]
        made = ec2.create_volume(
            Size=100,
            AvailabilityZone="us-east-1a",
            VolumeType="gp3",
            TagSpecifications=[{"ResourceType": "volume", "Tags": quarantined}],
        )["VolumeId"]
        copy = [{"ResourceType": "snapshot", "Tags": [{"Key": COPY_OF, "Value": made}]}]
        ec2.create_snapshot(VolumeId=made, TagSpecifications=copy)
        return str(made)

    @pytest.fixture
    def world(self, ec2: Any, resource: str, cloud: str) -> World:
        return World(
            driver=UnusedDriver(Unused(endpoint=cloud), BOOK, now_ms),
            context=LATER,
            raw=lambda: self.seen(ec2),
            disturb=lambda: ec2.delete_tags(Resources=[resource], Tags=[{"Key": SINCE}]),
            add_foreign=None,
        )

    @staticmethod
    def seen(ec2: Any) -> Any:
        addresses = [(one["AllocationId"], one.get("Tags")) for one in ec2.describe_addresses()["Addresses"]]
        return TestUnused.seen(ec2), addresses


class TestRelease(TestDeletion):
    """Of an address that nobody was associated with for as long."""

    KIND = "address"

    @pytest.fixture
    def resource(self, ec2: Any) -> str:
        quarantined = [*TestUnused.TAGS, {"Key": SINCE, "Value": "2020-01-01"}]
        given = [{"ResourceType": "elastic-ip", "Tags": quarantined}]
        return str(ec2.allocate_address(TagSpecifications=given)["AllocationId"])

    def test_who_associates_it_meanwhile_keeps_it(self, world: World, ec2: Any, resource: str) -> None:
        one = proposed(world)
        machine = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]
        ec2.associate_address(AllocationId=resource, InstanceId=machine["InstanceId"])
        with pytest.raises(Lost, match="used again"):
            world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert how(world, one) == "untouched"
