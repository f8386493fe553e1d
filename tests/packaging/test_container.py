"""The Dockerfile as a linter reads it: what it copies is there and is let in, and nobody is root.

That it builds and runs is tried by `make image-trial`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tidewatt_coordinator import VERSION

ROOT = Path(__file__).parents[2]
FILE = ROOT / "packaging/container/Dockerfile"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (one.partition(" ") for one in text.splitlines())
        if word
    ]


def test_the_linter_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "requirements/dev.txt brings it"
    done = subprocess.run([hadolint, "--no-color", str(FILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_let_in() -> None:
    let_in = {
        one[1:]
        for one in (FILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
        if one[:1] == "!"
    }
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / one).exists() for one in copied)


def test_nobody_is_root_and_nothing_is_unlocked() -> None:
    told = instructions()
    users = [rest for word, rest in told if word == "USER"]
    assert users == ["10001:10001"]
    assert told.index(("USER", users[0])) > max(at for at, (word, _) in enumerate(told) if word == "RUN")
    assert dict(told)["ARG"] is not None
    assert ("ARG", f"VERSION={VERSION}") in told
    for _, line in (one for one in told if one[0] == "RUN"):
        for install in re.findall(r"pip (?:install|wheel)[^&]*|pip --python \S+ install[^&]*", line):
            assert "--require-hashes" in install or "--no-deps" in install, install
