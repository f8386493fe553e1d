"""Fuzz one door for as long as is wished, led by what of the code an input reaches.

    python -m tests.fuzz.run NAME [--seconds 600] [--seed 1]      NAME "all": one after the other

With atheris (`make fuzz` installs it) new ground is sought and kept below build/fuzz; without it inputs are
only changed at random. What is found is kept in tests/fuzz/corpus/NAME once it is mended.
"""

import argparse
import itertools
import logging
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.mutation import mutate
from tests.fuzz.target import Target, inputs, kept

KEPT = Path(__file__).parents[2] / "build" / "fuzz"
#: Of one input, before it counts as a finding.
SECONDS_EACH, MEGABYTES = 20, 4096
PACKAGES = ["tidewatt_wire", "tidewatt_agent", "tidewatt_governor", "tidewatt_coordinator", "tidewatt_router"]


def plain(name: str, target: Target, seconds: float, seed: int) -> int:
    """Without coverage: how many inputs were tried. What is found is raised, with the input kept."""
    ends_s = time.monotonic() + seconds
    for number, data in enumerate(inputs(name, target, seed)):
        if time.monotonic() > ends_s:
            return number
        try:
            target.one(data)
        except BaseException:
            found = KEPT / name / f"found-{seed}-{number}"
            found.parent.mkdir(parents=True, exist_ok=True)
            found.write_bytes(data)
            sys.stderr.write(f"{name}: found by {found}\n")
            raise
    raise AssertionError("inputs have no end")


def guided(name: str, seconds: int, seed: int) -> None:
    """With atheris, which ends the process. Everything of ours is imported anew, with counters in it."""
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=PACKAGES):
        from tests.fuzz.doors import TARGETS  # noqa: PLC0415
    target = TARGETS[name]
    known = [*kept(name), *target.seeds()]
    ground = KEPT / name / "corpus"
    ground.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(known):
        (ground / f"seed-{number}").write_bytes(data[: target.longest])

    def change(data: bytes, most: int, number: int) -> bytes:
        return mutate(data, random.Random(number), known, most)

    options = {"max_total_time": seconds, "seed": seed, "max_len": target.longest, "timeout": SECONDS_EACH}
    options |= {"rss_limit_mb": MEGABYTES, "print_final_stats": 1}
    arguments = [f"-{key}={value}" for key, value in options.items()]
    arguments.append(f"-artifact_prefix={ground.parent}/found-")
    atheris.Setup([sys.argv[0], str(ground), *arguments], target.one, custom_mutator=change)
    atheris.Fuzz()


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="at random, without atheris")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if asked.name == "all":
        return _all(asked.seconds, asked.seed)
    if not asked.plain:
        guided(asked.name, asked.seconds, asked.seed)
    from tests.fuzz.doors import TARGETS  # noqa: PLC0415 - not before atheris looks at imports

    tried = plain(asked.name, TARGETS[asked.name], asked.seconds, asked.seed)
    sys.stdout.write(f"{asked.name}: {tried} inputs\n")
    return 0


def _all(seconds: int, seed: int) -> int:
    from tests.fuzz.doors import TARGETS  # noqa: PLC0415

    failed = []
    each = max(1, seconds // len(TARGETS))
    for name in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(each), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        stats = [line for line in told.splitlines() if line.startswith("stat::number_of_executed_units")]
        sys.stdout.write(f"{name:16} {'ok' if done.returncode == 0 else 'FOUND'} {' '.join(stats)}\n")
        sys.stdout.flush()
        if done.returncode:
            failed.append(name)
            sys.stdout.write("\n".join(itertools.islice(reversed(told.splitlines()), 60)) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
