"""The source tree: its version, its moment, and the tools that are run in it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The wheels' folders, each before those that need it.
WHEELS = ("wire", "governor", "agent", "coordinator", "router")


def version() -> str:
    """The one version of all that is released; `packaging/set_version.py` writes it everywhere else."""
    return (ROOT / "VERSION").read_text("utf-8").strip()


def moment() -> int:
    """Unix seconds that stand for "now" in whatever is built: SOURCE_DATE_EPOCH, or the commit's time."""
    given = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "-C", ROOT, "log", "-1", "--format=%ct")
    return int(given)


def freeze() -> None:
    """Have all that is built from here on depend on the sources alone: not on clock, umask or hash seed."""
    os.environ["SOURCE_DATE_EPOCH"] = str(moment())
    os.environ["PYTHONHASHSEED"] = "0"
    os.umask(0o022)


def pip(*arguments: str) -> None:
    """Run this Python's pip."""
    run(sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments)


def uv(*arguments: str) -> None:
    """Run `uv pip`."""
    program = Path(sys.executable).with_name("uv")
    run(program, "pip", arguments[0], "-q", "--no-config", "--link-mode", "copy", *arguments[1:])


def run(*command: object, folder: Path | None = None) -> str:
    """What a command prints; if it fails, what it complained of, and the end."""
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        print(textwrap.indent(done.stderr or done.stdout, "  "), file=sys.stderr)
        stop(f"{Path(words[0]).name} failed")
    return done.stdout


def stop(sentence: str) -> None:
    """End the program with a sentence."""
    sys.exit(f"{Path(sys.argv[0]).stem}: {sentence}")
