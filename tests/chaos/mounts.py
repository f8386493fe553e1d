"""Small disks of their own, for devices; where that may be done."""

import os
import shutil
import subprocess
from pathlib import Path

#: A spool's log and a spool of some hours.
SIZE = "4m"


def mounted(place: Path) -> bool:
    """Give the folder a disk; whether that could be done."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tidewatt-chaos", str(place)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def remount(place: Path, how: str) -> None:
    """`ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True, capture_output=True)


def let_go(place: Path) -> None:
    """Take the disk away, whoever still looks at it."""
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)
