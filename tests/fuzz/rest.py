"""Asks the REST API for all that its OpenAPI allows and much that it doesn't: no answer may be a 500.

python -m tests.fuzz.rest [--seconds 600] [--seed N]
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.office import admin_key, office, served

Done = subprocess.CompletedProcess[str]

#: What schemathesis checks: that nothing we didn't foresee comes back.
CHECKS = "not_a_server_error"
#: Its 503 is its answer.
WITHOUT = "/readyz"
#: Beyond its own time, for what is under way.
GRACE_S = 120.0


def fuzz(address: str, key: str, folder: Path, arguments: Sequence[str], limit_s: float) -> Done:
    """Run schemathesis against an address, with this key."""
    program = Path(sys.executable).with_name("schemathesis")
    common = [
        "--checks",
        CHECKS,
        "--exclude-path",
        WITHOUT,
        "--no-color",
        "--no-shrink",
        "-H",
        f"Authorization: Bearer {key}",
    ]
    command = [str(program), "run", f"{address}/openapi.json", *common, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit_s, check=False)


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    bounds = ["--max-time", str(asked.seconds), "--seed", str(asked.seed)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        coordinator = stack.enter_context(office(folder))
        address = stack.enter_context(served(coordinator))
        arguments = ["--phases", "coverage,fuzzing", *bounds]
        done = fuzz(address, admin_key(coordinator), folder, arguments, asked.seconds + GRACE_S)
    sys.stdout.write(done.stdout[-20_000:] + done.stderr[-5_000:])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
