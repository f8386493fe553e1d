"""Files that are whole or not there: replaced at once, and on the disk when the call returns.

By os alone: pathlib brings 0.6 MB resident into the actuator, which needs nothing else of it.
"""

import contextlib
import os

FilePath = str | os.PathLike[str]


def replace_file(path: FilePath, content: bytes, mode: int = 0o600) -> None:
    """Make `content` the file's, through a new one beside it.

    Raises OSError; then the old one stands, or the new one where only the folder could not be flushed.
    """
    name = os.fspath(path)
    beside = f"{name}.new"
    # Whatever stands there is a leftover; a link would lead the writing elsewhere.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)  # noqa: PTH108
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, name)  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)  # noqa: PTH108
        raise
    sync_folder(_folder(name))


def read_file(path: FilePath) -> bytes:
    """What it holds. Raises OSError."""
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def remove_file(path: FilePath) -> None:
    """Remove it, and see that it stays removed; that it isn't there is well."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
        sync_folder(_folder(os.fspath(path)))


def sync_folder(path: FilePath) -> None:
    """Put a folder's names on the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _folder(name: str) -> str:
    return os.path.dirname(name) or "."  # noqa: PTH120
