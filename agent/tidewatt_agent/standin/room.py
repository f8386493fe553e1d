"""The boards and the traffic, in virtual time. No I/O: `advance` is told the time and the weights."""

import math
import random
from collections.abc import Mapping

import msgspec

from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.simulate import board as simulated
from tidewatt_governor.simulate.board import BoardState
from tidewatt_governor.traffic import Trace
from tidewatt_wire.messages import DispatchTable

#: Seconds over which the rate at the application's own door is taken.
SMOOTHED_S = 2.0
#: What a board draws asleep: assumed, no board's own figure is established here.
ASLEEP_WATTS = 0.5


class StandinBoard(msgspec.Struct, kw_only=True):
    """One board; `state` is replaced as time goes on."""

    state: BoardState
    chance: random.Random
    asked: int = 0
    """Requests that came over the application's own door since the last advance."""
    asked_rps: float = 0.0
    """Their rate, smoothed: what comes in a millisecond is no rate."""
    asleep: bool = False


class Room:
    """The boards by device id, and the fleet's traffic, shared out by the dispatch table in force.

    Without a table, or past its expiry, every board gets the same share: the safe table.
    Arrivals are a Poisson process with the trace's rate, seeded, so a day can be repeated.
    """

    def __init__(
        self, devices: list[str], profile: BoardProfile, trace: Trace, start_ms: int, seed: int
    ) -> None:
        self.profile, self.trace = profile, trace
        self.now_ms = start_ms
        self.table: DispatchTable | None = None
        self.boards = {
            device: StandinBoard(
                state=simulated.switched_on(profile),
                chance=random.Random(f"{seed}/{device}"),  # noqa: S311 - simulation
            )
            for device in devices
        }

    def offer(self, table: DispatchTable) -> None:
        """Take a dispatch table unless it is older than the one held."""
        if self.table is None or table.epoch >= self.table.epoch:
            self.table = table

    def shares(self, at_ms: int) -> Mapping[str, float]:
        """The share of the traffic that each board gets at that time; they add up to 1."""
        weights = dict.fromkeys(self.boards, 0)
        if self.table and at_ms < self.table.expires_at_ms:
            weights |= {name: weight for name, weight in self.table.weights.items() if name in weights}
        total = sum(weights.values())
        if total == 0:
            return dict.fromkeys(self.boards, 1.0 / len(self.boards))
        return {name: weight / total for name, weight in weights.items()}

    def advance(self, to_ms: int) -> None:
        """Let every board live until `to_ms` under the trace's traffic."""
        for seconds, fleet_rps in self.trace.pieces(self.now_ms, to_ms):
            shares = self.shares(self.now_ms)
            for device, board in self.boards.items():
                rps = _poisson_rate(fleet_rps * shares[device], seconds, board.chance)
                nearing = 1.0 - math.exp(-seconds / SMOOTHED_S)
                board.asked_rps += (rps + board.asked / seconds - board.asked_rps) * nearing
                rps, board.asked = rps + board.asked / seconds, 0
                board.state = (
                    _slept(board.state, self.profile, seconds, rps)
                    if board.asleep
                    else simulated.advance(board.state, self.profile, seconds, rps)
                )
        self.now_ms = max(self.now_ms, to_ms)

    def ask(self, device: str) -> float | None:
        """One request at the application's own door: seconds until its answer, None if it is turned away."""
        board = self.boards[device]
        board.asked += 1
        return simulated.latency_s(board.state, self.profile, board.asked_rps, board.chance.random())

    def set_mode(self, device: str, mode_id: int) -> str | None:
        """Switch a board's mode; a sentence if it can't be done."""
        board = self.boards[device]
        for point in self.profile.points:
            if point.mode_id == mode_id:
                board.state = simulated.set_point(board.state, self.profile, point.name)
                return None
        known = ", ".join(str(point.mode_id) for point in self.profile.points)
        return f"request for bad power mode {mode_id}; this board has {known}"

    def set_asleep(self, device: str, *, asleep: bool) -> None:
        """Let a board fall asleep, or wake."""
        self.boards[device].asleep = asleep

    def set_caps(self, device: str, shown: Mapping[str, int]) -> None:
        """Put a board under the clock caps that its nodes show, in hertz by clock."""
        board = self.boards[device]
        board.state = simulated.set_caps(board.state, self.profile, shown)


def _poisson_rate(rps: float, seconds: float, chance: random.Random) -> float:
    # The normal limit of Poisson counts: at the tens of requests a second of this demo it is exact enough.
    mean = rps * seconds
    if mean <= 0.0:
        return 0.0
    return max(0.0, chance.gauss(mean, math.sqrt(mean))) / seconds


def _slept(state: BoardState, profile: BoardProfile, seconds: float, rps: float) -> BoardState:
    """The board after so many seconds asleep: it draws next to nothing, and what is sent to it is lost."""
    idle = simulated.advance(state, profile, seconds, 0.0)
    lost = rps * seconds
    *within, beyond = idle.latency_counts
    return msgspec.structs.replace(
        idle,
        energy_j=state.energy_j + ASLEEP_WATTS * seconds,
        requests=idle.requests + lost,
        shed=idle.shed + lost,
        latency_counts=(*within, beyond + lost),
    )
