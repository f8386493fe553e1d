"""A board says by TLS that it sleeps, and others lie about it: broker, coordinator and link as they are."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest
from tests.ports import free_port
from tests.secured import SecuredMosquitto, Voice
from tests.world import ignore, until

from tidewatt_agent.link import Link
from tidewatt_agent.sleeping.word import Words
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import encode
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import Birth
from tidewatt_wire.sleeping import SleepState, signed_word
from tidewatt_wire.topics import DeviceTopic

TOPIC = str(DeviceTopic("f", "d1", "sleep"))


def word(state: Literal["asleep", "awake"], session: str, at_ms: int) -> SleepState:
    later_ms = round(time.time() * 1000) + 600_000
    return SleepState(
        device="d1", session=session, at_ms=at_ms, state=state, until_ms=later_ms, expires_at_ms=later_ms
    )


class Site:
    """A coordinator on a broker that asks for certificates."""

    def __init__(self, broker: SecuredMosquitto, folder: Path) -> None:
        shown, pki = broker.pki.shown("coordinator"), broker.pki.path
        self.broker, self._port, self._config = broker, free_port(), folder / "coordinator.toml"
        self._config.write_text(to_toml({
            "coordinator": {"fleet": "f", "listen": f"127.0.0.1:{self._port}"},
            "access": {"anonymous": "viewer", "metrics": "open"},
            "broker": {"url": broker.url, "ca": shown.ca, "certificate": shown.certificate},
            "ledger": {"url": f"sqlite:///{pki}/ledger.db"},
            "policy_keys": {"folder": str(pki / "keys")}, "models": {"folder": str(pki / "models")},
        }))  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        self.end()
        program = [sys.executable, "-m", "tidewatt_coordinator", "serve", "--config", str(self._config)]
        self._process = subprocess.Popen(program)

    def end(self) -> None:
        if self._process:
            self._process.terminate()
            assert self._process.wait(20) == 0
            self._process = None

    def status(self) -> str:
        page = self._get("/v1/fleet")
        devices = json.loads(page)["devices"] if page else []
        return next((str(one["status"]) for one in devices if one["device"] == "d1"), "")

    def refused(self, reason: str) -> bool:
        return f'tidewatt_ingest_refused_total{{reason="{reason}"}} 1.0' in self._get("/metrics")

    def _get(self, path: str) -> str:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self._port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        return ""

    def lies(self, payload: bytes) -> None:
        """Put this on the device's topic, as only the device and a broker can."""
        with Voice(self.broker, self.broker.pki.shown("d1")) as voice:
            assert voice.say(TOPIC, payload, retain=True) == "Success"

    @contextlib.asynccontextmanager
    async def board(self, *sessions: str) -> AsyncIterator[Link]:
        """The link of a board, by the names of its sessions."""
        shown, names = self.broker.pki.shown("d1"), iter((sessions[0], *sessions))

        def birth() -> Birth:
            return Birth(
                device="d1",
                session=next(names),
                epoch="e",
                at_ms=1,
                version="0",
                board="b",
                control="enforce",
            )

        connection = Connection(self.broker.url, shown)
        link = Link(connection, "f", birth, ignore, spread_s=0.1, sealed=Words(shown).sealed)
        task = asyncio.create_task(link.run())
        try:
            yield link
        finally:
            await ended(task)


@pytest.fixture
def site(guarded: SecuredMosquitto, tmp_path: Path) -> Iterator[Site]:
    site = Site(guarded, tmp_path)
    site.begin()
    yield site
    site.end()


async def test_it_is_believed_and_nobody_else_is(site: Site) -> None:
    async with site.board("s1", "s2") as link:
        link.say(lambda session: word("awake", session, 1))
        assert await link.rest(lambda session: word("asleep", session, 2), 20.0)
        await until(lambda: site.status() == "asleep")
        link.wake(lambda session: word("awake", session, 3))
        await until(lambda: site.status() == "online")
    await until(lambda: site.status() == "stopped")  # and now it is dead

    own, other = (Path(site.broker.pki.shown(name).certificate).read_bytes() for name in ("d1", "d2"))
    for lie, reason in (
        (word("asleep", "s2", 9), "unsigned"),
        (signed_word(word("asleep", "s2", 9), other, other), "wrong_topic"),
        (signed_word(word("asleep", "s1", 2), own, own), "replayed"),
        (signed_word(word("asleep", "s2", 2), own, own), "replayed"),
    ):
        site.lies(encode(lie))
        if reason != "replayed":
            await until(lambda: site.refused(reason))  # noqa: B023
        assert site.status() == "stopped", reason
    await until(lambda: '="replayed"} 2.0' in site._get("/metrics"))
    assert site.status() == "stopped"


async def test_a_coordinator_that_begins_anew_asks_whether_the_certificate_still_holds(site: Site) -> None:
    async with site.board("s1") as link:
        assert await link.rest(lambda session: word("asleep", session, 2), 20.0)
        await until(lambda: site.status() == "asleep")
        site.begin()
        await until(lambda: site.status() == "asleep")
        site.broker.pki.revoke("d1")
        site.begin()
        await until(lambda: site.refused("revoked_certificate"))
        assert site.status() == "online", "as far as anybody knows; silent a minute later"
