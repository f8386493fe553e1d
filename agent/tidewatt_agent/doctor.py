"""What works here, what is missing, and how to get it. Check ids are stable: scripts may rely on them."""

import asyncio
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from tidewatt_agent.capture import capture, private_words, redact
from tidewatt_agent.config import Config, Load
from tidewatt_agent.finding import Finding, Level
from tidewatt_agent.linkchecks import link_findings
from tidewatt_agent.load.endpoint import Endpoint
from tidewatt_agent.nvpmodel import CONF_PATHS, parse_conf
from tidewatt_agent.power import total_watts
from tidewatt_agent.recognise import recognise
from tidewatt_agent.recording import save
from tidewatt_agent.rivals import find_rivals
from tidewatt_agent.setup import clock_is_set, profile_of, readers_of
from tidewatt_agent.spool import FILE_NAME
from tidewatt_agent.spoolcheck import trouble
from tidewatt_agent.sysfs.rails import read_rails
from tidewatt_agent.sysfs.reader import find_nodes
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.version import VERSION
from tidewatt_wire.clock import Clock
from tidewatt_wire.documents import to_toml

#: The exit code of a level: like systemd's own tools, 0 is all well.
EXIT: Mapping[Level, int] = {"ok": 0, "warning": 1, "error": 2}

#: Sensors that a board may lack without harm.
OPTIONAL = ("emc", "fan", "over_current")

Check = Callable[[Config, Tree, Clock], Iterator[Finding]]


def examine(config: Config, clock: Clock) -> list[Finding]:
    """Every check's findings. Takes some seconds where the broker or an application doesn't answer."""
    tree = Tree(config.reader.root)
    return [finding for check in CHECKS for finding in check(config, tree, clock)]


def worst(findings: list[Finding]) -> int:
    """The exit code: 0 all well, 1 something to look at, 2 something that keeps the agent from its work."""
    return max((EXIT[finding.level] for finding in findings), default=0)


def bundle(config: Config, findings: list[Finding], path: Path) -> None:
    """Write a .tar.gz for support: findings, configuration and the board, without secrets and addresses."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(path, "w:gz") as archive:
        recording = capture(Tree(config.reader.root), config.tegrastats.command, 3.0)
        save(recording, Path(folder) / "board")
        archive.add(Path(folder) / "board", "board", filter=_nobodys)
        private = [*private_words(Tree(config.reader.root)), *config.private_words()]
        document = {"version": VERSION, "findings": msgspec.to_builtins(findings)}
        for name, text in (
            ("doctor.json", redact(msgspec.json.format(msgspec.json.encode(document)).decode(), private)),
            ("config.toml", redact(to_toml(config.without_secrets()), private)),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _board(config: Config, tree: Tree, _clock: Clock) -> Iterator[Finding]:
    board = recognise(tree)
    if board.soc is None:
        yield Finding(
            "board.recognised",
            "warning",
            f"{board.model or 'this machine'} names no known Tegra in its device tree",
            "run the agent on a Jetson, or mount the host's /proc and set reader.root",
        )
    else:
        jetpack = f"JetPack {board.jetpack}" if board.jetpack else "an unknown JetPack"
        yield Finding("board.recognised", "ok", f"{board.model} ({board.soc}), {jetpack}, L4T {board.l4t}")
    profile = profile_of(config, board)
    if profile is None:
        yield Finding(
            "board.profile",
            "warning",
            "no operating points are known for this board: it is measured, not governed",
            "set board.profile to a profile that fits, or calibrate one",
        )
    else:
        names = ", ".join(point.name for point in profile.points)
        unmeasured = [point.name for point in profile.points if not point.measured]
        more = f"; {', '.join(unmeasured)} unmeasured, see `tidewatt-agent calibrate`" if unmeasured else ""
        yield Finding("board.profile", "ok", f"{profile.name}: {names}{more}")


def _readers(config: Config, _tree: Tree, clock: Clock) -> Iterator[Finding]:
    probes = {reader.name: reader.probe() for reader in readers_of(config, config.reader.interval_s, clock)}
    usable = [name for name, probe in probes.items() if probe.answer == "ok"]
    for name, probe in probes.items():
        level: Level = "ok" if probe.answer == "ok" or usable else "error"
        yield Finding(f"reader.{name}", level, probe.why)
    if not usable:
        yield Finding(
            "reader.usable",
            "error",
            "nothing can read this board",
            "install NVIDIA's tegrastats (nvidia-l4t-tools), or mount the host's /sys and set reader.root",
        )
    else:
        yield Finding("reader.usable", "ok", f"{usable[0]} will be used")


def _sensors(_config: Config, tree: Tree, _clock: Clock) -> Iterator[Finding]:
    nodes = find_nodes(tree)
    total = total_watts(read_rails(tree, nodes.rails))
    if total.watts is None:
        yield Finding(
            "sensor.power",
            "warning",
            "no power monitor can be read from /sys",
            "load the kernel's ina3221 driver; tegrastats' rails are used where it has some",
        )
    else:
        origin = "the board's input" if total.provenance == "measured" else "a sum of rails"
        yield Finding("sensor.power", "ok", f"{total.watts:.2f} W, {origin}")
    for name, part, remedy in (
        ("temperature", nodes.zones, "the kernel has no thermal zones: check its configuration"),
        (
            "gpu",
            nodes.gpu,
            "the GPU's devfreq node may come later in boot; till then its clocks are unknown",
        ),
        ("cpufreq", nodes.policies, "without cpufreq core clocks are unknown"),
        ("emc", nodes.emc, "the memory's cap is readable with NVIDIA's kernel, on some boards for root only"),
        ("fan", nodes.fan, "no fan, or one the kernel doesn't drive"),
        ("over_current", nodes.over_current, "only Orin and later count over-current events"),
    ):
        if part:
            yield Finding(f"sensor.{name}", "ok", "found")
        elif name in OPTIONAL:
            yield Finding(f"sensor.{name}", "ok", f"not found: {remedy}")
        else:
            yield Finding(f"sensor.{name}", "warning", "not found", remedy)


def _modes(_config: Config, tree: Tree, _clock: Clock) -> Iterator[Finding]:
    for path in CONF_PATHS:
        text = tree.read(path)
        if text is None:
            continue
        modes = parse_conf(text)
        names = ", ".join(f"{mode.id} {mode.name}" for mode in modes.modes)
        if modes.modes and modes.mode(-1 if modes.default is None else modes.default):
            yield Finding("modes.conf", "ok", f"/{path}: {names}; default {modes.default}")
        else:
            yield Finding(
                "modes.conf",
                "warning",
                f"/{path} has modes {names or 'none'} and default {modes.default}, which is none of them",
                "restore the file from the nvidia-l4t-nvpmodel package",
            )
        return
    yield Finding(
        "modes.conf",
        "warning",
        f"there is no nvpmodel.conf (looked for /{', /'.join(CONF_PATHS)})",
        "install nvidia-l4t-nvpmodel; without it modes can't be set",
    )


def _rivals(_config: Config, tree: Tree, _clock: Clock) -> Iterator[Finding]:
    found = find_rivals(tree)
    if found:
        yield Finding(
            "rivals",
            "warning",
            "; ".join(found),
            "let one program set clocks: stop the others, `jetson_clocks --restore`",
        )
    else:
        yield Finding("rivals", "ok", "no other program is known to set clocks or modes")


def _loads(config: Config, _tree: Tree, _clock: Clock) -> Iterator[Finding]:
    if not config.load:
        yield Finding("load", "warning", "no application is named: the load is not known", "add a [[load]]")
    for number, load in enumerate(config.without_secrets().load):
        why = asyncio.run(_why_unreadable(config.load[number]))
        if why:
            yield Finding(
                f"load.{number}", "warning", f"{load.url}: {why}", "start the application, or mend load.url"
            )
        else:
            yield Finding(f"load.{number}", "ok", f"{load.url} answers")


async def _why_unreadable(load: Load) -> str:
    endpoint = Endpoint(load)
    try:
        return await endpoint.why_not()
    finally:
        endpoint.close()


def _state(config: Config, _tree: Tree, _clock: Clock) -> Iterator[Finding]:
    folder = config.state.folder
    if not folder:
        yield Finding(
            "state.folder", "warning", "none is named: counters start anew at every start", "set it"
        )
    elif os.access(folder, os.W_OK | os.X_OK):
        yield Finding("state.folder", "ok", f"{folder} can be written")
    else:
        yield Finding(
            "state.folder",
            "error",
            f"{folder} can't be written by this user",
            "run as the service does, or let systemd make it (StateDirectory=tidewatt)",
        )


def _spool(config: Config, _tree: Tree, _clock: Clock) -> Iterator[Finding]:
    if not config.link.broker or not config.state.folder:
        yield Finding("spool", "ok", "there is none: it takes a broker and a state folder")
        return
    path = Path(config.state.folder, FILE_NAME)
    if wrong := trouble(path, config.spool.max_mb):
        yield Finding("spool", "warning", *wrong)
    else:
        yield Finding("spool", "ok", f"{path} may grow to {config.spool.max_mb} MB")


def _time(_config: Config, _tree: Tree, clock: Clock) -> Iterator[Finding]:
    if clock_is_set(clock):
        yield Finding("clock", "ok", "the time of day is set")
    else:
        yield Finding(
            "clock",
            "warning",
            "the clock stands before this software's release: reports wait",
            "set it by NTP",
        )


CHECKS: tuple[Check, ...] = (
    _board,
    _readers,
    _sensors,
    _modes,
    _rivals,
    _loads,
    link_findings,
    _state,
    _spool,
    _time,
)
