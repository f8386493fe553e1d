"""Board profiles by name: shipped ones, and files that `tidewatt-agent calibrate` wrote."""

from pathlib import Path

from tidewatt_governor.boards import BoardProfile, is_file, load_profile, parse_profile
from tidewatt_wire.documents import decode_text


def named_profile(name: str) -> BoardProfile:
    """The shipped profile of that name, or the one in the file of that name (it ends in .toml).

    Raises DocumentError for what is wrong with it, OSError for a file that can't be read.
    """
    if not is_file(name):
        return load_profile(name)
    return parse_profile(decode_text(Path(name).read_bytes(), name), name=name)
