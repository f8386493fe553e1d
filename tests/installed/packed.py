"""Packages for a trial: quickly packed, for this machine and the Python of the trial's Debian alone."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def built(out: Path, package: str, tree: Path = ROOT) -> Path:
    """The package as `tree` makes it, at the moment of this repository's last commit."""
    at = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"], check=True, capture_output=True, text=True
    )
    options = ["--arch", "amd64", "--package", package, "--python", "3.11", "--compression", "gzip"]
    subprocess.run(
        [sys.executable, str(tree / "packaging/build_deb.py"), "--out", str(out), *options],
        check=True,
        capture_output=True,
        env=os.environ | {"SOURCE_DATE_EPOCH": at.stdout.strip()},
    )
    (deb,) = out.glob(f"{package}_*.deb")
    return deb
