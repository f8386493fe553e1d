"""What the tests share: a real broker, a clock in our hands, and the rule on skips."""

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from tests import examples
from tests.databases import Postgres, postgres_programs
from tests.fleets import Fleet, fleet_of
from tests.secured import SecuredMosquitto, secured
from tests.world import HandClock, Mosquitto

from tidewatt_coordinator.observing.logs import OURS
from tidewatt_governor.boards import BoardProfile, load_profile
from tidewatt_link.logs import Stderr

#: Debian keeps daemons where an ordinary user's PATH does not look.
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def pytest_configure(config: pytest.Config) -> None:
    examples.choose(config.getoption("--hypothesis-profile", None))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: what isn't run isn't known."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, which counts as failed: {report.longrepr}"
    return report


def mosquitto_program() -> str:
    program = shutil.which("mosquitto", path=SEARCH_PATH)
    if program is None:
        pytest.skip("needs a real broker: sudo apt install --no-install-recommends mosquitto")
    return program


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[SecuredMosquitto]:
    with secured(mosquitto_program(), tmp_path) as broker:
        yield broker


@pytest.fixture(scope="module")
def shared_guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredMosquitto]:
    """One broker for tests that leave nothing behind."""
    with secured(mosquitto_program(), tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(mosquitto_program(), tmp_path)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def fleet(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Fleet]:
    """Real processes on that broker: nobody yet."""
    with fleet_of(mosquitto, tmp_path) as fleet:
        yield fleet


@pytest.fixture
def clock() -> HandClock:
    return HandClock(1_700_000_000_000)


@pytest.fixture(scope="session")
def profile() -> BoardProfile:
    return load_profile("orin-nano-super")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL: sudo apt install --no-install-recommends postgresql")
    # Not below pytest's own folder: whoever starts pytest closes that to all but root, and then this
    # server, which isn't root, dies at its next checkpoint.
    with tempfile.TemporaryDirectory(prefix="tidewatt-postgres-") as folder:
        server = Postgres(programs, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command that a test runs in this process sets up the log: the next one's output is without it."""
    before = {name: logging.getLogger(name).level for name in (None, *OURS)}
    yield
    for shown in [one for one in logging.getLogger().handlers if isinstance(one, Stderr)]:
        logging.getLogger().removeHandler(shown)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes the URL of an empty database at each call; the test runs on both kinds."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / f'ledger{next(_numbers)}.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return lambda: server.database(f"ledger{next(_numbers)}")
