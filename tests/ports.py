"""Ports for real servers in tests: no two processes that run tests are ever given the same.

A port that was asked of the kernel and given back may be another's before the server that it was
asked for binds it, and surely while a broker that a test killed is away. So each process of tests
holds a block of ports below those that the kernel gives out, for as long as it lives: by a socket's
name that only one can have, and that goes with the process however it ends.
"""

import itertools
import os
import socket
from collections.abc import Iterator
from functools import cache

FIRST, LAST, BLOCK = 12_000, 32_000, 500  # the kernel gives out 32768 and up


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and no other test is given."""
    for port in itertools.islice(_block(os.getpid())[1], BLOCK):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # a server of ours that still runs, or one of this machine's
        return port
    raise RuntimeError(f"no port is free in this process's {BLOCK}")


@cache
def _block(_process: int) -> tuple[socket.socket, Iterator[int]]:
    """What holds a process's block, and its ports in turn; a fork is another process."""
    for first in range(FIRST, LAST, BLOCK):
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0tidewatt-tests-{first}")
        except OSError:
            held.close()
        else:
            return held, itertools.cycle(range(first, first + BLOCK))
    raise RuntimeError(f"all {(LAST - FIRST) // BLOCK} blocks of ports are held by other tests")
