"""Turning the hands on and off changes two keys of the file, and nothing else in it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.actuators import Process

from tidewatt_agent.config import Config, parse_config
from tidewatt_agent.enabling import with_control
from tidewatt_wire.documents import parse_toml, to_toml

SHIPPED = (Path(__file__).parents[2] / "packaging/config/agent.toml").read_text()


def test_the_shipped_file_keeps_its_comments() -> None:
    text = with_control(SHIPPED, "enforce", "/run/tidewatt/actuator.sock")
    config = parse_toml(text, Config, name="agent.toml")
    assert (config.agent.control, config.board.actuator_socket) == ("enforce", "/run/tidewatt/actuator.sock")
    changed = [
        (old, new) for old, new in zip(SHIPPED.splitlines(), text.splitlines(), strict=True) if old != new
    ]
    assert [old.split(" = ")[0] for old, _ in changed] == ["control", "actuator_socket"]
    assert all(new.endswith(old[old.index("#") :]) for old, new in changed), "what stands beside it stays"
    back = with_control(text, "observe", "")
    assert back == SHIPPED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[agent]\ndevice = 'a'",
        "[board]\nprofile = 'auto'\n\n[agent]\n",
        "[link]\nbroker = ''\n",
        "[agent]\ncontrol = 'observe'\n[board]\nactuator_socket = '/s'  # ours\n",
    ],
)
def test_any_file(text: str) -> None:
    found = parse_toml(with_control(text, "enforce", "/a.sock"), Config, name="x")
    assert (found.agent.control, found.board.actuator_socket) == ("enforce", "/a.sock")
    before = parse_toml(text, Config, name="x")
    assert (found.agent.device, found.link) == (before.agent.device, before.link)


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "tidewatt_agent", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=30)


def test_enable_looks_first(tmp_path: Path) -> None:
    actuator, config = Process(tmp_path), tmp_path / "agent.toml"
    config.write_text(
        to_toml(
            {
                "agent": {"device": "b1"},
                "board": {"actuator_socket": str(actuator.path)},
                "reader": {"root": str(actuator.root)},
            }
        )
    )
    before = config.read_text()
    refused = command("enable", "--config", str(config))
    assert refused.returncode == 1
    assert f"no actuator answers at {actuator.path}" in refused.stderr
    assert config.read_text() == before
    actuator.start()
    try:
        assert command("enable", "--check", "--config", str(config)).returncode == 0
        assert config.read_text() == before
        done = command("enable", "--config", str(config))
        assert "control = 'enforce'" in done.stdout
        assert "no application is named" in done.stderr
        assert parse_config(config.read_text(), name="x").agent.control == "enforce"
        command("disable", "--config", str(config))
        assert parse_config(config.read_text(), name="x").agent.control == "observe"
    finally:
        actuator.close()


def test_status_of_an_agent_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(to_toml({"agent": {"device": "b1"}, "metrics": {"listen": "127.0.0.1:1"}}))
    done = command("status", "--config", str(config))
    assert done.returncode == 1
    assert "no agent answers at 127.0.0.1:1: Connection refused" in done.stderr
