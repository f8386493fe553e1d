"""The lines of docs/deploy.md that bring compose up, typed in their order: without docker, which needs a
daemon and images, but with the shipped files, the real commands in place of their containers, and a real
broker.
"""

import os
import shlex
import shutil
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.actuators import wait_for
from tests.conftest import mosquitto_program
from tests.documents.blocks import ROOT, Block, blocks, commands
from tests.ports import free_port
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app

BLOCKS = [one for one in blocks("docs/deploy.md") if one.section == "One machine: compose"]
#: `docker compose run --rm coordinator ...`: the image's entry point is `tidewatt`.
RUN = "docker compose run --rm coordinator "
#: What stands where docker would. A container of the coordinator's image begins in the volume `state`.
DOCKER = """\
#!/bin/sh
set -eu
echo "$*" >> "$TYPED"
case "$*" in
"compose run --rm --no-deps --entrypoint cat coordinator "*) cd "$STATE" && exec cat "$8" ;;
"compose build" | "compose up -d" | "compose ps") ;;
*) echo "nobody knows what is to become of: docker $*" >&2 && exit 1 ;;
esac
"""
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root: the lines give files to other users")


class Machine:
    """A copy of what is in `packaging`, the volume `state`, and what was printed."""

    def __init__(self, folder: Path) -> None:
        self.here, self.state, self.bin = folder / "packaging/compose", folder / "state", folder / "bin"
        for name in ("compose", "mosquitto"):
            shutil.copytree(ROOT / "packaging" / name, folder / "packaging" / name)
        self.state.mkdir()
        self.bin.mkdir()
        self.typed = folder / "typed"
        (self.bin / "docker").write_text(DOCKER)
        (self.bin / "docker").chmod(0o755)
        self.said = ""

    def block(self, block: Block) -> None:
        """Type all of it."""
        if any(RUN in line for line in block.lines):
            for one in commands(block):
                self.line(one.text)
        else:
            self.shell(block.text)

    def line(self, line: str) -> None:
        if line.startswith(RUN):
            self.tidewatt(line.removeprefix(RUN))
        else:
            self.shell(line)

    def shell(self, text: str) -> None:
        path = f"{self.bin}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "STATE": str(self.state), "TYPED": str(self.typed)}
        done = subprocess.run(
            ["sh", "-e"],
            input=text,
            cwd=self.here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"

    def tidewatt(self, words: str) -> None:
        """As the container begins: in the volume, with the file that is mounted."""
        before = Path.cwd()
        os.chdir(self.state)
        try:
            done = CliRunner().invoke(
                app,
                [*shlex.split(words), "--config", str(self.here / "coordinator.toml")],
                env={"TIDEWATT__LEDGER__URL": f"sqlite:///{self.state}/tidewatt.db"},
            )
        finally:
            os.chdir(before)
        assert done.exit_code == 0, f"{words}: {done.output}"
        self.said = done.output


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """On which everything was typed."""
    machine = Machine(tmp_path_factory.mktemp("one"))
    first, second = BLOCKS
    machine.block(first)
    (key,) = [word for word in machine.said.split() if word.startswith("tw_")]
    (machine.here / "secrets/metrics/key").write_text(f"{key}\n")  # "Write the key that the last one prints"
    machine.block(second)
    machine.tidewatt("access key new --role admin")  # which the text has beside the blocks
    return machine


def test_every_line_of_the_section_was_typed(machine: Machine) -> None:
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    assert "`docker compose exec coordinator tidewatt access key new --role admin`" in page
    cat = "compose run --rm --no-deps --entrypoint cat coordinator pki"
    assert machine.typed.read_text().splitlines() == [
        "compose build",
        *(f"{cat}/{file}" for file in ("broker.crt", "broker.key", "ca.crt", "crl.pem")),
        "compose up -d",
        "compose ps",
    ]


def test_each_secret_is_its_users_alone(machine: Machine) -> None:
    secrets = machine.here / "secrets"
    owners = {"broker": 1883, "metrics/key": 65534, "pgpass": 10001}
    owners |= {f"broker/{one.name}": 1883 for one in (secrets / "broker").iterdir()}
    assert len(owners) == 8
    for name, owner in owners.items():
        found = (secrets / name).stat()
        assert found.st_uid == owner, name
        assert not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO), name


def test_every_service_finds_what_is_mounted(machine: Machine) -> None:
    services = YAML(typ="safe").load((machine.here / "compose.yaml").read_text("utf-8"))["services"]
    sources = {mount.split(":")[0] for one in services.values() for mount in one["volumes"]}
    wanted = {one for one in sources if one.startswith(("./secrets", "./", "../mosquitto"))}
    assert len(wanted) > 5
    assert [one for one in sorted(wanted) if not (machine.here / one).exists()] == []


def test_nobody_is_told_what_docker_is_not_asked(machine: Machine) -> None:
    """The stand-in fails at a line that the page doesn't have."""
    with pytest.raises(AssertionError, match="nobody knows"):
        machine.shell("docker compose down")


@pytest.fixture
def broker(machine: Machine, tmp_path: Path) -> Iterator[int]:
    """Mosquitto with what the lines gave it; its port."""
    port = free_port()
    conf = (ROOT / "packaging/mosquitto/tidewatt.conf").read_text("utf-8")
    conf = conf.replace("/etc/mosquitto/tidewatt", str(machine.here / "secrets/broker"))
    (tmp_path / "mosquitto.conf").write_text(
        f"user root\npersistence_location {tmp_path}/\n"
        + conf.replace("listener 8883\n", f"listener {port} 127.0.0.1\n")
    )
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [mosquitto_program(), "-c", tmp_path / "mosquitto.conf"], stdout=log, stderr=subprocess.STDOUT
        )
    try:

        def listens() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens, "the broker")
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("name", ["mosquitto", "broker.example"])
def test_the_coordinator_gets_in_by_either_name(machine: Machine, broker: int, name: str) -> None:
    """In the network of compose it is `mosquitto`; devices come by its name outside."""
    pki = machine.state / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "coordinator.pem")
    with (
        socket.create_connection(("127.0.0.1", broker), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as sealed,
    ):
        connect = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc"
        sealed.sendall(connect)
        assert sealed.recv(4)[0] == 0x20, "CONNACK"
