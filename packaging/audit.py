"""Ask whether what is shipped has known holes: `audit.py [--if-answered] [--osv URL] [LOCK ...]`.

pip-audit asks the package index about each locked version, or with --osv any service that speaks OSV. It
takes a version that the service doesn't know for one without holes; here that is no answer.
Only what the running Python would install is asked about.

Exit codes: 0 no hole but listed ones; 1 a hole; 2 the service didn't answer, or not for every version. With
--if-answered the last is one line and 0: a machine without a network can still check everything else.

A hole that nothing can be done about yet stands in requirements/known-holes.toml, with why and until when.
"""

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LISTED = REQUIREMENTS / "known-holes.toml"
#: What is installed on somebody's machine.
SHIPPED = tuple(
    REQUIREMENTS / f"{name}.txt" for name in ("run", "device", "forecast", "router", "coordinator", "image")
)
#: Seconds: for one answer; for the first question; for all of them.
PATIENCE_S, FIRST_S, ALL_S = 5, 30.0, 240.0


class Unanswered(Exception):
    """Nobody can say whether there are holes; the sentence is for who reads it."""


class Hole(NamedTuple):
    """A known hole of a locked version."""

    package: str
    version: str
    names: tuple[str, ...]
    """Its id and its other names."""
    fixed_in: tuple[str, ...]


class Listed(NamedTuple):
    """A hole that is lived with."""

    package: str
    id: str
    why: str
    until: dt.date
    """It fails the audit again from the day after."""


def holes(told: str) -> list[Hole]:
    """What pip-audit told as JSON; raises Unanswered if it was no answer, or not about everything."""
    try:
        dependencies = json.loads(told)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise Unanswered("the service didn't answer") from None
    silent = [one["name"] for one in dependencies if "skip_reason" in one]
    if silent:
        some = ", ".join(sorted(silent)[:3])
        raise Unanswered(
            f"the service knows nothing of {len(silent)} of {len(dependencies)} versions ({some})"
        )
    return [_hole(one, found) for one in dependencies for found in one["vulns"]]


def _hole(dependency: dict[str, Any], found: dict[str, Any]) -> Hole:
    names = (found["id"], *found["aliases"])
    return Hole(dependency["name"], dependency["version"], names, tuple(found["fix_versions"]))


def listed(text: str) -> list[Listed]:
    """The entries of known-holes.toml; raises ValueError or TypeError if one lacks something."""
    return [Listed(**one) for one in tomllib.loads(text).get("hole", [])]


def judge(found: Sequence[Hole], known: Sequence[Listed], today: dt.date) -> tuple[list[str], list[str]]:
    """Sentences on the holes that fail the audit, and on what else should be known."""
    wrong, said = [], []
    used = set()
    for hole in found:
        about = [one for one in known if one.package == hole.package and one.id in hole.names]
        used |= set(about)
        fix = f"fixed in {', '.join(hole.fixed_in)}" if hole.fixed_in else "no version without it"
        sentence = f"{hole.package} {hole.version}: {' '.join(hole.names)}, {fix}"
        if any(one.until >= today for one in about):
            said.append(f"{sentence}; listed until {max(one.until for one in about)}: {about[0].why}")
        elif about:
            wrong.append(f"{sentence}; it was listed until {max(one.until for one in about)}, look again")
        else:
            wrong.append(sentence)
    gone = [one for one in known if one not in used]
    return wrong, said + [f"{one.package}: {one.id} is listed and not found any more" for one in gone]


def ask(locks: Sequence[Path], osv: str | None, limit_s: float) -> list[Hole]:
    """What pip-audit finds in these locks; raises Unanswered."""
    service = ["--vulnerability-service", "osv", "--osv-url", osv] if osv else []
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", str(PATIENCE_S), *service]
    for lock in locks:
        command += ["--requirement", str(lock)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"the service didn't answer within {limit_s:.0f} s") from None
    if done.returncode not in (0, 1):
        raise Unanswered("the service didn't answer")
    return holes(done.stdout)


def first(lock: Path) -> str:
    """The first requirement of a lock, with its hashes."""
    lines = lock.read_text("utf-8").splitlines()
    kept = []
    for line in (one for one in lines if not one.startswith("#")):
        kept.append(line)
        if not line.endswith("\\"):
            break
    return "\n".join(kept) + "\n"


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--if-answered", action="store_true", help="no answer is no failure")
    parser.add_argument(
        "--osv", metavar="URL", help="ask this service, which speaks OSV, in place of the index"
    )
    parser.add_argument("--listed", type=Path, default=LISTED, help="the holes that are lived with")
    parser.add_argument("locks", type=Path, nargs="*", help="in place of all that is shipped")
    asked = parser.parse_args()
    locks = asked.locks or SHIPPED
    try:
        with tempfile.TemporaryDirectory() as folder:
            one = Path(folder) / "one.txt"
            one.write_text(first(locks[0]), "utf-8")
            ask([one], asked.osv, FIRST_S)  # so that a silent service is asked once, and not a hundred times
        found = ask(locks, asked.osv, ALL_S)
    except Unanswered as why:
        sys.stdout.write(f"audit: NOT DONE, {why}; known holes were not looked up\n")
        return 0 if asked.if_answered else 2
    today = dt.datetime.now(dt.timezone.utc).date()
    wrong, said = judge(found, listed(asked.listed.read_text("utf-8")), today)
    for sentence in [*said, *wrong]:
        sys.stdout.write(f"audit: {sentence}\n")
    sys.stdout.write(f"audit: done, {len(wrong)} holes that aren't listed\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
