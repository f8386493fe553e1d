"""Build the Debian packages: `build_deb.py [--arch arm64 amd64] [--out DIR]`.

    tidewatt-agent           the agent and the actuator with all they import, for the system's Python
    tidewatt-agent-forecast  onnxruntime and numpy, for those who let it forecast
    tidewatt-router          the router, for the host of a proxy
    tidewatt-coordinator     the coordinator, its command, and what the shipped broker and Prometheus need

Without --arch each is made for those that a release brings it for: the router's and the coordinator's for
both, the agent's, which is a Jetson's, for arm64.

Everything is made here, from locked wheels: nothing is fetched, compiled or resolved where it is installed.
Two builds of one commit are the same bytes. Each package holds its Python dependencies for several Pythons
(release/contents.py), what is the same for all of them once; the launcher takes the ones that fit.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from release.bundle import PLATFORMS, dependencies, ours
from release.contents import ARTEFACTS
from release.debian import SOURCES, describe, install, manual, pack, write
from release.tree import ROOT, freeze, run

UNITS = (
    "tidewatt-agent.service",
    "tidewatt-actuator.service",
    "tidewatt-actuator.socket",
    "tidewatt-restore.service",
)
ROUTER_UNITS = ("tidewatt-router.service", "tidewatt-router-nginx.path", "tidewatt-router-nginx.service")
COORDINATOR_UNITS = ("tidewatt-coordinator.service",)
#: What stands around a coordinator: the broker's, Prometheus' and Grafana's configuration.
AROUND = ("mosquitto", "prometheus", "grafana")
#: Where the coordinator's service keeps what its configuration names by relative paths: the command must find
#: the same files from wherever it is typed.
STATE = "/var/lib/tidewatt-coordinator"
RELATIVE = {
    'url = "sqlite:///tidewatt.db"': f'url = "sqlite:///{STATE}/tidewatt.db"',
    'folder = "pki" ': f'folder = "{STATE}/pki" ',
    'folder = "policy-keys" ': f'folder = "{STATE}/policy-keys" ',
    'folder = "models" ': f'folder = "{STATE}/models" ',
}


def main() -> None:
    """Build the packages, and say what is in them."""
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    freeze()
    with tempfile.TemporaryDirectory() as folder:
        for package, fill in PACKAGES.items():
            if options.package not in (None, package):
                continue
            about = ARTEFACTS[package]
            for arch in options.arch or about.architectures:
                root = Path(folder, package, arch)
                root.mkdir(parents=True)
                fill(root, arch, options.pythons or about.pythons)
                deb = pack(root, package, arch, options.out, compression=options.compression)
                print(describe(root, deb), flush=True)
                shutil.rmtree(root)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build the Debian packages.")
    parser.add_argument(
        "--arch", nargs="+", choices=sorted(PLATFORMS), help="default: those of a release, by package"
    )
    parser.add_argument(
        "--python", dest="pythons", nargs="+", help="default: each package's own; others for trials"
    )
    parser.add_argument("--package", choices=sorted(PACKAGES), help="default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "build/deb", help="default: build/deb")
    parser.add_argument(
        "--compression", choices=("xz", "gzip"), default="xz", help="gzip: quick and large, for trials"
    )
    return parser


def _agent(root: Path, arch: str, pythons: Sequence[str]) -> None:
    _carried(root / "usr/lib/tidewatt", "tidewatt-agent", arch, pythons)
    _units(root, UNITS, "tidewatt.conf")
    install(ROOT / "packaging/config/agent.toml", root / "etc/tidewatt/agent.toml")
    for program in ("tidewatt-agent", "tidewatt-actuator"):
        install(SOURCES / "launcher.py", root / "usr/bin" / program, 0o755)
    for page in ("tidewatt-agent.1", "tidewatt-actuator.8"):
        manual(root, SOURCES / page)


def _forecast(root: Path, arch: str, pythons: Sequence[str]) -> None:
    about = ARTEFACTS["tidewatt-agent-forecast"]
    home = root / "usr/lib/tidewatt"
    dependencies(home, pythons, arch, about.lock, suffix="-forecast", only=about.only)


def _router(root: Path, arch: str, pythons: Sequence[str]) -> None:
    _carried(root / "usr/lib/tidewatt-router", "tidewatt-router", arch, pythons)
    _units(root, ROUTER_UNITS, "tidewatt-router.conf")
    install(ROOT / "packaging/config/router.toml", root / "etc/tidewatt/router.toml")
    install(SOURCES / "launcher.py", root / "usr/bin/tidewatt-router", 0o755)
    manual(root, SOURCES / "tidewatt-router.1")


def _coordinator(root: Path, arch: str, pythons: Sequence[str]) -> None:
    _carried(root / "usr/lib/tidewatt-coordinator", "tidewatt-coordinator", arch, pythons)
    _units(root, COORDINATOR_UNITS, "tidewatt-coordinator.conf")
    write(root / "etc/tidewatt/coordinator.toml", coordinator_config())
    install(SOURCES / "launcher.py", root / "usr/bin/tidewatt", 0o755)
    run(sys.executable, ROOT / "docs/generate.py", "--man")
    for page in sorted((ROOT / "build/man").glob("tidewatt*.1")):
        if page.name not in ("tidewatt-agent.1", "tidewatt-router.1"):
            manual(root, page)
    for folder in AROUND:
        for path in sorted((ROOT / "packaging" / folder).rglob("*")):
            if path.is_file() and ".test." not in path.name:
                shared = root / "usr/share/tidewatt-coordinator" / path.relative_to(ROOT / "packaging")
                install(path, shared)


def coordinator_config() -> str:
    """The shipped configuration with absolute paths."""
    text = (ROOT / "packaging/config/coordinator.toml").read_text("utf-8")
    for relative, absolute in RELATIVE.items():
        if text.count(relative) != 1:
            sys.exit(f"build_deb: {relative!r} is not once in coordinator.toml")
        text = text.replace(relative, absolute)
    return text


def _carried(home: Path, package: str, arch: str, pythons: Sequence[str]) -> None:
    about = ARTEFACTS[package]
    ours(home, *about.wheels)
    dependencies(home, pythons, arch, about.lock)


def _units(root: Path, units: Sequence[str], users: str) -> None:
    for unit in units:
        install(ROOT / "systemd" / unit, root / "lib/systemd/system" / unit)
    install(ROOT / "systemd/sysusers.d" / users, root / "usr/lib/sysusers.d" / users)


PACKAGES = {
    "tidewatt-agent": _agent,
    "tidewatt-agent-forecast": _forecast,
    "tidewatt-router": _router,
    "tidewatt-coordinator": _coordinator,
}

if __name__ == "__main__":
    main()
