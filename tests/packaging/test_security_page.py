"""What the security page promises is there: its tests, and locks that name every byte."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_test_that_it_names_is_there() -> None:
    named = NAMED.findall((ROOT / "docs/security.md").read_text("utf-8"))
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    ]
    assert len(named) > 50
    assert missing == []


def test_every_threat_has_a_test() -> None:
    rows = [
        line for line in (ROOT / "docs/security.md").read_text("utf-8").splitlines() if line.startswith("| ")
    ]
    bare = [row for row in rows if not NAMED.search(row) and not row.startswith("| threat |")]
    assert bare == []


def test_every_lock_is_whole() -> None:
    """Each requirement of each lock is one version, with hashes, from the index and from nowhere else."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        wanted = lock.read_text("utf-8").replace("\\\n", " ").splitlines()
        for line in (one.strip() for one in wanted):
            if line and not line.startswith("#"):
                assert re.match(r"^[\w.\[\],-]+==[^\s;]+( ;[^#]*?)?( +--hash=sha256:[0-9a-f]{64})+$", line), (
                    f"{lock.name}: {line[:80]}"
                )
