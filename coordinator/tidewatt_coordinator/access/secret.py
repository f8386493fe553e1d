"""Secrets of 256 bits: made by chance, kept as their hash."""

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """A new one, of characters that a URL, a header and a cookie take as they are."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """What is kept of it. No salt and no stretching: 256 bits of chance can't be guessed from their hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, in a time that doesn't say where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def of_session(session: str) -> str:
    """The token that our own page must send along with a change: it proves that it could read our answer.

    It follows from the session's secret, so that it needs no place of its own, and doesn't tell it.
    """
    return hmac.new(session.encode(), b"changes", hashlib.sha256).hexdigest()
