"""The door of enrolment: what it answers, how often one may guess, and that nobody holds it open."""

import asyncio

import httpx
import msgspec
import pytest
from cryptography import x509
from tests.enrolling import Desk, desk

from tidewatt_agent.enrolling.identity import answered, signing_request
from tidewatt_coordinator.pki.certificates import new_key
from tidewatt_coordinator.pki.door import Door
from tidewatt_coordinator.pki.limit import ALL_AT_ONCE, MOST_ADDRESSES, WRONG_AT_ONCE, Limit
from tidewatt_wire.enrolment import MOST_BYTES, Enrolled, EnrollRequest, fingerprint, same_fingerprint

__all__ = ["desk"]  # the fixture


def door_of(desk: Desk) -> tuple[Door, httpx.AsyncClient, list[float]]:
    clock = [0.0]
    door = Door(desk.issuing, lambda: clock[0])
    return door, httpx.AsyncClient(transport=httpx.ASGITransport(door.app), base_url="https://door"), clock


async def test_the_door(desk: Desk) -> None:
    door, client, _ = door_of(desk)
    async with client:
        ca = (await client.get("/v1/ca")).content
        assert x509.load_pem_x509_certificate(ca) == desk.pki.authority.certificate
        key = new_key()
        request = EnrollRequest(token=desk.token("t", "d1"), csr=signing_request("d1", key))
        answer = await client.post("/v1/enroll", content=msgspec.json.encode(request))
        enrolled = msgspec.json.decode(answer.content, type=Enrolled)
        identity = answered(enrolled, "d1", key)
        renewal = msgspec.json.encode(desk.renewal(identity))
        assert (await client.post("/v1/renew", content=renewal)).status_code == 200
        for content, status in (
            (msgspec.json.encode(request), 403),
            (b"", 400),
            (b'{"token": "t"}', 400),
            (b'{"token": "t", "csr": "", "admin": true}', 400),
            (msgspec.json.encode({"token": "t", "csr": "x" * 8193}), 400),
            (b"x" * (MOST_BYTES + 1), 413),
        ):
            refused = await client.post("/v1/enroll", content=content)
            assert refused.status_code == status
            assert isinstance(refused.json()["detail"], str)
    assert door.answers == {"enrolled": 1, "renewed": 1, "refused": 1, "malformed": 5}


async def test_guessing_is_slow(desk: Desk) -> None:
    _, client, clock = door_of(desk)
    guess = msgspec.json.encode(EnrollRequest(token="guess", csr=signing_request("d1", new_key())))  # noqa: S106
    async with client:
        statuses = [(await client.post("/v1/enroll", content=guess)).status_code for _ in range(15)]
        assert statuses == [403] * WRONG_AT_ONCE + [429] * 5
        clock[0] += 31.0
        assert (await client.post("/v1/enroll", content=guess)).status_code == 403
        assert (await client.post("/v1/enroll", content=guess)).status_code == 429


def test_the_limit_holds_for_all_together_and_its_memory_is_bounded() -> None:
    limit = Limit()
    assert sum(limit.admits(str(number), 0.0) for number in range(1000)) == ALL_AT_ONCE
    assert limit.admits("1", 0.02)
    for number in range(MOST_ADDRESSES + 100):
        limit.was_wrong(str(number), 1.0)
    assert len(limit._wrong) == MOST_ADDRESSES


async def test_a_body_that_never_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewatt_coordinator.pki.door.BODY_S", 0.01)
    door, _, _ = door_of(desk)
    said: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        said.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/enroll", "headers": [], "query_string": b"",
        "client": ("192.0.2.1", 1), "server": ("door", 443), "scheme": "https", "http_version": "1.1",
        "root_path": "", "raw_path": b"/v1/enroll",
    }  # fmt: skip
    await door.app(scope, receive, send)  # type: ignore[arg-type]
    assert said[0]["status"] == 400


def test_fingerprints() -> None:
    digest = fingerprint(b"x")
    assert same_fingerprint(digest.upper(), b"x")
    assert same_fingerprint(":".join(digest[i : i + 2] for i in range(0, 64, 2)), b"x")
    assert not same_fingerprint(digest[:-1], b"x")
    assert not same_fingerprint("", b"x")
