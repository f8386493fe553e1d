"""How fast tegrastats lines become samples, on one core, beside the bare splitting of the same lines.

All recorded lines, some hundred times over, in seven rounds of which the median counts.
"""

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


def main() -> None:
    """Measure and publish."""
    boards = [path for path in sorted(RECORDINGS.iterdir()) if path.is_dir()]
    lines = [line for board in boards for line in load(board).tegrastats] * TIMES
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
