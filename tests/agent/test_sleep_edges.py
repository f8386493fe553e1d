"""What hooks, files, the actuator and options say to sleep is bounded, and not believed as it comes."""

import argparse
import asyncio
from pathlib import Path

import pytest

from tidewatt_agent.sleeping.commands import run
from tidewatt_agent.sleeping.door import SleepDoor, StayedAwakeError
from tidewatt_agent.sleeping.kernellog import KernelLog
from tidewatt_agent.sleeping.napfile import Begun, NapFile
from tidewatt_agent.sleeping.options import add_parser


async def test_commands_are_bounded_and_their_last_word_is_told() -> None:
    assert (await run([], 1.0)).why_not == ""
    assert (await run(["echo", "v1"], 5.0)).said == "v1"
    assert (await run(["sh", "-c", "echo no GPU; exit 3"], 5.0)).why_not == "sh ends with 3: no GPU"
    assert (await run(["sleep", "60"], 0.05)).why_not == "sleep did not end within 0 s"
    assert "No such file" in (await run(["nothing-such"], 1.0)).why_not


def test_only_new_errors_of_the_kernel_count(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    file = tmp_path / "dev/kmsg"
    file.write_text("3,1,1,-;old\n")
    log = KernelLog(str(tmp_path))
    assert log.errors() == []
    with file.open("a") as more:
        more.write("6,2,2,-;info\n27,3,3,-;nvgpu: a fault\n SUBSYSTEM=x\nnonsense\n4,4,4,-;a warning\n")
    assert log.errors() == ["nvgpu: a fault"]
    assert log.errors() == []
    log.close()


def test_a_nap_s_file_that_is_none_tells_of_a_nap(tmp_path: Path) -> None:
    file = NapFile(tmp_path / "nap.json")
    assert file.load() is None
    file.keep(Begun("boot", 1, 60.0))
    assert file.load() == Begun("boot", 1, 60.0)
    (tmp_path / "nap.json").write_text("{")
    assert file.load() == Begun("", 0, 0.0)
    file.forget()
    assert file.load() is None


async def test_no_actuator_no_sleep(tmp_path: Path) -> None:
    assert "no actuator is named" in (await SleepDoor("").ready()).why_not
    assert "no actuator at" in (await SleepDoor(str(tmp_path / "none")).ready()).why_not
    with pytest.raises(StayedAwakeError):
        await SleepDoor(str(tmp_path / "none")).sleep(60.0)


@pytest.mark.parametrize(
    "answer", [b"", b"{}\n", b"[]\n", b'{"slept_s": "long"}\n', b'{"error": "it is busy"}\n', b"\xff\n"]
)
async def test_an_actuator_that_says_something_else_is_not_believed(tmp_path: Path, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(talk, str(tmp_path / "a"))
    door = SleepDoor(str(tmp_path / "a"))
    with pytest.raises(StayedAwakeError):
        await door.sleep(60.0)
    assert (await door.ready()).why_not
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("--cycles", "0", "'0' is not a whole number from 1 to 1000"),
        ("--cycles", "two", "'two' is not a whole number from 1 to 1000"),
        ("--nap", "nan", "'nan' is not a number from 60 to 86400 s"),
        ("--nap", "-5", "'-5' is not a number from 60 to 86400 s"),
        ("--asleep-watts", "1e9", "'1e9' is not a number from 0 to 1000 W"),
    ],
)
def test_a_trial_beyond_its_bounds_is_refused_in_a_sentence(
    option: str, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["sleep", "qualify", f"{option}={text}"])
    assert capsys.readouterr().err.splitlines()[-1].endswith(sentence)
