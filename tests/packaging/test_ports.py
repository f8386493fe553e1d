"""Tests that run beside each other."""

import subprocess
import sys
from pathlib import Path

from tests.ports import BLOCK, FIRST, LAST, free_port

ROOT = Path(__file__).parents[2]
ASK = "from tests.ports import free_port; print(free_port(), free_port(), flush=True); input()"


def test_no_two_processes_are_given_the_same_port() -> None:
    asked = [
        subprocess.Popen(
            [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    blocks = []
    for process in asked:
        assert process.stdout
        ports = [int(port) for port in process.stdout.readline().split()]
        assert len(set(ports)) == 2
        assert all(FIRST <= port < LAST for port in ports)
        (block,) = {(port - FIRST) // BLOCK for port in ports}
        blocks.append(block)
    own = (free_port() - FIRST) // BLOCK
    assert len({own, *blocks}) == 4
    for process in asked:
        process.communicate("\n")
    again = subprocess.run(
        [sys.executable, "-c", ASK], input="\n", capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert len(again.stdout.split()) == 2, "what a process held is free when it has ended"
