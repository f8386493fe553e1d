"""Every target of the Makefile does something, once."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_make_has_nothing_to_complain_of() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "help"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=plain)
    assert said.stderr == ""


def test_what_is_declared_is_there_and_says_what_it_is_for() -> None:
    makefile = (ROOT / "Makefile").read_text()
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert declared
    rules = re.findall(r"^([a-z-]+):(?! export)", makefile, re.MULTILINE)
    assert {*declared[1].split()} <= {*rules}
    helped = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert len(helped) == len({*helped})
    assert {*rules} - {*helped} == {"system-packages", "bench-packages"}


def test_documents_name_no_target_that_is_not_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    there = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)}
    benches = {f"bench-{path.name}" for path in (ROOT / "benchmarks").iterdir() if path.is_dir()}
    benches |= {f"bench-{path.stem}" for path in (ROOT / "benchmarks").glob("*.py")}
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    texts = [one.read_text("utf-8") for one in documents]
    named = {word for text in texts for word in re.findall(r"`make ([a-z][a-z-]*[a-z])\b", text)}
    assert named <= there | benches
