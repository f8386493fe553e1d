"""A document with the line of everything in it, whichever language it is written in."""

from typing import Any, Literal

import msgspec

from tidewatt_coordinator.rollout.toml_lines import read_toml
from tidewatt_coordinator.rollout.yaml_lines import read_yaml
from tidewatt_wire.documents import DocumentError

Path = tuple[str | int, ...]
Language = Literal["toml", "yaml"]

#: A policy set has at most 256 kB; a document that fills it is smaller than this.
MAX_CHARACTERS = 1024 * 1024


class Marked(msgspec.Struct, frozen=True):
    """Plain values, and the line (from 1) on which each path into them stands."""

    document: dict[str, Any]
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def language_of(name: str, text: str) -> Language:
    """By the file's name; without a telling one (standard input) TOML if it begins like TOML."""
    if name.endswith((".yaml", ".yml")):
        return "yaml"
    if name.endswith(".toml"):
        return "toml"
    said = (line.strip() for line in text.splitlines())
    first = next((line for line in said if line and not line.startswith("#")), "")
    key = first.partition(":")[0]
    return "toml" if first.startswith("[") or "=" in key else "yaml"


def read(text: str, language: Language, *, name: str) -> Marked:
    """The document in `text`; DocumentError says on which line of `name` it is none."""
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(f"{name}: {len(text)} characters; at most {MAX_CHARACTERS} are read")
    document, lines = (read_toml if language == "toml" else read_yaml)(text, name)
    return Marked(document, lines)
