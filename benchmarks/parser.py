"""How fast tegrastats lines become samples, on one core, beside the bare splitting of the same lines.

All recorded lines, some hundred times over, each time with other figures: any use, temperatures
around the recorded one in the sensors' steps of 1/32 degree, powers around the recorded one in
milliwatts. Seven rounds, of which the median counts.
"""

import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import Result, publish
from tidewatt_agent.recording import load
from tidewatt_agent.tegrastats.parse import parse_line

RECORDINGS = Path(__file__).parents[1] / "tests/boards"
TIMES, ROUNDS = 200, 7
#: The floor of the product: a line a millisecond leaves nothing for the board's real work.
LINES_PER_S = 50_000


def rate(work: Callable[[str], object], lines: list[str]) -> float:
    """Lines per second of CPU time, the median of the rounds."""
    rates = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for line in lines:
            work(line)
        rates.append(len(lines) / (time.process_time() - start))
    return statistics.median(rates)


def varied(line: str, chance: random.Random) -> str:
    """The line as the same board might print it at another moment."""

    def degrees(found: re.Match[str]) -> str:
        return f"@{int(found[1]) + chance.randrange(32) / 32:.5g}C"

    line = re.sub(r"\d+%", lambda _: f"{chance.randrange(101)}%", line)
    line = re.sub(r"@(\d+)\.\d+C", degrees, line)
    return re.sub(r"(\d+)mW", lambda found: f"{abs(int(found[1]) + chance.randint(-300, 300))}mW", line)


def main() -> None:
    """Measure and publish."""
    boards = [path for path in sorted(RECORDINGS.iterdir()) if path.is_dir()]
    recorded = [line for board in boards for line in load(board).tegrastats]
    chance = random.Random(1)
    lines = [varied(line, chance) for _ in range(TIMES) for line in recorded]
    parsed, split = rate(parse_line, lines), rate(str.split, lines)
    met = publish(
        "parser",
        [
            Result.judged(
                "lines parsed", parsed, "lines/s", better="higher", target=LINES_PER_S, against="limit"
            ),
            Result.judged("parsing / splitting at white space", split / parsed, "ratio", against="str.split"),
            Result.judged("lines split", split, "lines/s", better="higher", against="str.split"),
        ],
    )
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
