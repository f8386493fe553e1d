"""A real fleet with a past, and a real browser that looks at it."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.actuators import wait_for
from tests.conftest import mosquitto_program
from tests.coordinator.test_drivers import a_recommendation
from tests.costing import DAY_MS as DAY
from tests.costing import a_charge
from tests.fleets import DAY_MS, Fleet, fleet_of
from tests.watchers import FLEET
from tests.world import Mosquitto

from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.levers.driver import Saving
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.sla.verdict import Verdict

SERVICES = {"AWS Lambda": Decimal(12), "Amazon EC2": Decimal(80), "<b>Amazon S3</b>": Decimal("3.5")}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three devices at work, a month of bills, three proposals, and a rollout in its first wave."""
    folder = tmp_path_factory.mktemp("fleet")
    broker = Mosquitto(mosquitto_program(), folder)
    broker.start()
    try:
        with fleet_of(broker, folder) as fleet:
            _past(fleet)
            budgets = [
                {"name": "all", "amount": "2000"},
                {"name": "functions", "amount": "100", "service": "AWS Lambda"},
            ]
            fleet.coordinator(
                budgets=budgets,
                levers={"s3_lifecycle": {"dry_run": False}},
            )
            for device in ("roof-1", "roof-2", "roof-3"):
                fleet.agent(device, "canary" if device == "roof-1" else "plain")
            fleet.until_up("east")
            fleet.until_applied("roof-1", "roof-2", "roof-3")
            waves = [
                {"percent": 100, "match": {"role": "canary"}, "soak_s": 86_400},
                {"percent": 100, "soak_s": 60},
            ]
            fleet.ask("policy", "rollout", fleet.document(70.0, waves=waves))
            fleet.until_wave(1)
            wait_for(lambda: fleet.get("east", "/v1/dispatch"), "a dispatch table")
            yield fleet
    finally:
        broker.kill()


@pytest.fixture(scope="module")
def key(fleet: Fleet) -> str:
    """Of somebody who may do all."""
    said = fleet.ask("access", "key", "new", "--role", "admin")
    return next(word for word in said.split() if word.startswith("tw_"))


def _past(fleet: Fleet) -> None:
    charges = [
        a_charge(
            key=f"{service}-{day}",
            service=service,
            start_ms=DAY_MS - DAY_MS % DAY - day * DAY,
            end_ms=DAY_MS - DAY_MS % DAY - (day - 1) * DAY,
            billed=dollars * (2 if day == 3 else 1),
        )
        for service, dollars in SERVICES.items()
        for day in range(1, 40)
    ]
    Charges(fleet.ledger.engine).put(charges, DAY_MS)
    store = Proposals(fleet.ledger.engine, FLEET)
    good = Verdict(word="ok", sentence="shop: well within its promise", margin=0.5)
    for number, verdict in enumerate((good, None, good)):
        saving = Saving(low=Decimal(10 + number), middle=Decimal(20 + number), high=Decimal(40 + number))
        told = a_recommendation(
            driver="s3_lifecycle", target=f"t{number}", what=f"make queue {number} smaller", saving=saving
        )
        store.make(Proposal(id=f"p{number}", recommendation=told, made_ms=DAY_MS, verdict=verdict), "test")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs a browser: sudo apt install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where the pictures are kept."""
    folder = Path(__file__).parents[2] / "build" / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
