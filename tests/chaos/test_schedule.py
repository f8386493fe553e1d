"""A seed says everything that will come; lines do what they are told."""

import socket
import time
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chaos.faults import ANYWHERE, FAULTS
from tests.chaos.lines import Lines
from tests.chaos.schedule import Choice, schedule
from tests.ports import free_port

ALL = {name: fault.choice for name, fault in FAULTS.items()}


@settings(max_examples=30)
@given(st.integers(0, 10**9), st.integers(1, 120), st.integers(0, 120))
def test_a_seed_brings_the_same_and_a_longer_run_begins_as_a_shorter(seed: int, most: int, more: int) -> None:
    first = list(islice(schedule(seed, ALL), most))
    assert first == list(islice(schedule(seed, dict(reversed(ALL.items()))), most + more))[:most]
    assert [step.number for step in first] == list(range(1, most + 1))
    for step in first:
        assert step.target in ALL[step.fault].targets
        assert 0 <= step.hold_s <= ALL[step.fault].longest_s
        assert 0 <= step.amount <= 1


def test_every_kind_comes_before_any_is_drawn_again() -> None:
    for seed in range(20):
        first = list(islice(schedule(seed, ALL), len(ALL)))
        assert {step.fault for step in first} == set(ALL)


def test_seeds_differ() -> None:
    runs = {tuple(str(step) for step in islice(schedule(seed, ALL), 10)) for seed in range(50)}
    assert len(runs) == 50


def test_weights_count() -> None:
    choices = {"often": Choice(["x"], 9.0), "seldom": Choice(["x"], 1.0)}
    drawn = [step.fault for step in islice(schedule(1, choices), 4000)]
    assert 0.6 < drawn.count("often") / 4000 < 0.8, "half of a round is each kind once"


def test_what_needs_root_is_apart() -> None:
    assert set(FAULTS) - set(ANYWHERE) == {"disk full", "disk read-only"}


def hung_up_on(port: int) -> bool:
    """By a reset, or by a goodbye."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as near:
        try:
            return near.recv(9) == b""
        except ConnectionError:
            return True


@pytest.fixture
def lines() -> Iterator[Lines]:
    found = Lines()
    yield found
    found.close()


def test_a_line_carries_stalls_refuses_and_is_cut(lines: Lines) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        line = lines.new("x", server.getsockname()[1])
        server.settimeout(20)
        server.accept()[0].close()  # of the look whether it is there

        def dialled() -> tuple[socket.socket, socket.socket]:
            near = socket.create_connection(("127.0.0.1", line.port), timeout=20)
            far = server.accept()[0]
            far.settimeout(20)
            return near, far

        near, far = dialled()
        near.sendall(b"to")
        assert far.recv(9) == b"to"
        far.sendall(b"fro")
        assert near.recv(9) == b"fro"

        lines.put(line, stalled=True)
        near.sendall(b"late")
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            far.recv(9)
        far.settimeout(20)
        lines.put(line)
        assert far.recv(9) == b"late"

        lines.put(line, delay_s=0.3)
        began_s = time.monotonic()
        near.sendall(b"slow")
        assert far.recv(9) == b"slow"
        assert time.monotonic() - began_s >= 0.3
        lines.put(line)

        lines.cut(line)
        with pytest.raises(ConnectionResetError):
            near.recv(9)
        near.close()
        far.close()
        lines.put(line, refuses=True)
        assert hung_up_on(line.port)
        lines.put(line)
        near, far = dialled()
        near.sendall(b"well")
        assert far.recv(9) == b"well"
        near.close()
        assert far.recv(9) == b""
        far.close()


def test_a_server_that_is_away_is_a_reset(lines: Lines) -> None:
    line = lines.new("x", free_port())
    assert hung_up_on(line.port)


def test_they_close_with_connections_open() -> None:
    lines = Lines()
    with socket.create_server(("127.0.0.1", free_port())) as server:
        line = lines.new("x", server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", line.port)):
            lines.close()
