"""A short run of what `make fuzz-rest` does for ten minutes; the same requests each time."""

from pathlib import Path

from tests.fuzz.rest import fuzz
from tests.office import admin_key, office, served


def test_nothing_that_can_be_asked_is_a_500(tmp_path: Path) -> None:
    with office(tmp_path) as coordinator, served(coordinator) as address:
        short = ["--phases", "fuzzing", "--max-examples", "6", "--generation-deterministic", "--seed", "1"]
        done = fuzz(address, admin_key(coordinator), tmp_path, short, 120.0)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
