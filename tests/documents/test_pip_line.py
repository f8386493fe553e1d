"""README's line for a board without the package, typed into a new environment: it brings the agent's command.

What others publish is taken from where this runs, for no test asks a registry; ours is built anew.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.documents.blocks import ROOT, Block, blocks, commands, is_shell

from tidewatt_coordinator import VERSION

LINE = "pip install ./wire ./governor ./agent"
#: Of pip, "no build isolation" is told by its opposite's value.
SETTINGS = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "false"}


def board(block: Block) -> bool:
    return is_shell(block) and block.section == "On a Jetson"


def test_the_line_brings_the_agent(tmp_path: Path) -> None:
    typed = [one.text for block in blocks("README.md") if board(block) for one in commands(block)]
    assert LINE in typed, "README has another line now"
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (site,) = venv.glob("lib/python3*/site-packages")
    # The path alone: what this environment adds to it, our own sources, is not seen there.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    own = {"PATH": f"{venv}/bin:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | SETTINGS | own

    def type_(line: str) -> str:
        done = subprocess.run(
            ["sh", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    type_(LINE)
    for wheel in ("wire", "governor", "agent"):
        assert (site / f"tidewatt_{wheel}-{VERSION}.dist-info").is_dir()
    assert (venv / "bin/tidewatt-agent").exists()
    assert type_("tidewatt-agent --version").strip() == f"tidewatt-agent {VERSION}"
    file = "import tidewatt_agent; print(tidewatt_agent.__file__)"
    assert type_(f"cd / && python -c '{file}'").strip() == str(site / "tidewatt_agent/__init__.py")
