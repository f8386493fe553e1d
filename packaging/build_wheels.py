"""Build wheels and sdists of the five packages: `build_wheels.py [--out DIR]`.

Two builds of one commit are the same bytes.
"""

import argparse
import sys
from pathlib import Path

from release.tree import ROOT, WHEELS, freeze, run, stop, version


def main() -> None:
    """Build them all, and say what came out."""
    parser = argparse.ArgumentParser(description="Build wheels and sdists.")
    parser.add_argument("--out", type=Path, default=ROOT / "build/dist", help="default: build/dist")
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    freeze()
    for wheel in WHEELS:
        run(sys.executable, "-m", "hatchling", "build", "-d", out, folder=ROOT / wheel)
        name = f"tidewatt_{wheel}-{version()}"
        for path in (out / f"{name}-py3-none-any.whl", out / f"{name}.tar.gz"):
            if not path.exists():
                stop(f"{wheel} is of another version than VERSION says: packaging/set_version.py")
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
