"""A board on paper: what a reader can see of it, as text that can be kept, mailed and laid out again.

A folder with board.toml (what it is and who says so), tree.toml (files and the errors with which
others refuse), tegrastats.txt (its lines) and, where the board has one, nvpmodel.toml.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tidewatt_wire.documents import decode_text, parse_toml, to_toml

Refusal = Annotated[str, msgspec.Meta(pattern=r"^E[A-Z0-9]{1,20}$")]
"""The name of an errno."""


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was recorded. `origin`: captured on a real board, or composed from public facts."""

    title: str
    family: str
    jetpack: str
    l4t: str
    origin: Literal["captured", "composed"]
    sources: list[str]
    versions: dict[str, str] = {}
    """Of the software that recorded it and the system that ran."""


class Files(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts by path (no leading slash), and errno names by the path of what can't be read."""

    files: dict[str, str]
    refused: dict[str, Refusal] = {}


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded board."""

    about: About
    tree: Files
    tegrastats: list[str] = []
    nvpmodel: str = ""
    """The power modes as TOML (see nvpmodel.py); empty where none were found."""


def load(folder: Path) -> Recording:
    """The recording in a folder. OSError if a file is missing, DocumentError if one is malformed."""

    def text(name: str) -> str:
        return decode_text((folder / name).read_bytes(), str(folder / name))

    return Recording(
        about=parse_toml(text("board.toml"), About, name=str(folder / "board.toml")),
        tree=parse_toml(text("tree.toml"), Files, name=str(folder / "tree.toml")),
        tegrastats=text("tegrastats.txt").splitlines() if (folder / "tegrastats.txt").exists() else [],
        nvpmodel=text("nvpmodel.toml") if (folder / "nvpmodel.toml").exists() else "",
    )


def save(recording: Recording, folder: Path) -> None:
    """Write it; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "board.toml").write_text(to_toml(recording.about), "utf-8")
    (folder / "tree.toml").write_text(to_toml(recording.tree), "utf-8")
    if recording.tegrastats:
        (folder / "tegrastats.txt").write_text("\n".join(recording.tegrastats) + "\n", "utf-8")
    if recording.nvpmodel:
        (folder / "nvpmodel.toml").write_text(recording.nvpmodel, "utf-8")


def lay_out(tree: Files, root: Path) -> None:
    """Make the files below `root`, so that a Tree can read them as on the board.

    What refuses with EAGAIN becomes a pipe, which does so as long as somebody holds it open for
    writing; what refuses otherwise becomes a link to itself.
    """
    for path, text in tree.files.items():
        place = _place(root, path)
        place.write_text(text if text.endswith("\0") else f"{text}\n", "utf-8")
    for path, name in tree.refused.items():
        place = _place(root, path)
        if name == "EAGAIN":
            os.mkfifo(place)
        else:
            place.symlink_to(place)


def _place(root: Path, path: str) -> Path:
    place = root / path
    if root.resolve() not in place.resolve().parents:
        raise ValueError(f"{path!r} leads out of the recording")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
