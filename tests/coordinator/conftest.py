"""What tests before AWS share: one stand-in for a module, emptied for each test, and a line that breaks."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from tests import rights
from tests.between import Between, between
from tests.costing import aws, emptied

#: A client of a service, made once for a module: making one takes longer than most tests.
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """The URL of an AWS."""
    with aws() as url:
        yield url


@pytest.fixture(scope="module")
def line(cloud: str) -> Iterator[Between]:
    """A line to it."""
    with between(cloud) as proxy:
        yield proxy


@pytest.fixture
def fresh(cloud: str, line: Between) -> Between:
    """The line, whole, to an AWS with nothing in it."""
    emptied(cloud)
    line.restored()
    return line


@pytest.fixture(scope="module")
def clients(cloud: str) -> Iterator[Client]:
    """Clients that go around the line."""
    made: dict[str, Any] = {}

    def make(service: str) -> Any:
        if service not in made:
            made[service] = boto3.client(service, region_name="us-east-1", endpoint_url=cloud)
        return made[service]

    yield make
    for one in made.values():
        one.close()


@pytest.fixture
def client(cloud: str, clients: Client) -> Client:
    """The same, of an AWS with nothing in it."""
    emptied(cloud)
    return clients


#: Modules in whose tests AWS is asked.
OF_AWS = ("test_drivers", "test_costs", "test_cloud_budgets", "test_interruptions", "test_doctor")


@pytest.fixture(scope="module", autouse=True)
def nobody_asks_of_aws_what_is_not_listed(request: pytest.FixtureRequest) -> Iterator[None]:
    """In every module about drivers, costs and spot."""
    if any(name in request.node.name for name in OF_AWS):
        with rights.held_against_lists():
            yield
    else:
        yield
