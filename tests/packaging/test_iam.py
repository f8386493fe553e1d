"""The IAM policies: what each driver, each source of costs and spot's queue ask for and nothing else,
as narrow as AWS lets it be.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data
from tests.coordinator.test_driver_rights import drivers_of_aws
from tests.rights import OTHERS, listed, seen

ROOT = Path(__file__).parents[2]
HERE = ROOT / "packaging/iam"
#: Who asks AWS, and for what: a driver says it itself, of the others it is what the tests saw.
ASKED = {name: listed(driver) for name, driver in drivers_of_aws().items()} | {
    name: seen()[name] for name in OTHERS.values() if name != "doctor"
}
#: Conditions that every request has.
GLOBAL = {"aws:RequestedRegion", "aws:TagKeys"}


def statements(name: str) -> list[dict[str, Any]]:
    document = json.loads((HERE / f"{name}.json").read_text())
    assert document.keys() == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = document["Statement"]
    assert len({one["Sid"] for one in found}) == len(found)
    assert {one["Effect"] for one in found} == {"Allow"}
    return found


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@cache
def known(action: str) -> tuple[dict[str, Any], ...]:
    """What AWS says of an action: kinds of resources, and conditions."""
    service, _, name = action.partition(":")
    data = get_action_data(service, name)
    assert data, f"AWS knows no {action}"
    return tuple(data[service])


def fits(arn: str, form: str) -> bool:
    """Whether an ARN of ours is one of AWS's form."""
    pattern = re.sub(r"\\\$\\\{.*?\\\}", "[^:]+", re.escape(form))
    return re.fullmatch(pattern, arn) is not None


def test_all_that_asks_aws_has_its_policy() -> None:
    assert {one.stem for one in HERE.glob("*.json")} == ASKED.keys()
    assert ASKED.keys() >= seen().keys()


def test_nothing_else_asks_aws() -> None:
    """Each module that makes a client is one of the drivers' or stands among OTHERS."""
    makers = {
        ".".join(path.relative_to(ROOT / wheel).with_suffix("").parts)
        for wheel in ("agent", "coordinator", "governor", "router", "wire")
        for path in sorted((ROOT / wheel).glob("tidewatt_*/**/*.py"))
        if re.search(r"^\s*(import|from) boto3\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert makers == {"tidewatt_coordinator.levers.aws.client", *(module for module, _ in OTHERS)}


@pytest.mark.parametrize("name", sorted(ASKED))
def test_it_allows_what_is_asked_for_and_nothing_else(name: str) -> None:
    allowed = {action for one in statements(name) for action in one["Action"]}
    assert allowed == ASKED[name]
    assert not [action for action in allowed if "*" in action]


@pytest.mark.parametrize("name", sorted(ASKED))
def test_it_is_as_narrow_as_aws_lets_it_be(name: str) -> None:
    for one in statements(name):
        resources = many(one["Resource"])
        for action in one["Action"]:
            forms = {row["resource_arn_format"] for row in known(action)} - {"*"}
            if resources == ["*"]:
                assert not forms, f"{action} can be narrowed to {sorted(forms)}"
            assert resources == ["*"] or any(fits(arn, form) for arn in resources for form in forms), action
        for arn in resources:
            every = [row["resource_arn_format"] for action in one["Action"] for row in known(action)]
            assert any(fits(arn, form) for form in every), f"nothing in {one['Sid']} is done to {arn}"
        conditions = {key for operator in one.get("Condition", {}).values() for key in operator}
        for key in conditions - GLOBAL:
            form = re.sub(r"(Tag)/.*", r"\1/${TagKey}", key)
            assert any(form in row["condition_keys"] for action in one["Action"] for row in known(action)), (
                key
            )


def test_what_is_deleted_was_marked_by_us() -> None:
    deletes = {
        action: one["Condition"]
        for one in statements("unused")
        for action in one["Action"]
        if re.match("ec2:(Delete|Release)(?!Tags)", action)
    }
    assert deletes.keys() == {"ec2:DeleteSnapshot", "ec2:DeleteVolume", "ec2:ReleaseAddress"}
    for condition in deletes.values():
        assert re.fullmatch("aws:ResourceTag/tidewatt-.+", next(iter(condition["Null"])))
