"""The change log, from one file a change: `changelog.py check | draft | release VERSION DATE`.

A fragment is changes/NAME.KIND.md: a few lines that tell a user what is different. Nobody's fragment touches
another's, so branches merge; a release collects them under a heading and takes them away.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
#: Kinds in the order in which they are told, and their headings.
KINDS = {
    "added": "Added",
    "changed": "Changed",
    "deprecated": "Deprecated",
    "removed": "Removed",
    "fixed": "Fixed",
    "security": "Security",
}
NAME = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)\.(?P<kind>[a-z]+)\.md")
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
LONGEST_LINE = 120
#: Said of this file, not a change.
README = "README.md"


class Fragment(NamedTuple):
    """One change."""

    file: str
    kind: str
    text: str


def fragments(folder: Path) -> list[Fragment]:
    """Every fragment, by kind and name; ValueError names the first that isn't one."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name == README:
            continue
        text = path.read_text("utf-8")
        for sentence in wrong(path.name, text):
            raise ValueError(f"changes/{path.name}: {sentence}")
        found.append(Fragment(path.name, path.name.split(".")[1], text.strip()))
    return sorted(found, key=lambda one: (list(KINDS).index(one.kind), one.file))


def wrong(name: str, text: str) -> Iterator[str]:
    """What isn't as it must be, a sentence each."""
    match = NAME.fullmatch(name)
    if not match or match["kind"] not in KINDS:
        yield f"the name is no NAME.KIND.md, with one of {', '.join(KINDS)}"
    if not text.strip():
        yield "it says nothing"
    elif text.strip()[-1] not in ".)`":
        yield "it doesn't end with a sentence"
    if "](" in text:
        yield "it has a link, which leads elsewhere from CHANGELOG.md: name the file in backticks"
    for line in text.splitlines():
        if line.startswith(("#", "- ", "* ")):
            yield "it is a paragraph, without headings and lists: they are put there at the release"
        if len(line) > LONGEST_LINE:
            yield f"a line is longer than {LONGEST_LINE} letters"


def section(found: Sequence[Fragment], version: str, day: str) -> str:
    """What a release says of itself."""
    lines = [f"## {version} ({day})", ""]
    for kind, heading in KINDS.items():
        if ours := [one for one in found if one.kind == kind]:
            lines += [f"### {heading}", ""]
            lines += ["- " + one.text.replace("\n", "\n  ") for one in ours]
            lines.append("")
    return "\n".join(lines)


def released(log: str, new: str) -> str:
    """The change log with a release above the others."""
    head, _mark, rest = log.partition("\n## ")
    older = f"\n## {rest}" if rest else ""
    return f"{head.rstrip()}\n\n{new.rstrip()}\n{older}"


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    folder, log = ROOT / "changes", ROOT / "CHANGELOG.md"
    try:
        found = fragments(folder)
        match arguments:
            case ["check"]:
                print(f"{len(found)} changes since the last release")
            case ["draft"]:
                print(section(found, "next", "not yet released"))
            case ["release", version, day] if VERSION.fullmatch(version):
                date.fromisoformat(day)
                log.write_text(released(log.read_text("utf-8"), section(found, version, day)), "utf-8")
                for one in found:
                    (folder / one.file).unlink()
            case _:
                print(__doc__.splitlines()[0] if __doc__ else "", file=sys.stderr)
                return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
