"""Real processes under seeded faults: kills, bad lines, bad disks. What must hold is judged at rest.

    python -m tests.chaos.run [--seed N] [--skip 0] [--faults 200] [--each 20] [--only WORD]

Prints a line for each fault, and after every EACH of them what was seen to hold. The first promise that is
broken ends it with exit code 1, the seed, the schedule so far and the folder of all logs; the same seed
brings the same faults in the same order. Ctrl-C ends every process that was started.
"""

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.faults import ANYWHERE, AS_ROOT, FAULTS
from tests.chaos.kinds import Undo
from tests.chaos.schedule import Step, schedule
from tests.chaos.site import DEVICES, Site
from tests.chaos.verdict import converged, judge, one_holder

INTERRUPTED = 130


class Run:
    """One site, and the faults that are under way on it."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._chance = random.Random(seed)
        self._under_way: dict[str, Undo] = {}
        self._promise_ms = 40.0
        self.done: list[Step] = []
        self.counted: Counter[str] = Counter()

    def warm_up(self) -> None:
        """Until all is well without any fault."""
        self._promise_ms += 0.5
        one_holder(self._site)
        converged(self._site, self._promise_ms)

    def fault(self, step: Step) -> None:
        """Let it come, and see to its undoing."""
        fault = FAULTS[step.fault]
        self._site.wait(step.after_s)
        place = fault.place(self._site, step)
        self._heal(place)
        self.done.append(step)
        say(f"{time.strftime('%H:%M:%S')} {step}" + (f" -> {place}" if place != step.target else ""))
        self._under_way[place] = fault.begin(self._site, step)
        self.counted[step.fault] += 1
        self._site.later(step.hold_s, lambda undo=self._under_way[place]: self._end(place, undo))  # type: ignore[misc]
        self._stir(step)

    def judge(self) -> list[str]:
        """Undo what is under way and see what holds."""
        for place in list(self._under_way):
            self._heal(place)
        self._promise_ms += 0.5
        return judge(self._site, self._promise_ms, clocks_off=self.counted["clock off"] > 0)

    def _stir(self, step: Step) -> None:
        """What goes on in a fleet beside faults: traffic moves, and an operator orders something."""
        device = DEVICES[step.number % len(DEVICES)]
        self._site.applications.rate(device, step.amount * 400.0 * self._site.speed)
        if step.number % 4 == 0:
            self._promise_ms += 0.5
            self._site.order(self._promise_ms)

    def _end(self, place: str, undo: Undo) -> None:
        if self._under_way.get(place) is undo:
            self._heal(place)

    def _heal(self, place: str) -> None:
        if undo := self._under_way.pop(place, None):
            undo()


def tell_of(site: Site) -> None:
    """What processes did that nobody asked of them."""
    say(f"moments waited for: {site.moments['seen']} seen, {site.moments['not seen']} not seen")
    errors: Counter[str] = Counter()
    for unit in site.units.values():
        errors.update(f"{unit.name.rpartition('.')[2]}: {line[:150]}" for line in unit.tracebacks())
        if unit.ended:
            say(f"{unit.name} ended by itself {unit.ended} times, last with: {unit.last_words}")
    for line, number in errors.most_common(20):
        say(f"in the logs {number} x {line}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def rounds(seed: int, skip: int, faults: int, each: int, only: str, *, disks: bool) -> Iterator[list[Step]]:
    """The steps in the parts after which is judged."""
    known = FAULTS if disks else ANYWHERE
    chosen = {name: fault.choice for name, fault in known.items() if only in name}
    steps = itertools.islice(schedule(seed, chosen), skip, skip + faults)
    while part := list(itertools.islice(steps, each)):
        yield part


def go(asked: argparse.Namespace, folder: Path) -> int:
    """The whole run in `folder`; its exit code."""
    began_s = time.monotonic()
    run = None
    try:
        site = Site(folder, "all" if asked.seed % 2 else "share")
        try:
            run = Run(site, asked.seed)
            run.warm_up()
            say(f"up after {time.monotonic() - began_s:.0f} s, in {folder}")
            if not site.disks:
                say(f"left out, as they need root and mount: {', '.join(AS_ROOT)}")
            for part in rounds(
                asked.seed, asked.skip, asked.faults, asked.each, asked.only, disks=site.disks
            ):
                for step in part:
                    run.fault(step)
                at_s = time.monotonic()
                kept = "; ".join(run.judge())
                say(f"holds after {len(run.done)} faults (seen in {time.monotonic() - at_s:.0f} s): {kept}")
        finally:
            tell_of(site)
            site.close()
    except (Exception, pytest.fail.Exception) as error:
        say(f"\nbroken: {type(error).__name__}: {error}")
        say(f"seed {asked.seed}; logs in {folder}; the faults so far:")
        for step in run.done if run else []:
            say(str(step))
        more = f"--skip {asked.skip} --faults {asked.faults} --each {asked.each}" + (
            f" --only '{asked.only}'" if asked.only else ""
        )
        say(f"again: python -m tests.chaos.run --seed {asked.seed} {more}")
        if asked.trace:
            raise
        return 1
    for name, number in sorted(run.counted.items()):
        say(f"{number:5} {name}")
    say(f"{len(run.done)} faults in {time.monotonic() - began_s:.0f} s, seed {asked.seed}: nothing was lost")
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--skip", type=int, default=0, help="begin with a later fault of the schedule")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--each", type=int, default=20, help="faults between two judgements")
    parser.add_argument("--only", default="", help="faults whose name has this word")
    parser.add_argument("--trace", action="store_true", help="end with the traceback")
    asked = parser.parse_args()
    asked.seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    say(f"seed {asked.seed}")
    folder = Path(tempfile.mkdtemp(prefix="tidewatt-chaos-"))
    try:
        code = go(asked, folder)
    except KeyboardInterrupt:
        say(f"interrupted; seed {asked.seed}")
        code = INTERRUPTED
    if code != 1:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
