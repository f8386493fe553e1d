"""The audit's chain: each entry's digest holds the one before it. Pure.

An entry that is edited has another digest than it says; one that is taken out, put in or moved breaks the
link to its neighbour. What a chain can't show by itself is that its end was cut off, or that all of it was
written anew: for that its head is told outside, and compared.
"""

import hashlib
from collections.abc import Iterable

import msgspec

#: What the first entry follows.
NOTHING = "0" * 64


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One change."""

    sequence: int
    """1 for the first."""
    at_ms: int
    """Real time."""
    fleet: str
    """Empty for what concerns every fleet of this database."""
    actor: str
    kind: str
    role: str
    by: str
    """Whom the caller said that it is, where it could say so; `actor` is who it was."""
    what: str
    subject: str
    before: str
    """JSON; empty where there was nothing."""
    after: str
    why: str
    request: str
    """The id of the request over REST."""
    previous: str
    """The digest of the entry before."""
    sha256: str


class Head(msgspec.Struct, frozen=True):
    """Where a chain ends, or ended when somebody looked."""

    sequence: int
    sha256: str

    def __str__(self) -> str:
        """As commands print and take it."""
        return f"{self.sequence}:{self.sha256}"


class Broken(msgspec.Struct, frozen=True):
    """The first place where a chain doesn't hold."""

    sequence: int
    why: str


EMPTY = Head(0, NOTHING)


def digest(entry: Entry) -> str:
    """What its sha256 must be: of all its other fields as JSON, by name, in UTF-8 (RFC 8785)."""
    fields = msgspec.structs.asdict(entry)
    del fields["sha256"]
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def sealed(entry: Entry, head: Head) -> Entry:
    """The entry as the one that follows a head."""
    placed = msgspec.structs.replace(entry, sequence=head.sequence + 1, previous=head.sha256)
    return msgspec.structs.replace(placed, sha256=digest(placed))


def first_broken(entries: Iterable[Entry], head: Head, anchors: Iterable[Head] = ()) -> Broken | None:
    """Where a whole chain, in its order, doesn't hold first; None if it does.

    `head`: where the database says that it ends; `anchors`: where it ended once, as was told outside.
    """
    told = {one.sequence: one.sha256 for one in anchors}
    last = EMPTY
    for entry in entries:
        if broken := _break(entry, last, told):
            return broken
        last = Head(entry.sequence, entry.sha256)
    if missing := [sequence for sequence in sorted(told) if sequence > last.sequence]:
        return Broken(last.sequence + 1, f"it went on to {missing[0]}, and ends at {last.sequence} now")
    if head != last:
        said = "another" if head.sequence == last.sequence else str(head.sequence)
        return Broken(last.sequence + 1, f"the last entry is {last.sequence}, and by its head {said}")
    return None


def _break(entry: Entry, last: Head, told: dict[int, str]) -> Broken | None:
    if entry.sequence != last.sequence + 1:
        return Broken(last.sequence + 1, f"after {last.sequence} comes {entry.sequence}")
    if entry.previous != last.sha256:
        return Broken(entry.sequence, "it doesn't follow the entry before it")
    if entry.sha256 != digest(entry):
        return Broken(entry.sequence, "its content is not what was sealed")
    if told.get(entry.sequence, entry.sha256) != entry.sha256:
        return Broken(entry.sequence, "it is another than was told outside: the chain was written anew")
    return None


def head_of(text: str) -> Head:
    """A head as commands print it; ValueError for anything else."""
    sequence, _, sha256 = text.partition(":")
    good = sequence.isascii() and sequence.isdigit() and len(sha256) == len(NOTHING)
    if not good or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"{text!r} is not NUMBER:SHA256, as `tidewatt audit verify` prints it")
    return Head(int(sequence), sha256)
