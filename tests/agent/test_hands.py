"""The hands believe only what they read back, and give the board back as they found it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tidewatt_agent.folding import FoldingHands
from tidewatt_agent.hands import FoldedHands, NoReboots, Outcome, SocketHands, Stance
from tidewatt_governor.boards import BoardProfile
from tidewatt_link.ending import ended
from tidewatt_wire.messages import Control


class Actuator:
    """A board's actuator that fails on command."""

    def __init__(self) -> None:
        self.mode_id = 1
        self.modes = {"15W": 0, "25W": 1, "MAXN_SUPER": 2, "7W": 3}
        self.fault = ""
        self.delay: asyncio.Event | None = None
        self.switches: list[int] = []
        self.talks: set[asyncio.Task[Any]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talks.add(asyncio.current_task())  # type: ignore[arg-type] # there is one
        with contextlib.suppress(OSError):  # a peer that hung up
            await self.converse(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if self.fault == "hangs up":
                return
            question = json.loads(line)
            answer = self.answer(question)
            if self.delay and question["op"] == "set_mode":
                await self.delay.wait()
            writer.write(answer)
            await writer.drain()

    def answer(self, question: dict[str, Any]) -> bytes:
        if self.fault == "babbles":
            return b"\xff not json\n"
        if question["op"] in ("state", "modes"):
            mode_id = 77 if self.fault == "strange mode" else self.mode_id
            return json.dumps({"mode_id": mode_id, "modes": self.modes}).encode() + b"\n"
        if question["op"] == "restore":
            self.mode_id = 1
            return b'{"kind": "applied"}\n'
        if self.fault == "refuses":
            return b'{"error": "the GPU is busy"}\n'
        if self.fault in ("needs_reboot", "rolled_back"):
            return json.dumps({"kind": self.fault, "detail": "it said so"}).encode() + b"\n"
        self.switches.append(question["id"])
        if self.fault != "lies":
            self.mode_id = question["id"]
        return b'{"kind": "applied"}\n'


@pytest_asyncio.fixture
async def board(tmp_path: Path, profile: BoardProfile) -> AsyncIterator[tuple[Actuator, SocketHands]]:
    actuator = Actuator()
    path = tmp_path / "board.sock"
    server = await asyncio.start_unix_server(actuator.talk, path)
    hands = SocketHands(str(path), profile.points)
    yield actuator, hands
    await hands.close()
    await asyncio.gather(*actuator.talks)
    server.close()


async def test_a_switch_is_applied_and_given_back(board: tuple[Actuator, SocketHands]) -> None:
    actuator, hands = board
    assert (await hands.look()).point == "25W"
    outcome = await hands.go_to("7W")
    assert (outcome.kind, outcome.point) == ("applied", "7W")
    assert actuator.mode_id == 3
    await hands.restore()
    assert actuator.mode_id == 1


async def test_nothing_changed_is_nothing_restored(board: tuple[Actuator, SocketHands]) -> None:
    actuator, hands = board
    await hands.look()
    actuator.mode_id = 2  # somebody else's doing
    await hands.restore()
    assert actuator.switches == []


@pytest.mark.parametrize(
    ("fault", "point", "detail"),
    [
        ("refuses", "25W", "the GPU is busy"),
        ("lies", "25W", "asked for 7W, the board stands at 25W"),
        ("hangs up", None, "no answer|closed the connection"),
        ("babbles", None, "no answer"),
        ("strange mode", None, "asked for 7W, the board stands at None"),
    ],
)
async def test_a_failed_switch_is_never_recorded_as_done(
    board: tuple[Actuator, SocketHands], fault: str, point: str | None, detail: str
) -> None:
    actuator, hands = board
    await hands.look()
    actuator.fault = fault
    outcome = await hands.go_to("7W")
    assert (outcome.kind, outcome.point) == ("refused", point)
    assert any(part in outcome.detail for part in detail.split("|"))
    actuator.fault = ""
    assert (await hands.look()).point is not None, "the next look works again"


@pytest.mark.parametrize("kind", ["needs_reboot", "rolled_back"])
async def test_the_actuators_word_for_a_failure_is_the_outcome(
    board: tuple[Actuator, SocketHands], kind: str
) -> None:
    actuator, hands = board
    actuator.fault = kind
    outcome = await hands.go_to("7W")
    assert (outcome.kind, outcome.point, outcome.detail) == (kind, "25W", "it said so")


async def test_an_absent_actuator_is_said_once(
    tmp_path: Path, profile: BoardProfile, caplog: pytest.LogCaptureFixture
) -> None:
    hands = SocketHands(str(tmp_path / "none"), profile.points)
    for _ in range(3):
        assert (await hands.look()).point is None
    assert caplog.text.count("no answer") == 1


async def test_an_odd_mode_id_is_no_mode(board: tuple[Actuator, SocketHands]) -> None:
    actuator, hands = board
    odd: list[Any] = [[], {}, "1", None, 1.5]
    for mode_id in odd:
        actuator.mode_id = mode_id
        assert (await hands.look()).point is None


async def test_interrupted_in_a_switch_it_still_gives_the_board_back(
    board: tuple[Actuator, SocketHands],
) -> None:
    actuator, hands = board
    await hands.look()
    actuator.delay = asyncio.Event()
    switching = asyncio.create_task(hands.go_to("7W"))
    while actuator.mode_id != 3:
        await asyncio.sleep(0)
    await ended(switching)
    actuator.delay.set()
    assert (await hands.look()).point == "7W", "the lost answer is not taken for this one's"
    await hands.restore()
    assert actuator.mode_id == 1


async def test_modes_are_the_boards_by_name(board: tuple[Actuator, SocketHands]) -> None:
    actuator, hands = board
    actuator.modes = {"7W": 1, "15W": 0, "10W": 4}
    assert (await hands.look()).point == "7W", "id 1 is 7W here, whatever the profile says"
    outcome = await hands.go_to("25W")
    assert (outcome.kind, outcome.point) == ("refused", "7W")
    assert outcome.detail == "this board has no mode 25W; it has 7W, 15W, 10W"
    actuator.mode_id = 4
    assert (await hands.look()).point == "10W", "a mode that the profile doesn't know has its name, too"
    assert (await hands.go_to("7W")).kind == "applied"
    assert actuator.mode_id == 1


async def test_folded_hands_change_nothing(board: tuple[Actuator, SocketHands]) -> None:
    actuator, hands = board
    folded = FoldedHands(hands)
    outcome = await folded.go_to("7W")
    await folded.restore()
    assert (outcome.kind, outcome.point, outcome.detail) == ("observed", "25W", "would go to 7W")
    assert actuator.switches == []
    assert await FoldedHands(None).look() == Stance(None, seen=False)


class Mover(NoReboots):
    """A board's hands: what was asked of them, and whether they hold a change."""

    acts = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def look(self) -> Stance:
        return Stance("25W", changed=bool(self.asked) and self.asked[-1] != "restore")

    async def go_to(self, point: str) -> Outcome:
        self.asked.append(point)
        return Outcome("applied", point)

    async def restore(self) -> None:
        self.asked.append("restore")

    async def close(self) -> None: ...


async def test_hands_that_act_fold_when_the_policy_says_observe_and_put_the_board_back() -> None:
    control: list[Control | None] = [None]
    board = Mover()
    hands = FoldingHands(board, lambda: control[-1])
    await hands.go_to("15W")
    control.append("observe")
    assert not (await hands.look()).changed
    acting = [hands.acts]
    assert (await hands.go_to("7W")).kind == "observed"
    await hands.look()
    assert board.asked == ["15W", "restore"], "once"
    for again in ("enforce", None):
        control.append(again)
        await hands.look()
        acting.append(hands.acts)
    assert acting == [False, True, True]
