"""Build the Debian packages: `build_deb.py [--arch arm64|amd64] [--out DIR]`.

    tidewatt-agent           the agent and the actuator with all they import, for the system's Python
    tidewatt-agent-forecast  onnxruntime and numpy, for those who let it forecast
    tidewatt-router          the router, for the host of a proxy (mostly --arch amd64)

Everything is made here, from locked wheels: nothing is fetched, compiled or resolved on the device.
Two builds of one commit are the same bytes. Each package holds its Python dependencies twice, for 3.10
(JetPack 6, Ubuntu 22.04) and 3.12 (JetPack 7, Ubuntu 24.04); the launcher takes the ones that fit.
"""

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "packaging/deb"
PLATFORMS = {"arm64": "aarch64-manylinux_2_28", "amd64": "x86_64-manylinux_2_28"}
#: e_machine of the ELF header.
MACHINES = {"arm64": 183, "amd64": 62}
PYTHONS = ("3.10", "3.12")
HOME, ROUTER_HOME = "usr/lib/tidewatt", "usr/lib/tidewatt-router"
#: The manual's pages, by package.
PAGES = {
    "tidewatt-agent": ("tidewatt-agent.1", "tidewatt-actuator.8"),
    "tidewatt-router": ("tidewatt-router.1",),
}
UNITS = (
    "tidewatt-agent.service",
    "tidewatt-actuator.service",
    "tidewatt-actuator.socket",
    "tidewatt-restore.service",
)
ROUTER_UNITS = ("tidewatt-router.service", "tidewatt-router-nginx.path", "tidewatt-router-nginx.service")
#: What wheels bring that no device runs.
NEEDLESS = (
    "**/tests", "**/test", "**/__pycache__", "**/*.pyi", "**/*.h", "**/*.a", "bin",
    "**/direct_url.json", "**/RECORD", "**/INSTALLER", "**/REQUESTED", "**/uv_cache.json",
    "numpy/distutils",
    "onnxruntime/tools", "onnxruntime/transformers", "onnxruntime/quantization",
    "onnxruntime/datasets", "onnxruntime/backend",
)  # fmt: skip
#: Of the runtime's dependencies, those that inference imports.
FORECAST = ("onnxruntime", "numpy")


def main() -> None:
    """Build both packages for one architecture, and say what is in them."""
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["SOURCE_DATE_EPOCH"] = _run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    # Whatever the builder's umask.
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as folder:
        for package, fill in PACKAGES.items():
            if options.package not in (None, package):
                continue
            root = Path(folder, package)
            root.mkdir()
            fill(root, options.arch, options.pythons)
            print(_describe(root, _pack(root, package, options.arch, options.out)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build the Debian packages.")
    parser.add_argument("--arch", choices=sorted(PLATFORMS), default="arm64", help="default: %(default)s")
    parser.add_argument(
        "--python", dest="pythons", nargs="+", default=PYTHONS, help="default: %(default)s; others for trials"
    )
    parser.add_argument("--package", choices=sorted(PACKAGES), help="default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "build/deb", help="default: build/deb")
    return parser


def _agent(root: Path, arch: str, pythons: Sequence[str]) -> None:
    home = root / HOME
    _ours(home, "wire", "governor", "agent")
    for python in pythons:
        _dependencies(home, python, arch, "device")
    for unit in UNITS:
        _install(ROOT / "systemd" / unit, root / "lib/systemd/system" / unit)
    _install(ROOT / "systemd/sysusers.d/tidewatt.conf", root / "usr/lib/sysusers.d/tidewatt.conf")
    _install(ROOT / "packaging/config/agent.toml", root / "etc/tidewatt/agent.toml")
    for program in ("tidewatt-agent", "tidewatt-actuator"):
        _install(SOURCES / "launcher.py", root / "usr/bin" / program, 0o755)


def _router(root: Path, arch: str, pythons: Sequence[str]) -> None:
    home = root / ROUTER_HOME
    _ours(home, "wire", "router")
    for python in pythons:
        _dependencies(home, python, arch, "router")
    for unit in ROUTER_UNITS:
        _install(ROOT / "systemd" / unit, root / "lib/systemd/system" / unit)
    users = "sysusers.d/tidewatt-router.conf"
    _install(ROOT / "systemd" / users, root / "usr/lib" / users)
    _install(ROOT / "packaging/config/router.toml", root / "etc/tidewatt/router.toml")
    _install(SOURCES / "launcher.py", root / "usr/bin/tidewatt-router", 0o755)


def _ours(home: Path, *wheels: str) -> None:
    """Our own wheels, built here."""
    with tempfile.TemporaryDirectory() as folder:
        projects = [str(ROOT / wheel) for wheel in wheels]
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *projects)
        found = sorted(str(path) for path in Path(folder).glob("*.whl"))
        _uv("install", "--target", str(home / "app"), "--no-deps", *found)


def _forecast(root: Path, arch: str, pythons: Sequence[str]) -> None:
    for python in pythons:
        target = _dependencies(root / HOME, python, arch, "forecast", "-forecast")
        for path in target.iterdir():
            if not path.name.startswith(FORECAST):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _dependencies(home: Path, python: str, arch: str, lock: str, suffix: str = "") -> Path:
    target = home / f"py{python.replace('.', '')}{suffix}"
    _uv(
        "install", "--target", str(target), "--python-version", python, "--python-platform", PLATFORMS[arch],
        "--only-binary", ":all:", "--no-binary", "sdnotify", "--no-build-isolation-package", "sdnotify",
        "--require-hashes", "--no-deps", "-r", str(ROOT / f"requirements/{lock}.txt"),
    )  # fmt: skip
    for library in target.rglob("*.so*"):
        _fits(library, python, arch)
    return target


def _fits(library: Path, python: str, arch: str) -> None:
    """Stop at a library for another processor or another Python: the device would find it too late."""
    head = library.open("rb").read(20)
    if head[:4] != b"\x7fELF" or int.from_bytes(head[18:20], "little") != MACHINES[arch]:
        sys.exit(f"build_deb: {library.name} is not for {arch}")
    tag = re.search(r"\.cpython-(\d+)-", library.name)
    if tag and tag[1] != python.replace(".", ""):
        sys.exit(f"build_deb: {library.name} is not for Python {python}")


def _pack(root: Path, package: str, arch: str, out: Path) -> Path:
    for pattern in NEEDLESS:
        for base in _home(root).iterdir():
            for path in sorted(base.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _documents(root, package)
    version = _run(sys.executable, "-c", "from tidewatt_agent.version import VERSION; print(VERSION)").strip()
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
    control = (SOURCES / f"{package}.control").read_text()
    control = control.format(version=version, arch=arch, size=-(-size // 1024))
    _write(root / "DEBIAN/control", control)
    for script in ("preinst", "postinst", "prerm", "postrm", "conffiles"):
        source = SOURCES / f"{package}.{script}"
        if source.exists():
            _install(source, root / "DEBIAN" / script, 0o644 if script == "conffiles" else 0o755)
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        elif not os.access(path, os.X_OK) or ".so" in path.name:
            path.chmod(0o644)
    deb = out / f"{package}_{version}_{arch}.deb"
    _run("dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", root, deb)
    return deb


def _documents(root: Path, package: str) -> None:
    """Debian's copyright file and changelog; every wheel's own licence stays in its dist-info."""
    folder = root / "usr/share/doc" / package
    licences = "\n".join(
        f"  {path.name.removesuffix('.dist-info')}: {_licence(path)}"
        for path in sorted({one.name: one for one in _home(root).glob("*/*.dist-info")}.values())
    )
    text = (SOURCES / "copyright").read_text()
    _write(folder / "copyright", text.replace("@LICENCES@", licences))
    _compress(SOURCES / "changelog", folder / "changelog.gz")
    for page in PAGES.get(package, ()):
        _compress(SOURCES / page, root / f"usr/share/man/man{page[-1]}/{page}.gz")
    _install(SOURCES / f"{package}.lintian", root / "usr/share/lintian/overrides" / package)


def _compress(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as file:
        file.write(source.read_bytes())


def _licence(dist_info: Path) -> str:
    for line in (dist_info / "METADATA").read_text("utf-8", "replace").splitlines():
        for field in ("License-Expression: ", "Classifier: License :: OSI Approved :: "):
            if line.startswith(field):
                return line.removeprefix(field)
    return "see its dist-info"


def _describe(root: Path, deb: Path) -> str:
    """The size of the package, and of what is in it."""
    lines = [f"{deb.name}: {deb.stat().st_size / 1e6:.1f} MB"]
    for base in sorted(_home(root).iterdir()):
        for path in sorted(base.iterdir()):
            size = sum(one.lstat().st_size for one in [path, *path.rglob("*")] if one.is_file())
            if size >= 100_000:  # noqa: PLR2004 - what counts
                lines.append(f"  {size / 1e6:7.1f} MB  {base.name}/{path.name}")
    return "\n".join(lines)


def _home(root: Path) -> Path:
    """Where a package's Python is: one folder below usr/lib."""
    (found,) = (root / "usr/lib").glob("tidewatt*")
    return found


def _install(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _pip(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *arguments)


def _uv(*arguments: str) -> None:
    _run(
        Path(sys.executable).with_name("uv"),
        "pip",
        arguments[0],
        "-q",
        "--no-config",
        "--link-mode",
        "copy",
        *arguments[1:],
    )


def _run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        print(textwrap.indent(done.stderr or done.stdout, "  "), file=sys.stderr)
        sys.exit(f"build_deb: {command[0]} failed")
    return done.stdout


PACKAGES = {"tidewatt-agent": _agent, "tidewatt-agent-forecast": _forecast, "tidewatt-router": _router}

if __name__ == "__main__":
    main()
