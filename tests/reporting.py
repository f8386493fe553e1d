"""A ledger of which every figure is known, for the tests of reports: seven weeks of an edge and a cloud."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.costing import DAY_MS, a_charge

from tidewatt_coordinator.carbon.intensity import Intensity
from tidewatt_coordinator.carbon.store import keep
from tidewatt_coordinator.config import Config, parse_config
from tidewatt_coordinator.costs.days import day_ms
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import day_use, hour_use, known_device, site_day
from tidewatt_coordinator.questions.changes import Change, Changes, Selector
from tidewatt_coordinator.reports.document import Document, Table
from tidewatt_coordinator.reports.facts import Facts
from tidewatt_coordinator.reports.gather import gather

HOUR_MS = 3_600_000
OCTOBER = date(2026, 10, 1)
FIRST, UNTIL = date(2026, 8, 20), date(2026, 11, 3)
#: 2026-11-06T08:00Z.
NOW_MS = day_ms(date(2026, 11, 6)) + 8 * HOUR_MS
#: Each device's kWh of a day, all in one hour, and its requests.
KWH, REQUESTS, PRICE = Decimal("0.5"), 100_000, Decimal("0.33333333333")
SITES = {"d1": "oakland", "d2": "oakland", "d3": "<rome>"}
#: The cloud's services by day; on SPIKE the first costs a hundred more.
CLOUD = {"Compute & more": Decimal("20.004"), "=Storage": Decimal("1.111111"), "Lambda": Decimal("0.3333333")}
SPIKE = date(2026, 10, 21)

OCTOBER_EDGE = KWH * PRICE * 3 * 31
OCTOBER_CLOUD = sum(CLOUD.values(), Decimal(0)) * 31 + 100
#: A month's support that is not cut into days by the bill: of it October has 31 of 61.
FEE = Decimal("61.00")
OCTOBER_ALL = OCTOBER_EDGE + OCTOBER_CLOUD + Decimal(31)
TOTAL = f"{OCTOBER_ALL:,.2f}"


def fill(ledger: Ledger) -> None:
    """Put everything into it."""
    rows, hours, by_device, by_site = [], [], [], []
    for number in range((UNTIL - FIRST).days):
        day = FIRST + timedelta(days=number)
        start = day_ms(day)
        sums: dict[str, dict[str, int]] = {}
        for device, site in SITES.items():
            rows.append(
                a_charge(
                    source="edge", key=f"{device}/{day}", service=ELECTRICITY, provider="",
                    region=site, resource=device,
                    start_ms=start + HOUR_MS, end_ms=start + 2 * HOUR_MS, quantity=KWH,
                    unit="kWh", marginal=PRICE, billed=KWH * PRICE, tags={"site": site},
                )
            )  # fmt: skip
            values = dict.fromkeys(COUNTERS, 0) | {"energy_mj": 1_800_000_000, "requests": REQUESTS}
            key = {"device": device, "epoch": "e"}
            hours.append(key | values | {"hour_ms": start + HOUR_MS})
            zeros = {"first_hour_ms": -1} | {f"{name}_at": 0 for name in COUNTERS}
            by_device.append(key | values | zeros | {"day_ms": start, "site": site})
            mine = sums.setdefault(site, dict.fromkeys(COUNTERS, 0))
            for name in COUNTERS:
                mine[name] += values[name]
        by_site += [{"day_ms": start, "site": site} | values for site, values in sums.items()]
        for service, paid in CLOUD.items():
            dear = paid + (100 if day == SPIKE and service.startswith("Compute") else 0)
            rows.append(
                a_charge(
                    key=f"{service}/{day}", service=service, billed=dear, start_ms=start,
                    end_ms=start + DAY_MS, tags={"team": "vision" if number % 3 else "search"},
                )
            )  # fmt: skip
    rows.append(
        a_charge(
            key="fee",
            service="Support",
            billed=FEE,
            start_ms=day_ms(date(2026, 9, 1)),
            end_ms=day_ms(date(2026, 11, 1)),
        )
    )
    Charges(ledger.engine).put(rows, 1)
    with ledger.engine.begin() as connection:
        connection.execute(insert(hour_use), hours)
        connection.execute(insert(day_use), by_device)
        connection.execute(insert(site_day), by_site)
        known = {"fleet": "default", "status": "online", "revision": 0, "ack": "", "code": "", "reason": ""}
        connection.execute(
            insert(known_device),
            [
                known | {"device": name, "labels": json.dumps({"site": site}), "seen_ms": 0}
                for name, site in SITES.items()
            ],
        )
    marginal = Intensity(
        zone="US-CA", kind="marginal", start_ms=day_ms(OCTOBER), end_ms=day_ms(date(2026, 11, 1)),
        grams_per_kwh=Decimal(700), source="watttime",
    )  # fmt: skip
    keep(ledger.engine, [marginal])
    change = Change(
        id="smaller", kind="told", what="smaller functions", begun_ms=day_ms(date(2026, 10, 5)),
        at_ms=day_ms(date(2026, 10, 5)), selector=Selector(services=["Lambda"]),
        predicted_per_month=Decimal(5), currency="USD",
    )  # fmt: skip
    Changes(ledger.engine).put(change)


SITES_FILE = """
[[site]]
name = "oakland"
carbon_zone = "US-CA"

[[site]]
name = "<rome>"
carbon_zone = "IT"
"""


def a_config(folder: Path, url: str, more: str = "") -> Config:
    """A coordinator's file that knows the sites, written to `folder` too."""
    (folder / "sites.toml").write_text(SITES_FILE)
    text = f"""
[ledger]
url = "{url}"
[edge]
sites = "{folder / "sites.toml"}"
[anomalies]
tags = ["team"]
[[budgets]]
name = "all"
amount = "500"
{more}
"""
    (folder / "tidewatt.toml").write_text(text)
    return parse_config(text, name="tidewatt.toml")


@contextmanager
def opened(url: str) -> Iterator[Ledger]:
    """A ledger for as long as the context lasts."""
    ledger = Ledger(url, 300_000)
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def ledger(new_ledger_url: Callable[[], str]) -> Iterator[Ledger]:
    """An empty one, of each kind of database."""
    with opened(new_ledger_url()) as found:
        yield found


@pytest.fixture
def config(tmp_path: Path, ledger: Ledger) -> Config:
    """Of that ledger."""
    return a_config(tmp_path, ledger.engine.url.render_as_string(hide_password=False))


def october(ledger: Ledger, config: Config) -> Facts:
    """October as a report tells of it, from a filled ledger."""
    fill(ledger)
    return gather(ledger, config, OCTOBER, NOW_MS)


def tables(found: Document) -> dict[str, Table]:
    """Its tables by their captions."""
    return {table.caption: table for section in found.sections for table in section.tables}
