"""What a setting's content says about a change: done, not done, half done, or somebody else's. Pure."""

from typing import Literal

import msgspec

from tidewatt_coordinator.levers.driver import Content

Standing = Literal["untouched", "applied", "partial", "foreign"]


def canonical(content: Content) -> bytes:
    """The content's bytes: equal contents have equal ones."""
    return msgspec.json.encode(content, order="sorted")


def standing(before: Content, after: Content, now: Content) -> Standing:
    """How far `now` is from `before` to `after`, part by part. Parts that the change leaves don't count."""
    parts = [name for name in after if canonical_part(before, name) != canonical_part(after, name)]
    done = [canonical_part(now, name) == canonical_part(after, name) for name in parts]
    undone = [canonical_part(now, name) == canonical_part(before, name) for name in parts]
    if all(done):
        return "applied"
    if all(undone):
        return "untouched"
    return "partial" if all(one or other for one, other in zip(done, undone, strict=True)) else "foreign"


def canonical_part(content: Content, name: str) -> bytes:
    """The bytes of one part; of one that isn't there, null's."""
    return msgspec.json.encode(content.get(name), order="sorted")


def expected(order_expect: Content, now: Content) -> bool:
    """Whether what is there is what an order expects: for APIs that have no precondition of their own."""
    return all(canonical_part(order_expect, name) == canonical_part(now, name) for name in order_expect)
