"""Coverage-guided fuzzing of the tegrastats parser: it reads or refuses, and invents nothing.

    pip install atheris && python tests/fuzz/tegrastats.py CORPUS -max_total_time=600 -max_len=900

The corpus folder starts with real lines, one a file. Not part of `make test`: what it finds is
kept there as a case (tests/agent/test_tegrastats_parse.py).
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))  # tests.truth

with atheris.instrument_imports():
    from tidewatt_agent.tegrastats.parse import NotTegrastats, parse_line

from tests.truth import invented


def one(data: bytes) -> None:
    """One input: any exception is a finding."""
    text = data.decode("utf-8", "replace")
    try:
        sample = parse_line(text)
    except NotTegrastats:
        return
    if wrong := invented(sample, text):
        raise AssertionError(f"invented {wrong}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
