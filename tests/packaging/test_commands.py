"""Every command and option says what it is for, and stands in docs/cli.md; the command starts fast."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.command.contents import COMMANDS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from commands import Command, programs  # noqa: E402
from manual import pages  # noqa: E402

PROGRAMS = programs()
EVERY = [one for program in PROGRAMS for one in program.commands]
OURS = [one for one in PROGRAMS[0].commands if not any(other.words[:-1] == one.words for other in EVERY)]
#: Commands of `tidewatt` without --json, because they print no rows: they do something and say so in a
#: sentence, or print a file in a format of its own.
WITHOUT_JSON = {
    "act": {
        "access key revoke",
        "alerts ack", "carbon fetch", "cost change add", "cost change undo", "costs import", "costs check",
        "discovery write",
        "dispatch freeze", "dispatch override", "dispatch thaw", "enroll ca", "enroll broker",
        "enroll coordinator", "enroll router", "enroll token", "enroll revoke", "freeze", "keys new",
        "keys rotate", "keys retire", "model add", "model remove", "policy apply", "policy rollout",
        "policy approve", "policy pause", "policy resume", "policy abort", "policy rollback",
        "policy validate", "recommend approve", "recommend apply", "recommend reject", "recommend rollback",
        "serve", "tariff check", "train", "unfreeze", "config validate", "prices check",
    },
    "file": {"audit export", "costs export", "ledger group", "report", "simulate world"},
    "screen": {"fleet top"},
}  # fmt: skip
#: What no help may wait for: most of the time that a command takes to start is theirs.
HEAVY = ("sqlalchemy", "alembic", "numpy", "highspy", "duckdb", "fastapi", "pydantic", "httpx", "aiomqtt",
         "cryptography", "msgspec", "prometheus_client")  # fmt: skip


def test_every_command_and_option_says_what_it_is_for() -> None:
    silent = [one.name for one in EVERY if not one.about]
    silent += [f"{one.name} {each.typed}" for one in EVERY for each in one.parameters if not each.about]
    assert not silent
    # Typer takes [words] for markup and leaves them out.
    marked = [
        one.name for one in OURS for text in (one.about, *(p.about for p in one.parameters)) if "[" in text
    ]
    assert not marked


def test_every_command_stands_in_the_documentation() -> None:
    page = (ROOT / "docs/cli.md").read_text("utf-8").splitlines()
    for one in EVERY:
        assert f"{'#' * min(len(one.words) + 1, 4)} {one.name}" in page
    for typed in {each.typed for command in EVERY for each in command.parameters}:
        assert any(line.startswith(f"- `{typed}`: ") for line in page), typed


@pytest.mark.parametrize("command", OURS, ids=lambda one: one.name)
def test_what_prints_prints_json_too(command: Command) -> None:
    name = " ".join(command.words[1:])
    excused = any(name in names for names in WITHOUT_JSON.values())
    assert any(one.typed.startswith("--json") for one in command.parameters) != excused


def test_the_table_of_contents_says_what_the_commands_say() -> None:
    for name, entry in COMMANDS.items():
        assert entry.load(name).help == entry.about, name
        assert "Usage" in CliRunner().invoke(app, [name, "--help"]).stdout


def test_help_imports_no_command() -> None:
    program = (
        "import sys; sys.argv = ['tidewatt', '--help']\n"
        "from tidewatt_coordinator.cli import app\n"
        "app(standalone_mode=False)\n"
        "alone = {'typer', 'rich', 'markdown_it', 'pygments', 'attr', 'mdurl', 'shellingham', 'click'}\n"
        "print('found:', *sorted({one.partition('.')[0] for one in sys.modules} - sys.stdlib_module_names))\n"
        "print('ours:', *(one for one in sys.modules if one.startswith('tidewatt_coordinator.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found, ours = (line.split()[1:] for line in done.stdout.splitlines()[-2:])
    assert not set(HEAVY) & set(found)
    assert {one.split(".")[1] for one in ours} == {"cli", "command"}


def test_completion_knows_commands_and_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TIDEWATT_COMPLETE", "complete_bash")
    for typed, expected in (("tidewatt dis", "dispatch"), ("tidewatt dispatch sh", "show")):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
        assert expected in CliRunner().invoke(app, [], prog_name="tidewatt").stdout.split()


def test_every_page_of_the_manual_renders(tmp_path: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    found = dict(pages(PROGRAMS, ROOT / "packaging/deb/changelog", "0"))
    assert {"tidewatt.1", "tidewatt-cost.1", "tidewatt-agent.1", "tidewatt-actuator.8"} <= found.keys()
    files = []
    for name, text in found.items():
        files.append(tmp_path / name)
        files[-1].write_text(text)
    command = [groff, "-man", "-Tutf8", "-ww", "-z", "-b", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
