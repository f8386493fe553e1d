"""The container's image, built by a real builder from the Dockerfile itself, run with a read-only root.

In the place of the base that registries have stands a Debian with Python, made here. Needs root, buildah and
mmdebstrap.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.installed.machine import SUITE
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
USER = 10001
VERSION = (ROOT / "VERSION").read_text().strip()
CERTIFICATES = "/etc/ssl/certs"


class Image:
    """It, its files mounted, and what it is configured to do."""

    def __init__(self, files: Path, config: dict[str, object], folder: Path) -> None:
        self.files, self.config, self._folder = files, config, folder

    def start(
        self, shell: str, *, state: Path, mounts: dict[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """A shell line in it, as its user, everything read-only but its state and /tmp."""
        binds = {str(state): "/var/lib/tidewatt", "/dev/urandom": "/dev/urandom"} | (mounts or {})
        user = f"--userspec={USER}:{USER} --groups={USER}"
        lines = [
            f"mount --bind {self.files} {self.files}",
            *(f"mkdir -p {self.files}{one}" for at, one in binds.items() if Path(at).is_dir()),
            *(f"touch {self.files}{one}" for at, one in binds.items() if not Path(at).is_dir()),
            f"mount -o remount,bind,ro {self.files}",
            *(f"mount --bind {at} {self.files}{one}" for at, one in binds.items()),
            f"mount -t tmpfs tmpfs {self.files}/tmp",  # noqa: S108 - the image's
            f"mount -t proc proc {self.files}/proc",
            f"exec {shutil.which('chroot')} {user} {self.files} sh -c 'cd /var/lib/tidewatt && {shell}'",
        ]
        told = [one.partition("=")[::2] for one in self.config["Env"]]  # type: ignore[attr-defined]
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-ec", "\n".join(lines)],
            env=dict(told), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, shell: str, *, state: Path, mounts: dict[str, str] | None = None) -> tuple[int, str]:
        """How it ends and what it says."""
        process = self.start(shell, state=state, mounts=mounts)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    missing = [name for name in ("buildah", "mmdebstrap", "unshare") if not shutil.which(name)]
    if missing or os.getuid() != 0:
        pytest.skip(f"needs root and buildah, mmdebstrap, util-linux; missing: {missing or 'root'}")
    folder = tmp_path_factory.mktemp("image")
    store = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]

    def buildah(*words: str) -> str:
        return subprocess.run(
            ["buildah", *store, *words], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.strip()

    base = folder / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates,libstdc++6"  # the last: as every base with apt
    subprocess.run(["mmdebstrap", "--quiet", "--variant=essential", packages, SUITE, str(base)], check=True)
    scratch = buildah("from", "scratch")
    buildah("add", scratch, str(base), "/")
    buildah("commit", "--quiet", scratch, "localhost/python:trial")
    beside = [word for at in (CERTIFICATES, "/etc/resolv.conf") for word in ("--volume", f"{at}:{at}:ro")]
    file = ROOT / "packaging/container/Dockerfile"
    buildah(
        "bud", "--quiet", "--isolation", "chroot", "--network", "host", *beside,
        "--build-arg", "BASE=localhost/python:trial", "--ignorefile", f"{file}.dockerignore",
        "--tag", "localhost/tidewatt:trial", "--file", str(file), ".",
    )  # fmt: skip
    config = json.loads(buildah("inspect", "--type", "image", "localhost/tidewatt:trial"))["OCIv1"]["config"]
    container = buildah("from", "localhost/tidewatt:trial")
    try:
        yield Image(Path(buildah("mount", container)), config, folder)
    finally:
        buildah("umount", container)
        shutil.rmtree(folder / "store", ignore_errors=True)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, USER, USER)
    for parent in tmp_path.parents:
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):  # noqa: S108
            parent.chmod(0o711)
    return folder


def test_it_says_who_it_is_and_is_nobody(image: Image, state: Path) -> None:
    assert image.config["User"] == f"{USER}:{USER}"
    assert image.config["Labels"]["org.opencontainers.image.version"] == VERSION  # type: ignore[index]
    assert image.config["Entrypoint"] == ["tidewatt"]
    code, said = image.run("tidewatt --version && id -u && touch /opt/x", state=state)
    assert said.splitlines()[:2] == [f"tidewatt {VERSION}", str(USER)]
    assert code != 0
    assert "Read-only file system" in said


def test_what_is_in_it(image: Image) -> None:
    found = {one.name for one in (image.files / "opt/tidewatt/lib").glob("python3.*/site-packages/*")}
    assert {"tidewatt_coordinator", "boto3", "matplotlib", "opentelemetry"} <= found
    assert not {"pip", "setuptools", "hatchling", "pytest"} & found
    assert not (image.files / "build").exists()
    documents = {one.name for one in (image.files / "usr/share/doc/tidewatt").iterdir()}
    assert documents == {"LICENSE", "NOTICE", "third-party-notices"}


def test_it_serves_and_says_that_it_is_well(image: Image, state: Path) -> None:
    port, broker = free_port(), free_port()
    given = f"TIDEWATT__COORDINATOR__LISTEN=127.0.0.1:{port} TIDEWATT__BROKER__EMBEDDED_PORT={broker}"
    words = " ".join(image.config["Cmd"])  # type: ignore[arg-type]
    process = image.start(f"exec env {given} tidewatt {words}", state=state)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
                if answer.status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (state / "tidewatt.db").stat().st_uid == USER
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=30)
    assert process.returncode in (0, -15), said


def test_signing_keys_of_a_secret_are_copied_so_that_they_are_taken(image: Image, state: Path) -> None:
    """As the init container of packaging/kubernetes does: root's, readable by the group, is refused."""
    code, said = image.run("tidewatt keys new", state=state)
    assert code == 0, said
    sealed = state.parent / "sealed"
    sealed.mkdir(mode=0o750)
    os.chown(sealed, 0, USER)
    (key,) = (state / "policy-keys").glob("*.pem")
    shutil.copy(key, sealed)
    os.chown(sealed / key.name, 0, USER)
    (sealed / key.name).chmod(0o440)
    copy = state.parent / "copy"
    copy.mkdir(mode=0o700)
    os.chown(copy, USER, USER)
    mounts = {str(sealed): "/run/sealed", str(copy): "/run/keys"}
    listing = "TIDEWATT__POLICY_KEYS__FOLDER={} tidewatt keys list"
    code, said = image.run(listing.format("/run/sealed"), state=state, mounts=mounts)
    assert code != 0
    assert "others may read" in said
    line = f"umask 077 && cp /run/sealed/*.pem /run/keys/ && {listing.format('/run/keys')}"
    code, said = image.run(line, state=state, mounts=mounts)
    assert code == 0, said
    assert key.stem in said
