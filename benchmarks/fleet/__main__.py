"""`make bench-fleet`: 10,000 devices, or as many as DEVICES says."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.fleet.history import of_the_ledger
from benchmarks.fleet.site import Parameters, running
from benchmarks.fleet.story import Story, Stuck
from benchmarks.results import Result, publish


async def measured(parameters: Parameters, folder: Path) -> list[Result]:
    """The figures of one run."""
    async with running(folder, parameters) as site:
        return await Story(site).tell()


def main() -> None:
    """Measure and publish."""
    parameters = Parameters(devices=int(os.environ.get("DEVICES", "10000")))
    with tempfile.TemporaryDirectory(prefix="tidewatt-fleet-") as folder:
        try:
            results = asyncio.run(measured(parameters, Path(folder)))
            results += of_the_ledger(Path(folder), parameters.devices)
        except Stuck as stuck:
            sys.exit(f"bench-fleet: {stuck}")
    sys.exit(0 if publish("fleet", results) else 1)


if __name__ == "__main__":
    main()
