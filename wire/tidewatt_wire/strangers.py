"""Texts of others, made fit for our sentences, logs and tables. Pure."""


def printable(text: str) -> str:
    """Without what terminals obey, what begins a new line, and what UTF-8 or PostgreSQL can't hold."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def one_line(text: str) -> str:
    r"""The same, readable: a line's end becomes `\n`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def set_in(text: str) -> str:
    """The same of several lines, each kept and none that begins like one of ours: they stand indented."""
    return "\n".join(f"  {one_line(line)}" for line in text.split("\n"))
