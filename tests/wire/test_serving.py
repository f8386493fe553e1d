"""The server that tests make."""

import asyncio

from tests.serving import serving

from tidewatt_link.ending import within


async def test_an_answer_that_breaks_leaves_nobody_on_the_line() -> None:
    async def breaks(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise AssertionError("as a test would")

    asyncio.get_running_loop().set_exception_handler(lambda _loop, _said: None)
    async with serving(breaks) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await within(reader.read(), 5.0) == b""
        writer.close()
