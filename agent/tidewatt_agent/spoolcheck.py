"""The spool's file looked at from outside, for the doctor.

It is not opened as a database: somebody else's opening could leave files beside it that the agent's
user can't write.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tidewatt_agent.spool import MEGABYTE

SQLITE_HEAD = b"SQLite format 3\0"


def trouble(
    path: Path, max_mb: int, free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
) -> tuple[str, str] | None:
    """What is wrong with the spool and what to do about it, a sentence each; None if all is well."""
    try:
        free = free_bytes(path.parent)
        size, head = 0, SQLITE_HEAD
        if path.exists():
            size = path.stat().st_size
            with path.open("rb") as file:
                head = file.read(len(SQLITE_HEAD))
    except OSError as error:
        return f"{path}: {error.strerror}", "run as the service does; see state.folder"
    if head not in (b"", SQLITE_HEAD):
        return f"{path} is no SQLite file", "the agent sets it aside at its next start"
    if size and not os.access(path, os.W_OK):
        return f"{path} can't be written by this user", "run as the service does"
    if free < max_mb * MEGABYTE - size:
        return (
            f"the disk has {free // MEGABYTE} MB left, spool.max_mb = {max_mb} may need more",
            "make room, or lower spool.max_mb",
        )
    if Path(f"{path}.broken").exists():
        return (
            f"{path}.broken was set aside",
            "look at the disk's health, then remove it: nothing reads it any more",
        )
    return None
