"""Asking servers that are configured: of an answer no more is taken than was agreed.

httpx takes an answer whole, whatever its size, and unpacks it. What is read here ends at a limit; beyond it
at most one piece of the network's, unpacked, was held (some tens of megabytes).
"""

from typing import Any

import httpx

MIB = 1024 * 1024
#: What httpx has undone by the time that a body is read.
_UNDONE = ("content-encoding", "content-length", "transfer-encoding")


class TooMuch(httpx.HTTPError):
    """An answer goes on beyond its limit; the sentence names who gave it."""

    def __init__(self, answer: httpx.Response, most: int) -> None:
        url = answer.request.url
        limit = f"{most // MIB} MiB" if most >= MIB else f"{most} bytes"
        super().__init__(f"{url.host}:{url.port or url.scheme} answers with more than {limit}")


def ask(client: httpx.Client, method: str, url: str, most: int, **asked: Any) -> httpx.Response:
    """The whole answer, of `most` bytes; TooMuch, and what httpx raises."""
    with client.stream(method, url, **asked) as answer:
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > most:
                raise TooMuch(answer, most)
    return _whole(answer, bytes(body))


async def ask_async(
    client: httpx.AsyncClient, method: str, url: str, most: int, **asked: Any
) -> httpx.Response:
    """The same for who must not be held up."""
    async with client.stream(method, url, **asked) as answer:
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > most:
                raise TooMuch(answer, most)
    return _whole(answer, bytes(body))


def _whole(answer: httpx.Response, body: bytes) -> httpx.Response:
    kept = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in _UNDONE]
    extensions = {key: answer.extensions[key] for key in ("reason_phrase",) if key in answer.extensions}
    return httpx.Response(
        answer.status_code, headers=kept, content=body, request=answer.request, extensions=extensions
    )
