"""Record the board we run on: the part of /sys and /proc that readers look at, and nothing else.

Files are chosen by an allow-list, so what isn't needed (serial numbers, addresses, names of
networks) isn't read at all; texts are searched for such things all the same.
"""

import contextlib
import errno
import os
import platform
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone

from tidewatt_agent.modefile import modes_to_toml
from tidewatt_agent.nvpmodel import CONF_PATHS, parse_conf
from tidewatt_agent.recognise import recognise
from tidewatt_agent.recording import About, Files, Recording
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.version import VERSION

#: Shell patterns of the files worth keeping.
WANTED = (
    "etc/nv_tegra_release",
    "proc/device-tree/model",
    "proc/device-tree/compatible",
    "proc/meminfo",
    "proc/stat",
    "proc/uptime",
    "sys/devices/system/cpu/present",
    "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/cpu[0-9]*/online",
    "sys/devices/system/cpu/cpufreq/policy*/*cpus",
    "sys/devices/system/cpu/cpufreq/policy*/*_freq",
    "sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    "sys/devices/system/cpu/cpufreq/policy*/scaling_available_frequencies",
    "sys/class/devfreq/*/*_freq",
    "sys/class/devfreq/*/governor",
    "sys/class/devfreq/*/available_frequencies",
    "sys/class/devfreq/*/device/load",
    "sys/class/devfreq/*/device/of_node/name",
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/kernel/nvpmodel_clk_cap/*",
    "sys/kernel/nvpmodel_emc_cap/*",
    "sys/class/hwmon/hwmon*/name",
    "sys/class/hwmon/hwmon*/in[0-9]*_*",
    "sys/class/hwmon/hwmon*/curr[0-9]*_*",
    "sys/class/hwmon/hwmon*/power[0-9]*_*",
    "sys/class/hwmon/hwmon*/shunt[0-9]*_resistor",
    "sys/class/hwmon/hwmon*/samples",
    "sys/class/hwmon/hwmon*/pwm[0-9]",
    "sys/class/hwmon/hwmon*/rpm",
    "sys/class/hwmon/hwmon*/fan[0-9]*_input",
    "sys/class/hwmon/hwmon*/oc[0-9]_*",
    "sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*/rail_name_*",
    "sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*/in_*_input",
    "sys/bus/i2c/drivers/ina3221x/*/iio[:_]device*/*_current_limit_*",
    "sys/class/power_supply/*/type",
    "sys/class/power_supply/*/scope",
    "sys/class/power_supply/*/present",
    "sys/class/power_supply/*/capacity",
    "sys/class/thermal/thermal_zone*/type",
    "sys/class/thermal/thermal_zone*/temp",
    "sys/devices/pwm-fan/*_pwm",
    "sys/devices/pwm-fan/rpm_measured",
)
#: Device tree texts end in NUL on a board; so they do in a recording.
NUL_ENDED = ("proc/device-tree/", "/of_node/name")
_ADDRESS = re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b")
#: NVIDIA's serial numbers are 13 digits. A kernel's counter may be as long: those stand alone.
_SERIAL = re.compile(r"(?<![\d.])[01]\d{12}(?!\d|\.\d)")
REMOVED = "removed"
#: Host names that tell nobody anything, and would take half the text with them.
EVERYBODYS = frozenset(
    {"tegra", "tegra-ubuntu", "jetson", "jetson-nano", "nano", "orin", "orin-nano", "xavier", "agx", "thor"}
    | {"ubuntu", "nvidia", "nvidia-desktop", "jetson-desktop", "localhost", "board", "linux", "desktop"}
)


def capture(tree: Tree, tegrastats: Sequence[str], seconds: float) -> Recording:
    """The board as a recording, with `seconds` of tegrastats (none where it isn't installed)."""
    board = recognise(tree)
    private = private_words(tree)
    texts, refused = _seen(tree)
    files = {path: redact(text, private) for path, text in texts.items()}
    return Recording(
        about=About(
            title=redact(board.model or "unknown", private),
            family=board.family or "unknown",
            jetpack=board.jetpack or "unknown",
            l4t=board.l4t or "unknown",
            origin="captured",
            sources=[f"tidewatt-agent capture, {datetime.now(timezone.utc):%Y-%m-%d}"],
            versions={
                "tidewatt-agent": VERSION,
                "python": platform.python_version(),
                "kernel": platform.release(),
                "machine": platform.machine(),
            },
        ),
        tree=Files(files=files, refused=refused),
        tegrastats=[redact(line, private) for line in _lines(tegrastats, seconds)],
        nvpmodel=_modes(tree),
    )


def redact(text: str, private: Sequence[str] = ()) -> str:
    """The text without hardware addresses, serial numbers and the words in `private`."""
    for word in private:
        text = re.sub(rf"\b{re.escape(word)}\b", REMOVED, text)
    return _SERIAL.sub(REMOVED, _ADDRESS.sub(REMOVED, text))


def private_words(tree: Tree) -> list[str]:
    """What names this machine and nothing else."""
    host = socket.gethostname()
    words = [tree.read("proc/device-tree/serial-number"), host, host.partition(".")[0]]
    return [word for word in words if word and word.lower() not in EVERYBODYS]


def _paths(tree: Tree) -> list[str]:
    return sorted({path for pattern in WANTED for path in tree.find(pattern)})


def _seen(tree: Tree) -> tuple[dict[str, str], dict[str, str]]:
    """Texts, and the errors of what refuses: each file is asked once, for its answer may change."""
    texts: dict[str, str] = {}
    refused: dict[str, str] = {}
    for path in _paths(tree):
        try:
            text = tree.text(path)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENOENT):
                refused[path] = errno.errorcode.get(error.errno or 0, "EIO")
        else:
            texts[path] = f"{text}\0" if any(part in path for part in NUL_ENDED) else text
    return texts, refused


def _modes(tree: Tree) -> str:
    for path in CONF_PATHS:
        text = tree.read(path)
        if text is not None:
            return modes_to_toml(parse_conf(text))
    return ""


def _lines(command: Sequence[str], seconds: float) -> list[str]:
    """What tegrastats prints in `seconds`; the last line may be cut and is left out."""
    if seconds <= 0.0:
        return []
    with tempfile.TemporaryFile() as out:  # a pipe would fill, and hold it
        try:
            child = subprocess.Popen(
                [*command, "--interval", "1000"],
                stdout=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return []
        try:
            time.sleep(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    return [line.rstrip("\r\n") for line in text.splitlines(keepends=True) if line.endswith("\n")]
