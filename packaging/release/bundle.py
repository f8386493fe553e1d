"""The Python that a Debian package carries: our wheels, and locked ones of others for each Python."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from release.tree import ROOT, pip, stop, uv

PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "amd64": "x86_64-manylinux_2_28"}
#: e_machine of the ELF header.
MACHINES = {"arm64": 183, "amd64": 62}
#: What wheels bring that no device runs.
NEEDLESS = (
    "**/tests", "**/test", "**/__pycache__", "**/*.pyi", "**/*.h", "**/*.a", "bin", "*-stubs",
    "**/direct_url.json", "**/RECORD", "**/INSTALLER", "**/REQUESTED", "**/uv_cache.json",
    ".lock", "numpy/distutils",
    "onnxruntime/tools", "onnxruntime/transformers", "onnxruntime/quantization",
    "onnxruntime/datasets", "onnxruntime/backend",
)  # fmt: skip


def ours(home: Path, *wheels: str) -> None:
    """Our own wheels, built here."""
    with tempfile.TemporaryDirectory() as folder:
        projects = [str(ROOT / wheel) for wheel in wheels]
        pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *projects)
        found = sorted(str(path) for path in Path(folder).glob("*.whl"))
        uv("install", "--target", str(home / "app"), "--no-deps", *found)


def dependencies(
    home: Path, pythons: Sequence[str], arch: str, lock: str, *, suffix: str = "", only: Sequence[str] = ()
) -> None:
    """What requirements/LOCK.txt names, for each Python; `only`: of it what begins with these names."""
    for python in pythons:
        target = home / f"py{python.replace('.', '')}{suffix}"
        uv(
            "install", "--target", str(target), "--python-version", python,
            "--python-platform", PLATFORMS[arch], "--only-binary", ":all:",
            "--no-binary", "sdnotify", "--no-build-isolation-package", "sdnotify",
            "--require-hashes", "--no-deps", "-r", str(ROOT / f"requirements/{lock}.txt"),
        )  # fmt: skip
        for path in target.iterdir() if only else ():
            if not path.name.startswith(tuple(only)):
                _drop(path)
        for library in target.rglob("*.so*"):
            _fits(library, python, arch)


def _fits(library: Path, python: str, arch: str) -> None:
    """Stop at a library for another processor or another Python: the device would find it too late."""
    head = library.open("rb").read(20)
    if head[:4] != b"\x7fELF" or int.from_bytes(head[18:20], "little") != MACHINES[arch]:
        stop(f"{library.name} is not for {arch}")
    tag = re.search(r"\.cpython-(\d+)-", library.name)
    if tag and tag[1] != python.replace(".", ""):
        stop(f"{library.name} is not for Python {python}")


def slim(home: Path) -> None:
    """Leave out what isn't run, and keep once (as hard links) what is the same for several Pythons."""
    for base in home.iterdir():
        for pattern in NEEDLESS:
            for path in sorted(base.glob(pattern)):
                _drop(path)
    kept: dict[tuple[str, bytes], Path] = {}
    for base in sorted(home.glob("py*")):
        for path in sorted(base.rglob("*")):
            if not path.is_file() or path.is_symlink():
                continue
            mode = "x" if os.access(path, os.X_OK) else "-"
            same = kept.setdefault((mode, hashlib.sha256(path.read_bytes()).digest()), path)
            # Within one Python's folder files stay apart: a package may count its own.
            if same is not path and not same.is_relative_to(base):
                path.unlink()
                path.hardlink_to(same)


def _drop(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
