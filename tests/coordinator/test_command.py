"""The `tidewatt` command, the right way and the wrong ways: one sentence and an exit code."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ports import free_port

from tidewatt_coordinator.config import parse_config


def tidewatt(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "tidewatt_coordinator", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def one_sentence(done: "subprocess.CompletedProcess[str]", code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("tidewatt: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_config(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[broker]\nurl = "mqtt://b:1"\n[[policy]]\nmatch = {site = "a"}\npolicy = {slo_p95_ms = 20.0}\n'
    )
    assert tidewatt("config", "validate", "--config", str(file)).stdout == f"{file}: good\n"
    printed = tidewatt("config", "print", "--config", str(file)).stdout
    assert parse_config(printed, name="printed") == parse_config(file.read_text(), name="file")
    one_sentence(
        tidewatt("serve", "--config", str(tmp_path / "none.toml")), 2, "none.toml: No such file or directory"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[broker]\nulr = ''", "unknown key 'broker.ulr'; did you mean 'url'?"),
        (
            "[[policy]]\npolicy = {slo_ms = 1}",
            "unknown key 'policy.policy.slo_ms'; did you mean 'slo_p95_ms'?",
        ),
        ("[broker]\nurl = 'http://b'", "is not an mqtt://host:port, mqtts://"),
        ("[coordinator]\nlisten = '8080'", "listen '8080' is not host:port"),
        ("[dispatch]\nfill = 2.0", "dispatch.fill: Expected `float` <= 1.0"),
        ("[coordinator]\nfleet = ''", "coordinator.fleet '' is not a name"),
    ],
)
def test_wrong_configs(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared
        parse_config(text, name="c.toml")
    assert str(caught.value).startswith("c.toml: ")
    assert sentence in str(caught.value)


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one_sentence(
            tidewatt("run", "--listen", f"127.0.0.1:{port}"),
            1,
            f"--listen: 127.0.0.1:{port} is not free",
            "another port",
        )


def test_wrong_arguments(tmp_path: Path) -> None:
    one_sentence(tidewatt("run", "--listen", "8080"), 2, "listen '8080' is not host:port")
    one_sentence(tidewatt("run", "--trace", str(tmp_path / "none.csv")), 2, "none.csv: No such file")
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    one_sentence(tidewatt("run", "--trace", str(bad)), 2, "bad.csv: line 1 must be")
    one_sentence(tidewatt("run", "--json", str(tmp_path / "no" / "out.json")), 2, "No such directory")
    for arguments in (["run", "--devices", "0"], ["run", "--speed", "x"], ["run", "--sped", "2"], ["fly"]):
        done = tidewatt(*arguments)
        assert done.returncode == 2
        assert "Error" in done.stderr


def test_one_port_for_two_things_and_hosts_that_are_none() -> None:
    port = free_port()
    both = ["--listen", f"127.0.0.1:{port}", "--broker-port", str(port)]
    one_sentence(tidewatt("run", *both), 1, f"--broker-port: 127.0.0.1:{port} is not free")
    one_sentence(
        tidewatt("run", "--listen", "nosuchhost.invalid:8080"),
        1,
        "--listen: 'nosuchhost.invalid' is no address of this machine",
    )
    one_sentence(tidewatt("run", "--listen", "8.8.8.8:8080"), 1, "8.8.8.8:8080 can't be used")
    one_sentence(tidewatt("run", "--listen", "127.0.0.1:²"), 2, "is not host:port")


def test_no_room_for_temporary_files_is_one_sentence() -> None:
    """The error of tempfile names no file."""
    nowhere = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']"
    words = ["run", "--listen", f"127.0.0.1:{free_port()}"]
    program = [sys.executable, "-c", f"{nowhere}; from tidewatt_coordinator.__main__ import main; main()"]
    done = subprocess.run([*program, *words], capture_output=True, text=True, timeout=60, check=False)
    one_sentence(done, 2, "tidewatt: No usable temporary directory found in ['/proc/nowhere']")


def test_a_database_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    away = f"postgresql+psycopg://u@127.0.0.1:{free_port()}/tidewatt"
    for url, code in ((away, 1), ("mysql://u@127.0.0.1/tidewatt", 2)):
        config.write_text(
            f'[coordinator]\nlisten = "127.0.0.1:{free_port()}"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:1"\n[ledger]\nurl = "{url}"\n'
        )
        one_sentence(tidewatt("serve", "--config", str(config)), code, "ledger.url")


def test_version_and_help() -> None:
    assert tidewatt("--version").stdout.startswith("tidewatt 0.")
    for arguments in ([], ["--help"], ["run", "--help"]):
        assert "Usage" in tidewatt(*arguments).stdout


def test_the_embedded_broker_says_what_it_is_for(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f'[coordinator]\nlisten = "127.0.0.1:{free_port()}"\n[broker]\nembedded_port = {free_port()}\n'
        f'[ledger]\nurl = "sqlite:///{tmp_path}/l.db"\n'
    )
    program = [sys.executable, "-m", "tidewatt_coordinator", "serve", "--config", str(file)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("the embedded broker is for laptops and demos only" in line for line in process.stderr)
        process.terminate()
        assert process.wait(20) == 0


def test_a_service_in_production_refuses_the_embedded_broker(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("")
    for command in (["serve"], ["config", "validate"]):
        done = tidewatt(*command, "--broker-required", "--config", str(file))
        one_sentence(done, 2, "broker.url is empty: name the fleet's MQTT 5 broker")


def test_a_door_without_a_ca_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f'[coordinator]\nlisten = "127.0.0.1:{free_port()}"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n'
        f'[ledger]\nurl = "sqlite:///{tmp_path}/l.db"\n'
        f'[enroll]\nlisten = "127.0.0.1:{free_port()}"\nfolder = "{tmp_path}/pki"\n'
    )
    done = tidewatt("serve", "--config", str(file))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("ca.key is not there; `tidewatt enroll ca` makes a CA")
