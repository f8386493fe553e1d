"""A folder with a package's files becomes a .deb."""

import gzip
import os
import shutil
from pathlib import Path

from release.bundle import slim
from release.notices import bundled, copyright_text, notices_text
from release.tree import ROOT, run, version

SOURCES = ROOT / "packaging/deb"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "conffiles")


def pack(root: Path, package: str, arch: str, out: Path, *, compression: str = "xz") -> Path:
    """The package: what is in `root`, with its control files and documents."""
    slim(home(root))
    _documents(root, package)
    control = (SOURCES / f"{package}.control").read_text()
    control = control.format(version=version(), arch=arch, size=-(-size(root) // 1024))
    write(root / "DEBIAN/control", control)
    for script in SCRIPTS:
        source = SOURCES / f"{package}.{script}"
        if source.exists():
            install(source, root / "DEBIAN" / script, 0o644 if script == "conffiles" else 0o755)
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        elif not os.access(path, os.X_OK) or ".so" in path.name:
            path.chmod(0o644)
    deb = out / f"{package}_{version()}_{arch}.deb"
    how = [f"-Z{compression}", *(["-z1"] if compression == "gzip" else [])]
    run("dpkg-deb", "--root-owner-group", *how, "--threads-max=1", "--build", root, deb)
    return deb


def _documents(root: Path, package: str) -> None:
    """Debian's copyright file and changelog, the notices and the manual's pages."""
    folder, carried = root / "usr/share/doc" / package, bundled(home(root))
    write(folder / "copyright", copyright_text(home(root), carried))
    compress(notices_text(package, home(root), carried).encode(), folder / "third-party-notices.gz")
    compress((SOURCES / "changelog").read_bytes(), folder / "changelog.gz")
    install(SOURCES / f"{package}.lintian", root / "usr/share/lintian/overrides" / package)
    if (SOURCES / f"{package}.README").exists():
        install(SOURCES / f"{package}.README", folder / "README.Debian")


def manual(root: Path, page: Path) -> None:
    """A page of the manual, into its section."""
    compress(page.read_bytes(), root / f"usr/share/man/man{page.name[-1]}/{page.name}.gz")


def compress(content: bytes, target: Path) -> None:
    """Write a .gz that says nothing of when it was made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as file:
        file.write(content)


def describe(root: Path, deb: Path) -> str:
    """The size of the package, and of what is in it."""
    installed = size(root)
    lines = [f"{deb.name}: {deb.stat().st_size / 1e6:.1f} MB, installed {installed / 1e6:.0f} MB"]
    for base in sorted(home(root).iterdir()):
        for path in sorted(base.iterdir()):
            found = size(path)
            if found >= 100_000:  # noqa: PLR2004 - what counts
                lines.append(f"  {found / 1e6:7.1f} MB  {base.name}/{path.name}")
    return "\n".join(lines)


def size(path: Path) -> int:
    """Bytes of the files there; what is there twice by hard links counts once."""
    found = {}
    for one in [path, *path.rglob("*")]:
        if one.is_file():
            status = one.lstat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def home(root: Path) -> Path:
    """Where a package's Python is: one folder below usr/lib."""
    (found,) = (root / "usr/lib").glob("tidewatt*")
    return found


def install(source: Path, target: Path, mode: int = 0o644) -> None:
    """Copy a file, its folder with it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def write(path: Path, content: str | bytes) -> None:
    """Write a file, its folder with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
