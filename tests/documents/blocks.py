"""What the Markdown documents tell people to type: every fenced or indented block, line by line."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
MADE = "<!-- Made by docs/generate.py"
#: The first word of a line that a person types into a shell.
PROGRAMS = """
    tidewatt tidewatt-agent tidewatt-router tidewatt-actuator make sudo pip curl git apt apt-get
    systemctl journalctl sed mosquitto sqlite3 pg_dump pg_restore createdb psql mkdir install cp mv rm chown
    tar scp ssh docker kubectl helm kustomize promtool mosquitto_sub mosquitto_pub python3 gpg cat echo test
    timedatectl date dpkg cosign rsync export python sh pytest . .venv/bin/pytest .venv/bin/python
""".split()  # noqa: SIM905 - one reads it
FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
INLINE = re.compile(r"(?<!`)`(tidewatt(?:-agent|-router|-actuator)?(?: [^`]*)?)`(?!`)")

SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


class Block(NamedTuple):
    """One block: where it begins, the word after its fence, its lines."""

    document: str
    line: int
    section: str
    info: str
    lines: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


class Typed(NamedTuple):
    """One command as it stands there, its comment and its continuation's backslash left out."""

    document: str
    line: int
    section: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[str]:
    """The README and every page of docs that a person writes."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages += [path for path in (ROOT / "CONTRIBUTING.md",) if path.exists()]
    return [str(one.relative_to(ROOT)) for one in pages if not one.read_text("utf-8").startswith(MADE)]


def blocks(document: str) -> Iterator[Block]:
    """Fenced and indented blocks, in their order."""
    lines = (ROOT / document).read_text("utf-8").splitlines()
    section, at = "", 0
    while at < len(lines):
        if lines[at].startswith("## "):
            section = lines[at].removeprefix("## ")
        if fence := FENCE.match(lines[at]):
            end = next(far for far in range(at + 1, len(lines)) if lines[far].strip() == fence[1])
            yield Block(document, at + 2, section, fence[2], tuple(lines[at + 1 : end]))
            at = end
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = _end_of_indented(lines, at)
            yield Block(document, at + 1, section, "", tuple(line[4:] for line in lines[at:end]))
            at = end - 1
        at += 1


def _end_of_indented(lines: Sequence[str], at: int) -> int:
    """The line after an indented block, which may have empty lines in it."""
    end = at
    while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
        at += 1
        if lines[at - 1].strip():
            end = at
    return end


def is_shell(block: Block) -> bool:
    """Whether a person types it into a shell: so says its fence, or its first word."""
    if block.info:
        return block.info in ("sh", "shell", "bash", "console")
    first = next((line for line in block.lines if line.strip() and not line.startswith("#")), "")
    return bool(first) and first.split()[0] in PROGRAMS


def commands(block: Block) -> Iterator[Typed]:
    """The commands of a shell block. A line that ends with a backslash goes on."""
    held, start = "", 0
    for number, line in enumerate(block.lines, block.line):
        if not held:
            start = number
        text = without_comment(line).strip()
        if text.endswith("\\"):
            held += text[:-1].rstrip() + " "
            continue
        if whole := (held + text).strip():
            yield Typed(block.document, start, block.section, whole)
        held = ""


def without_comment(line: str) -> str:
    """What a shell would see: a `#` after a blank, outside quotes, begins a comment."""
    quote = ""
    for at, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at]
    return line


def mentioned(document: str) -> Iterator[Typed]:
    """Commands that stand in the running text, between backticks."""
    for number, line in enumerate((ROOT / document).read_text("utf-8").splitlines(), 1):
        for found in INLINE.findall(line):
            yield Typed(document, number, "", found)


def spans(document: str) -> Iterator[Typed]:
    """All that stands between backticks in the running text, also where the line breaks in it."""
    lines = (ROOT / document).read_text("utf-8").splitlines()
    for block in blocks(document):
        for at in range(block.line - 1, block.line - 1 + len(block.lines)):
            lines[at] = ""
    text = "\n".join(lines)
    for found in SPAN.finditer(text):
        if words := " ".join(found[1].split()):
            yield Typed(document, text.count("\n", 0, found.start()) + 1, "", words)
