"""TOML with line numbers.

tomllib reads the values; it says lines only for what isn't TOML. So the lines of what is are
found by a second, simple look: it may take for granted that the text is valid.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

from tidewatt_wire.documents import DocumentError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<string>\"\"\"(?:\\.|[^\\])*?\"\"\"(?!\")|'''.*?'''(?!')|\"(?:\\.|[^\"\\])*\"|'[^']*')
    |(?P<sign>[\[\]{}=,.])
    |(?P<bare>[^\s\[\]{}=,.\#"']+)""",
    re.DOTALL | re.VERBOSE,
)
_AT = re.compile(r"at line (\d+)")


def read_toml(text: str, name: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The document and the line of every path in it. Raises DocumentError naming the line."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        sentence = str(error) or "nested too deeply"
        found = _AT.search(sentence)
        line = found[1] if found else str(text.count("\n") + 1)
        problem = sentence.partition(" (at ")[0]
        if problem.startswith("Cannot overwrite") or "twice" in problem:
            problem = f"a key stands here twice ({problem})"
        raise DocumentError(f"{name}:{line}: not TOML: {problem}") from error
    return document, _Lines(text).found


class _Lines:
    """One walk over the tokens of a valid document."""

    def __init__(self, text: str) -> None:
        self.found: dict[Path, int] = {(): 1}
        self._lengths: dict[Path, int] = {}
        self._tokens = list(_tokens(text.replace("\r\n", "\n")))
        self._next = 0
        table: Path = ()
        while self._next < len(self._tokens):
            if self._take("\n"):
                continue
            if self._take("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        array = self._take("[")
        line = self._line()
        keys = self._key()
        path: Path = ()
        for key in keys[:-1]:
            path = self._last(self._mark((*path, key), line))
        path = self._mark((*path, keys[-1]), line)
        if array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = self._mark(self._last(path), line)
        while not self._take("\n") and self._next < len(self._tokens):
            self._next += 1
        return path

    def _last(self, path: Path) -> Path:
        # A header below an array of tables means that array's last table.
        return (*path, self._lengths[path] - 1) if path in self._lengths else path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for key in self._key():
            path = self._mark((*path, key), line)
        self._take("=")
        self._value(path)

    def _key(self) -> list[str]:
        keys = [self._word()]
        while self._take("."):
            keys.append(self._word())
        return keys

    def _word(self) -> str:
        token = self._tokens[self._next][0]
        self._next += 1
        return str(tomllib.loads(f"k = {token}")["k"]) if token[0] in "\"'" else token

    def _value(self, path: Path) -> None:
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            while not self._take("}"):
                if not self._take(",") and not self._take("\n"):
                    self._pair(path)
        else:
            while self._next < len(self._tokens) and self._tokens[self._next][0] not in (",", "]", "}", "\n"):
                self._next += 1

    def _array(self, path: Path) -> None:
        index = 0
        while not self._take("]"):
            if self._take(",") or self._take("\n"):
                continue
            self._value(self._mark((*path, index), self._line()))
            index += 1

    def _take(self, sign: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next][0] == sign:
            self._next += 1
            return True
        return False

    def _line(self) -> int:
        return self._tokens[self._next][1]

    def _mark(self, path: Path, line: int) -> Path:
        self.found.setdefault(path, line)
        return path


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield match[0], line
        line += match[0].count("\n")
