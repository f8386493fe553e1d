"""The arm64 packages under emulation: unpacked, every module imported, and used (`make deb-trial`)."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.installed.machine import may_try, unpack

from tidewatt_agent.hands import Outcome
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.recording import lay_out, load
from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import GovernorState, decide, moved
from tidewatt_governor.sample import Load
from tidewatt_governor.traffic import scaled, shipped_day
from tidewatt_wire.messages import Policy

ROOT = Path(__file__).parents[2]
BINFMT = Path("/proc/sys/fs/binfmt_misc")
FORMAT = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
#: What onnxruntime asks the kernel about a CPU, of which the emulator would show the host's.
CORE = """\
processor\t: {}
BogoMIPS\t: 62.50
Features\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
EVERY_MODULE = """
import importlib, pkgutil, sys
import tidewatt_agent, tidewatt_governor, tidewatt_wire
count = 0
for package in (tidewatt_agent, tidewatt_governor, tidewatt_wire):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            count += 1
import onnxruntime, numpy
print(count, onnxruntime.get_available_providers()[-1], int(numpy.arange(4).sum()))
"""

pytestmark = pytest.mark.skipif(
    bool(may_try()) or not FORMAT.exists(), reason=may_try() or "needs qemu-user-static"
)


def emulate() -> None:
    """Let the kernel hand arm64 programs to the emulator."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", BINFMT], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        line = FORMAT.read_text().strip()
        (BINFMT / "register").write_text(line if "F" in line.rpartition(":")[2] else f"{line}F")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An arm64 Debian with both packages installed, for its own Python, which is none of a Jetson's."""
    emulate()
    out, root = tmp_path_factory.mktemp("debs"), tmp_path_factory.mktemp("board") / "root"
    program = [sys.executable, str(ROOT / "packaging/build_deb.py"), "--out", str(out)]
    options = ["--arch", "arm64", "--python", "3.11", "--compression", "gzip"]
    subprocess.run([*program, *options], check=True, capture_output=True)
    unpack(root, "arm64")
    for deb in sorted(out.glob("*.deb"), key=lambda path: len(path.name)):
        dpkg = ["dpkg", f"--root={root}", "--force-architecture", "--force-depends", "-i", str(deb)]
        subprocess.run(dpkg, check=True, capture_output=True)
    recording = load(ROOT / "tests/boards/orin-nano-super-jp62")
    lay_out(recording.tree, root / "srv/board")
    config = root / "etc/tidewatt/agent.toml"
    config.write_text(config.read_text().replace('root = "/" ', 'root = "/srv/board" '))
    (root / "root/cpuinfo").write_text("".join(CORE.format(core) for core in range(2)))
    yield root
    shutil.rmtree(root)


def inside(root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command on the board."""
    mounts = f"mount -t proc proc {root}/proc && mount --bind {root}/root/cpuinfo {root}/proc/cpuinfo"
    script = f'{mounts} && exec chroot {root} env -i PATH=/usr/bin:/bin:/usr/sbin QEMU_CPU=cortex-a76 "$@"'
    program = ["unshare", "-m", "sh", "-c", script, "sh", *command]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=300)


def test_every_module_and_the_runtime_are_imported(board: Path) -> None:
    (board / "root/every.py").write_text(EVERY_MODULE)
    home = "/usr/lib/tidewatt"
    path = f"PYTHONPATH={home}/app:{home}/py311:{home}/py311-forecast"
    done = inside(board, path, "python3", "-W", "ignore", "/root/every.py")
    assert done.returncode == 0, done.stderr
    count, provider, total = done.stdout.split()
    assert int(count) > 60
    assert (provider, total) == ("CPUExecutionProvider", "6")


def test_doctor_knows_the_board(board: Path) -> None:
    done = inside(board, "tidewatt-agent", "doctor")
    assert "Orin Nano" in done.stdout, done.stderr
    assert "reader.usable        sysfs will be used" in done.stdout


def test_status_of_a_running_agent(board: Path) -> None:
    script = (
        "tidewatt-agent run --config /etc/tidewatt/agent.toml & agent=$!; "
        "for _ in $(seq 100); do "
        "tidewatt-agent status >/tmp/said 2>&1 && grep -q 'power .* W' /tmp/said && break; "
        "sleep 0.2; done; kill $agent; wait $agent; cat /tmp/said"
    )
    (board / "var/lib/tidewatt/agent").mkdir(parents=True, exist_ok=True)
    said = inside(board, "sh", "-c", script).stdout
    assert "observing (it changes nothing)" in said
    assert re.search(r"^power +\d", said, re.MULTILINE)


def test_a_night_is_decided_as_it_is_here(board: Path) -> None:
    """Ten hours of real traffic: the same decisions to the letter, on another processor."""
    profile, policy = load_profile("orin-nano-super"), Policy()
    trace = scaled(shipped_day(), 300.0)
    state = GovernorState(point=profile.vendor_default, since_s=0.0)
    lines = []
    for minute in range(600):
        at_ms = trace.start_ms + minute * 60_000
        load = Load(requests=round(trace.rps_at(at_ms) * 60.0), interval_s=60.0)
        now_s, stands = 60.0 * minute, state.point
        state, decision = decide(state, load, policy, profile.points, profile.vendor_default, now_s)
        outcome = Outcome("unchanged" if decision.point == stands else "applied", decision.point)
        state = moved(state, decision.point, now_s)
        record = TickRecord(
            at_ms=at_ms, now_s=now_s, stands=stands, load=load, policy=policy,
            decision=decision, outcome=outcome,
        )  # fmt: skip
        lines.append(msgspec.json.encode(record).decode())
    (board / "root/night.jsonl").write_text("\n".join(lines) + "\n")
    done = inside(board, "tidewatt-agent", "replay", "/root/night.jsonl")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 600
    assert "[was:" not in done.stdout
    assert len({line.split()[2] for line in done.stdout.splitlines()}) > 1, "it moved in the night"
