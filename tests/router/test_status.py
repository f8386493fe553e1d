"""What `tidewatt-router status` makes of the router's own page."""

import pytest

from tidewatt_router.status import Status, summarise

PROXY = 'tidewatt_router_in_step{{proxy="nginx"}} {}\n'
ROUTE = 'tidewatt_router_on_safe_table{{route="inference",source="{}"}} 0.0\n'


def read(*lines: str) -> Status:
    return summarise("".join(lines))


@pytest.mark.parametrize(
    ("lines", "well"),
    [
        ((PROXY.format("1.0"), ROUTE.format("table")), True),
        ((PROXY.format("0.0"), ROUTE.format("table")), False),
        ((PROXY.format("1.0"), ROUTE.format("safe")), False),
        ((PROXY.format("1.0"),), False),  # no route: nothing is shared out
        ((ROUTE.format("table"),), False),  # no proxy follows it
        ((), False),
    ],
)
def test_it_is_well_where_every_proxy_follows_a_table(lines: tuple[str, ...], well: bool) -> None:
    assert read(*lines).well is well
