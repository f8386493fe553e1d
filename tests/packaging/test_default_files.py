"""What is shipped beside the code agrees with it: configuration, versions, wheels."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tidewatt_agent import config as agent
from tidewatt_agent import version as agent_version
from tidewatt_coordinator import config as coordinator
from tidewatt_wire.documents import to_toml

ROOT = Path(__file__).parents[2]
WHEELS = ("wire", "governor", "agent", "coordinator", "router")


def test_the_shipped_configuration_is_the_default_one() -> None:
    text = (ROOT / "packaging/config/agent.toml").read_text()
    assert agent.parse_config(text, name="agent.toml") == agent.Config()
    text = (ROOT / "packaging/config/coordinator.toml").read_text()
    assert coordinator.parse_config(text, name="coordinator.toml") == coordinator.Config()


@pytest.mark.parametrize(
    ("file", "config"),
    [("agent.toml", agent.Config()), ("coordinator.toml", coordinator.Config())],
)
def test_the_shipped_configuration_names_every_key(
    file: str, config: agent.Config | coordinator.Config
) -> None:
    text = (ROOT / "packaging/config" / file).read_text()
    for line in to_toml(config).splitlines():
        key = line.partition(" = ")[0]
        assert re.search(rf"^(# \[\[)?{re.escape(key)}", text, re.MULTILINE), f"{file} does not show {key}"


def test_there_is_one_version() -> None:
    found = {
        wheel: re.findall(r'^version = "(.+)"$', (ROOT / wheel / "pyproject.toml").read_text(), re.MULTILINE)
        for wheel in WHEELS
    }
    assert len({tuple(versions) for versions in found.values()}) == 1, found
    assert found["agent"] == [agent_version.VERSION], "the agent knows its own without looking it up"
    for wheel in WHEELS:
        pins = re.findall(r'"tidewatt-\w+==([^"]+)"', (ROOT / wheel / "pyproject.toml").read_text())
        assert set(pins) <= set(found["wire"]), f"{wheel} pins another version"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(ROOT / wheel) for wheel in WHEELS]
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
    ]
    subprocess.run([*command, *sources], check=True)
    return folder


def test_wheels_hold_all_their_files(wheels: Path) -> None:
    for wheel in WHEELS:
        package = ROOT / wheel / f"tidewatt_{wheel}"
        (file,) = wheels.glob(f"tidewatt_{wheel}-*.whl")
        packed = set(zipfile.ZipFile(file).namelist())
        wanted = {
            str(path.relative_to(package.parent))
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert wanted <= packed, f"{wheel}: {sorted(wanted - packed)} are missing from the wheel"
