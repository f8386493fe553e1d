"""A Debian with a real systemd as its first process, in a folder: what a package is tried in.

Needs root, mmdebstrap and systemd-nspawn; for another architecture, qemu's user emulation too.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = """
    python3 systemd systemd-sysv dbus dpkg bash dash coreutils diffutils libc-bin passwd login
    init-system-helpers base-files base-passwd sed grep tar findutils mawk zstd debianutils hostname
    util-linux mount procps libpam-runtime libpam-modules tzdata iproute2
""".split()  # noqa: SIM905 - one reads it
#: Of a root that apt has installed.
LEAST = ("systemd", "systemd-sysv", "dbus", "python3", "iproute2", "procps")
SUITE = "bookworm"
#: What a container neither needs nor can do.
MASKED = """
    systemd-firstboot systemd-networkd-wait-online systemd-resolved getty@tty1 console-getty
    systemd-network-generator systemd-sysctl systemd-tmpfiles-setup-dev systemd-journal-flush
    systemd-update-utmp systemd-logind e2scrub_reap
""".split()  # noqa: SIM905 - one reads it
#: The board's nodes that the actuator writes, over the host's own.
BOUND = ("sys/class", "sys/kernel", "sys/devices/system/cpu", "sys/devices/platform")
#: What dpkg and systemd remember.
STATE = ("var/lib/dpkg/", "var/lib/systemd/")
TIMEOUT_S = 60.0


def bootstrap(folder: Path, *packages: str) -> None:
    """Make the root of a Debian in `folder` with these packages, each installed as apt does it."""
    shutil.rmtree(folder, ignore_errors=True)
    included = ",".join((*LEAST, *packages))
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={included}", SUITE, folder, _sources()],
        check=True,
    )
    _settle(folder)


def _sources() -> Path:
    """Where this machine's apt gets its packages."""
    return next(
        path
        for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources"))
        if path.exists() and path.stat().st_size
    )


def _settle(folder: Path) -> None:
    """Leave to systemd what a container can do."""
    (folder / "etc/hostname").write_text("board\n")
    (folder / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    system = folder / "etc/systemd/system"
    for unit in MASKED:
        (system / f"{unit}.service").unlink(missing_ok=True)
        (system / f"{unit}.service").symlink_to("/dev/null")
    (system / "default.target").unlink(missing_ok=True)
    (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")


def unpack(folder: Path, arch: str) -> None:
    """Make the root of a Debian in `folder`, unpacked only: no maintainer script runs."""
    shutil.rmtree(folder, ignore_errors=True)
    included = f"--include={','.join(PACKAGES)}"
    subprocess.run(
        ["mmdebstrap", "--quiet", f"--arch={arch}", "--variant=extract", included, SUITE, folder, _sources()],
        check=True,
    )
    etc, shared = folder / "etc", folder / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        if not (etc / name).exists():
            shutil.copy(shared / f"{name}.master", etc / name)
    users = [line.split(":")[0] for line in (etc / "passwd").read_text().splitlines()]
    (etc / "shadow").write_text("".join(f"{user}:*:19000:0:99999:7:::\n" for user in users))
    (folder / "var/lib/dpkg/arch").write_text(f"{arch}\n")
    (folder / "var/lib/dpkg/status").write_text("")
    (folder / "usr/bin/awk").unlink(missing_ok=True)
    (folder / "usr/bin/awk").symlink_to("mawk")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (etc / "fstab").touch()
    _settle(folder)


class Machine:
    """A root that boots."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self.before: set[str] = set()
        """The files when it had booted: what purge leads back to."""

    def boot(self, board: str = "") -> None:
        """Start systemd and wait until it takes commands.

        `board`: a stand-in board's folder below the root, put where a board has its nodes.
        """
        options = ["-q", "-D", str(self.root), "--register=no", "--keep-unit", "--private-network"]
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", *options, "--console=pipe", "--link-journal=no", "-b"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.until(self._up, "systemd")
        self.run("systemctl", "is-system-running", "--wait", check=False)
        self.before = self.files()
        for path in BOUND if board else ():
            self.run("mount", "--bind", f"/{board}/{path}", f"/{path}")

    def _up(self) -> bool:
        # Looked up each time: nspawn's first child is only a helper that makes the one that stays.
        self._leader = self._child()
        return self._leader > 0 and self.ok("test", "-S", "/run/systemd/private")

    def _child(self) -> int:
        assert self._nspawn
        found = subprocess.run(
            ["pgrep", "-P", str(self._nspawn.pid)], capture_output=True, text=True, check=False
        )
        return int(found.stdout.split()[0]) if found.stdout.split() else 0

    def run(self, *command: str, check: bool = True) -> str:
        """What a command in the machine prints, errors included."""
        done = subprocess.run([*self._inside(), *command], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ends with {done.returncode}: {said}")
        return said

    def typed(self, line: str) -> str:
        """What a line of the documents prints, typed as root where its files lie; it must end well."""
        return self.run("sh", "-c", f"cd /root && {line}")

    def ok(self, *command: str) -> bool:
        """Whether a command in the machine ends well."""
        return subprocess.run([*self._inside(), *command], capture_output=True, check=False).returncode == 0

    def _inside(self) -> list[str]:
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", "-t", str(self._leader), "-a", "env", "-i", path]

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, "-p", key, "--value").strip()

    def until(self, true: Callable[[], int | bool], what: str) -> int:
        """Wait for something that the machine does in its own time."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if found := true():
                return int(found)
            time.sleep(0.05)
        raise AssertionError(f"waited {TIMEOUT_S:.0f} s in vain for {what}")

    def files(self) -> set[str]:
        """Every path that outlives a boot."""
        volatile = (
            "proc/",
            "sys/",
            "run/",
            "tmp/",
            "dev/",
            "var/log/",
            "var/lib/dpkg/",
            "var/lib/systemd/",
            "var/tmp/",
        )
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
        return {path for path in found if not path.startswith(volatile) and "__pycache__" not in path}

    def stop(self) -> None:
        """End it; some guests hang at power-off, so twice."""
        if self._nspawn:
            for _ in range(2):
                self._nspawn.send_signal(signal.SIGTERM)
                try:
                    self._nspawn.wait(3)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                self._nspawn.kill()
                self._nspawn.wait()
        self._nspawn = None


def may_try() -> str:
    """Why a package can't be tried here; empty when it can."""
    missing = [
        name for name in ("mmdebstrap", "systemd-nspawn", "nsenter", "dpkg-deb") if not shutil.which(name)
    ]
    if missing:
        return f"needs {', '.join(missing)}"
    return "" if os.getuid() == 0 else "needs root"
