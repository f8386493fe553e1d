"""One list of the rights that drivers take, as the tests saw them asked for: what a policy may be made of."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from tests.rights import OTHERS, listed, seen

import tidewatt_coordinator.levers as room

#: Listed, and asked for by no test: what AWS wants beside a call, and ways that no stand-in leads to.
UNSEEN = {
    "aurora": {"iam:PassRole", "rds:DescribeDBEngineVersions"},
    "aws_lambda": {"lambda:DeleteProvisionedConcurrencyConfig"},
    "route53": {"route53:UpdateHealthCheck"},
}


def drivers_of_aws() -> dict[str, Any]:
    found = {}
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        for one in vars(importlib.import_module(module.name)).values():
            calls = getattr(one, "calls", ())
            if isinstance(one, type) and one.__module__ == module.name and calls and ":" in calls[0]:
                found[one.name] = one  # type: ignore[attr-defined]
    return found


def test_what_was_not_seen_is_told_to_who_grants_it() -> None:
    page = (Path(room.__file__).parents[3] / "packaging/iam/README.md").read_text("utf-8")
    assert [one for actions in UNSEEN.values() for one in actions if f"`{one}`" not in page] == []


def test_each_driver_lists_what_it_was_seen_to_ask_for_and_nothing_else() -> None:
    told = {name: listed(driver) for name, driver in drivers_of_aws().items()}
    assert told == {name: seen().get(name, set()) | UNSEEN.get(name, set()) for name in told}
    assert seen().keys() <= told.keys() | set(OTHERS.values())
