"""What the Markdown documents tell people to type: every fenced or indented block, line by line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
MADE = "<!-- Made by docs/generate.py"
#: The first word of a line that a person types into a shell.
PROGRAMS = """
    tidewatt tidewatt-agent tidewatt-router tidewatt-actuator make sudo pip curl git apt apt-get systemctl
    journalctl sqlite3 pg_dump pg_restore createdb psql mkdir install cp mv rm chown tar scp ssh docker kubectl
    helm kustomize promtool mosquitto_sub mosquitto_pub python3 towncrier gpg cat echo test timedatectl date
    dpkg cosign rsync export python sh . .venv/bin/pytest .venv/bin/python
""".split()  # noqa: SIM905 - one reads it
INLINE = re.compile(r"(?<!`)`((?:tidewatt|tidewatt-agent|tidewatt-router|tidewatt-actuator)(?: [^`]*)?)`(?!`)")


class Block(NamedTuple):
    """One block: where it begins, the word after its fence, its lines."""

    document: str
    line: int
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
    """Fenced and indented blocks, in their order. A list's continuation lines are no block."""
    fence, start, held = "", 0, list[str]()
    info, before = "", ""
    for number, line in enumerate((ROOT / document).read_text("utf-8").splitlines(), 1):
        if fence:
            if line.strip() == fence:
                yield Block(document, start, info, tuple(held))
                fence, held = "", []
            else:
                held.append(line)
        elif match := re.match(r"^(`{3,})(\w*)\s*$", line):
            if held:
                yield Block(document, start, "", tuple(held))
                held = []
            fence, info, start = match[1], match[2], number + 1
        elif line.startswith("    ") and (held or not before.strip()):
            if not held:
                start, info = number, ""
            held.append(line[4:])
        elif held and not line.strip():
            held.append("")
        elif held:
            yield Block(document, start, "", tuple(held))
            held = []
        before = line
    if held:
        yield Block(document, start, info, tuple(held))


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
            yield Typed(block.document, start, whole)
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
            yield Typed(document, number, found)
