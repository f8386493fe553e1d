"""The apt repository, asked by the real apt: it is signed, found, and refused when a byte is changed.

docs/operate.md's lines for it are typed, with a folder in place of /etc/apt; apt simulates what it installs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents.blocks import ROOT, blocks, commands, is_shell

PAGE = "docs/operate.md"
URL = "https://apt.example/tidewatt"
#: The page's lines by how they begin, and what each must show; {key} is the key's fingerprint.
SHOWN = {
    "curl -fsS https://apt.example/tidewatt": "",
    "gpg --show-keys": "{key}",
    'echo "deb [signed-by=': "",
    "sudo apt update": "",
    "sudo apt install tidewatt-coordinator": "Inst tidewatt-coordinator (1.0 Tidewatt:stable [",
}
SETTINGS = """\
Dir::State "{place}/state";
Dir::State::status "{place}/state/status";
Dir::Cache "{place}/cache";
Dir::Etc "{place}/etc";
APT::Architecture "amd64";
APT::Get::Simulate "true";
APT::Sandbox::User "";
Debug::NoLocking "true";
"""
CONTROL = """\
Package: {name}
Version: {version}
Architecture: amd64
Maintainer: Tidewatt <packages@tidewatt.invalid>
Description: a package to be found
"""

needs = pytest.mark.skipif(
    not all(map(shutil.which, ("apt-ftparchive", "apt-get", "gpg", "dpkg-deb"))),
    reason="needs apt-utils, gnupg: sudo apt install --no-install-recommends apt-utils gnupg",
)


def make(folder: Path, home: Path, key: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, str(ROOT / "packaging/build_apt_repo.py")]
    return subprocess.run(
        [*program, "--debs", str(folder / "debs"), "--out", str(folder / "repo")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"APT_KEY": key, "GNUPGHOME": str(home), "SOURCE_DATE_EPOCH": "1790000000"},
    )


def package(folder: Path, version: str, name: str = "tidewatt-trial") -> None:
    """A small real one."""
    tree = folder / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL.format(name=name, version=version))
    (folder / "debs").mkdir(exist_ok=True)
    deb = folder / f"debs/{name}_{version}_amd64.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", str(tree), str(deb)]
    subprocess.run(command, check=True, capture_output=True)


class Apt:
    """The real apt-get with lists, sources and caches of its own; it installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "etc"):
            (folder / "apt" / name).mkdir(parents=True)
        (folder / "apt/state/status").touch()
        repo = folder / "repo"
        (folder / "apt/sources.list").write_text(
            f"deb [arch=amd64 signed-by={repo}/tidewatt.asc] file:{repo} stable main\n"
        )

    def __call__(self, *command: str) -> "subprocess.CompletedProcess[str]":
        place = self.folder / "apt"
        options = {
            "Dir::State": f"{place}/state",
            "Dir::State::status": f"{place}/state/status",
            "Dir::Cache": f"{place}/cache",
            "Dir::Etc": f"{place}/etc",
            "Dir::Etc::sourcelist": f"{place}/sources.list",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
        }
        set_ = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return subprocess.run(
            ["apt-get", *set_, *command], capture_output=True, text=True, check=False, cwd=self.folder
        )


@needs
def test_the_real_apt_finds_the_package_and_refuses_a_changed_byte(tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    try:
        new_key(home, "trial@tidewatt.invalid")
        package(tmp_path, "1.0")
        done = make(tmp_path, home, "trial@tidewatt.invalid")
        assert done.returncode == 0, done.stderr
        repo = tmp_path / "repo"
        first = (repo / "dists/stable/Release").read_bytes()
        package(tmp_path, "1.1")
        assert make(tmp_path, home, "trial@tidewatt.invalid").returncode == 0
        assert (repo / "dists/stable/Release").read_bytes() != first
        found = sorted(path.name for path in (repo / "dists/stable").iterdir())
        assert found == ["InRelease", "Release", "Release.gpg", "main"]
        apt = Apt(tmp_path)
        updated = apt("update")
        assert (updated.returncode, updated.stderr) == (0, "")
        wanted = apt("install", "--print-uris", "-qq", "tidewatt-trial=1.0").stdout
        assert f"file:{repo}/pool/main/t/tidewatt/tidewatt-trial_1.0_amd64.deb" in wanted
        fetched = apt("download", "tidewatt-trial")
        assert fetched.returncode == 0, fetched.stderr
        # By file: apt reads where it lies, and checks its hash there.
        assert "tidewatt-trial" in fetched.stdout
        _bend(repo)
        shutil.rmtree(tmp_path / "apt")
        refused = Apt(tmp_path)("update")
        assert refused.returncode != 0
        assert "Hash Sum mismatch" in refused.stderr or "unexpected size" in refused.stderr
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def _bend(repo: Path) -> None:
    """Change a byte of every copy of the index."""
    for path in (repo / "dists/stable/main").rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(bytes(content))


def new_key(home: Path, name: str) -> str:
    """Make a key that signs; its fingerprint."""
    gpg = ["gpg", "--batch", "--homedir", str(home)]
    begin = ["--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "1d"]
    subprocess.run([*gpg, *begin], check=True, capture_output=True)
    listed = subprocess.run(
        [*gpg, "--with-colons", "--list-keys", name], check=True, capture_output=True, text=True
    )
    return next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr"))


@needs
def test_the_lines_of_the_page_install_from_it(tmp_path: Path) -> None:
    home, etc = tmp_path / "gnupg", tmp_path / "apt/etc"
    home.mkdir(mode=0o700)
    for name in ("state/lists/partial", "cache/archives/partial", "etc/keyrings", "etc/sources.list.d"):
        (tmp_path / "apt" / name).mkdir(parents=True)
    (tmp_path / "apt/state/status").touch()
    settings = tmp_path / "apt.conf"
    settings.write_text(SETTINGS.format(place=tmp_path / "apt"))
    environment = os.environ | {"APT_CONFIG": str(settings), "GNUPGHOME": str(home), "LC_ALL": "C"}

    def type_(line: str) -> "subprocess.CompletedProcess[str]":
        line = line.replace(URL, f"file://{tmp_path}/repo").replace("/etc/apt", str(etc)).replace("sudo ", "")
        return subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )

    (lines,) = (
        [one.text for one in commands(block)]
        for block in blocks(PAGE)
        if is_shell(block) and URL in block.text
    )
    assert len(lines) == len(SHOWN)
    try:
        key = new_key(home, "trial@tidewatt.invalid")
        package(tmp_path, "1.0", "tidewatt-coordinator")
        assert make(tmp_path, home, key).returncode == 0
        for line, (begins, shown) in zip(lines, SHOWN.items(), strict=True):
            assert line.startswith(begins)
            done = type_(line)
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            assert shown.format(key=key) in done.stdout, line
        assert make(tmp_path, home, new_key(home, "nobody@tidewatt.invalid")).returncode == 0
        refused = type_("sudo apt update")  # somebody else signed it; the keyring has the first key
        assert "NO_PUBKEY" in refused.stderr
        assert "not signed" in refused.stderr or "couldn't be verified" in refused.stderr
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


@needs
def test_without_a_key_it_refuses_in_one_sentence(tmp_path: Path) -> None:
    done = make(tmp_path, tmp_path, "")
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("build_apt_repo: APT_KEY is empty: name the gpg key to sign with")
    done = make(tmp_path, tmp_path, "nobody@tidewatt.invalid")
    assert done.stderr.startswith("build_apt_repo: gpg has no secret key 'nobody@tidewatt.invalid'")
    assert not (tmp_path / "repo").exists()
