"""The `tidewatt-agent` command, the right way and the wrong ways."""

import io
import json
import sys
from pathlib import Path

import pytest

from tidewatt_agent.cli import main
from tidewatt_agent.config import parse_config


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return code, out, err


def test_config_validate_and_print(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[agent]\ndevice = "roof-1"\n[[load]]\nurl = "http://127.0.0.1:8000/metrics"\n')
    assert run(capsys, "config", "validate", "--config", str(file)) == (0, f"{file}: good\n", "")
    code, out, _ = run(capsys, "config", "print", "--config", str(file))
    assert code == 0
    assert parse_config(out, name="printed") == parse_config(file.read_text(), name="file")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[agent]\ntick = 1", "unknown key 'agent.tick'; did you mean 'tick_s'?"),
        ("[agent]\ntick_s = 0", "agent.tick_s: Expected `float` > 0.0"),
        ("[agent]\ndevice = 'a/b'", "agent.device 'a/b' is not a name"),
        ("[agent]\ncontrol = 'force'", "agent.control: Invalid enum value 'force'"),
        ("[agent]\ndevice = 'a'\ncontrol = 'enforce'", "needs board.actuator_socket"),
        ("[agent]\ndevice = 'a'\n[board]\nprofile = 'nano'", "there are auto, orin-nano-super"),
        ("[agent]\ndevice = 'a'\n[reader]\ninterval_s = 15", "with agent.gap_s = 10 it is at most 5"),
        ("[agent]\ndevice = 'a'\ntick_s = 20\n[board]\nactuator_socket = '/s'", "too long with an actuator"),
        ("[agent]\ndevice = 'a'\n[reader]\nroot = ''", "reader.root '' is no absolute path"),
        ("[agent]\ndevice = 'a'\n[[load]]\nurl = 'http://a..b/m'", "load.url 'http://a..b/m' can't be used"),
        ("[agent]\ndevice = 'a'\n[[load]]\nurl = 'http://h/métrics'", "has letters that no URL has"),
        ("[agent]\ndevice = 'a'\n[link]\nbroker = 'mqtt://h:99999'", "link.broker 'mqtt://h:99999' can't"),
        ("[agent]\ndevice = 'a'\n[tegrastats]\ncommand = []", "tegrastats.command is empty"),
    ],
)
def test_a_wrong_config_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, sentence: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(text)
    code, out, err = run(capsys, "config", "validate", "--config", str(file))
    assert (code, out) == (2, "")
    assert err.startswith(f"tidewatt-agent: {file}: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_environment_overrides(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("[agent]\ndevice = 'a'\n")
    monkeypatch.setenv("TIDEWATT_AGENT__LINK__BROKER", "mqtt://b:1")
    assert 'broker = "mqtt://b:1"' in run(capsys, "config", "print", "--config", str(file))[1]
    monkeypatch.setenv("TIDEWATT_AGENT__LINK__BROKRE", "x")
    code, _, err = run(capsys, "config", "print", "--config", str(file))
    assert code == 2
    assert "did you mean 'broker'?" in err


def test_files_that_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    for arguments in (("run", "--config", missing), ("simulate", missing), ("replay", missing)):
        code, _, err = run(capsys, *arguments)
        assert (code, err) == (2, f"tidewatt-agent: {missing}: No such file or directory\n")


def test_wrong_arguments_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "fly")[0] == 2
    assert run(capsys)[0] == 2
    assert run(capsys, "--version")[1].startswith("tidewatt-agent 0.")


def test_parse_prints_one_object_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"RAM 1/2MB (lfb 1x2MB) CPU [3%@100,off] VDD_IN 5000/5100\nnonsense \xff\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    code, out, err = run(capsys, "parse")
    assert code == 1
    assert err == "tidewatt-agent: line 2: neither a RAM nor a CPU field is in the line\n"
    sample = json.loads(out)
    assert sample["cores"] == [{"use": 0.03, "hertz": 100_000_000}, None]
    assert sample["rails"] == [{"name": "VDD_IN", "now": 5.0, "average": 5.1, "max": None}]
    assert sample["swap"] is None
