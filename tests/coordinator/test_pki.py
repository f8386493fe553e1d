"""The fleet's CA: what it signs, for whom, once; hostile requests; the list; the door's limits."""

import asyncio
import base64
import datetime as dt
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secured import LONG_AGO, Pki, now
from typer.testing import CliRunner

from tidewatt_agent.enrolling.identity import Identity, WrongAnswer, answered, signing_request
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.pki.asked import Rejected, read_certificate, read_request
from tidewatt_coordinator.pki.certificates import key_pem, new_authority, new_certificate, new_key
from tidewatt_coordinator.pki.door import Door
from tidewatt_coordinator.pki.folder import Folder, FolderError
from tidewatt_coordinator.pki.issuing import Issuing
from tidewatt_coordinator.pki.limit import ALL_AT_ONCE, MOST_ADDRESSES, WRONG_AT_ONCE, Limit
from tidewatt_wire.enrolment import (
    MOST_BYTES,
    Enrolled,
    EnrollRequest,
    RenewRequest,
    fingerprint,
    same_fingerprint,
)
from tidewatt_wire.messages import TrustedKey

HOUR_MS = 3_600_000
KEYS = [TrustedKey(id="k1", public="A" * 44)]


class Desk:
    """An issuer on a real database, and a clock in our hands."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.now_ms = round(time.time() * 1000)
        self.issuing = Issuing(
            pki.authority,
            pki.register,
            fleet="f",
            broker="mqtts://b",
            days=30,
            policy_keys=lambda: KEYS,
            now_ms=lambda: self.now_ms,
        )

    def token(self, token: str, device: str | None = None) -> str:
        self.pki.register.promise(token, device, self.now_ms, self.now_ms + HOUR_MS)
        return token

    def enroll(self, token: str, device: str) -> Identity:
        key = new_key()
        request = EnrollRequest(token=token, csr=signing_request(device, key))
        return answered(self.issuing.enroll(request), device, key)

    def renewal(self, present: Identity, device: str | None = None) -> RenewRequest:
        csr = signing_request(device or present.device, new_key())
        certificate = present.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return RenewRequest(certificate=certificate, csr=csr, signature=present.sign(csr))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    pki = Pki(tmp_path / "pki")
    yield Desk(pki)
    pki.ledger.close()


def test_a_token_is_good_once_for_its_device_in_its_time(desk: Desk) -> None:
    identity = desk.enroll(desk.token("t1", "d1"), "d1")
    assert identity.certificate.not_valid_after_utc - now() < dt.timedelta(days=31)
    with pytest.raises(Rejected, match="has been used"):
        desk.enroll("t1", "d1")
    with pytest.raises(Rejected, match="for another device than d1"):
        desk.enroll(desk.token("t2", "d2"), "d1")
    desk.token("t3", "d3")
    desk.now_ms += HOUR_MS
    with pytest.raises(Rejected, match="has expired"):
        desk.enroll("t3", "d3")
    with pytest.raises(Rejected, match="is unknown"):
        desk.enroll("t4", "d4")
    assert desk.enroll(desk.token("t5", "d3"), "d3").device == "d3"


def test_a_token_for_anybody_makes_nobody_who_is_there_already(desk: Desk) -> None:
    desk.enroll(desk.token("t1"), "d1")
    with pytest.raises(Rejected, match="d1 has a certificate already"):
        desk.enroll(desk.token("t2"), "d1")
    desk.enroll("t2", "d2")
    desk.enroll(desk.token("t3", "d1"), "d1")
    desk.pki.register.revoke("d2", desk.now_ms)
    desk.enroll(desk.token("t4"), "d2")


def test_of_many_at_once_one_gets_through(desk: Desk) -> None:
    desk.token("t1", "d1")
    got: list[str] = []
    together = threading.Barrier(8)

    def one() -> None:
        key = new_key()
        request = EnrollRequest(token="t1", csr=signing_request("d1", key))  # noqa: S106 - a token of this test
        together.wait()
        try:
            desk.issuing.enroll(request)
        except Rejected as error:
            got.append(str(error))
        else:
            got.append("certificate")

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count("certificate") == 1
    assert sum("has been used" in said for said in got) == 7
    assert [one.name for one in desk.pki.register.issued()] == ["d1"]


def test_a_bad_request_leaves_the_token_good(desk: Desk) -> None:
    desk.token("t1", "d1")
    with pytest.raises(Rejected, match="can't be read"):
        desk.issuing.enroll(EnrollRequest(token="t1", csr="x"))  # noqa: S106
    desk.enroll("t1", "d1")


def test_renewal(desk: Desk) -> None:
    first = desk.enroll(desk.token("t1", "d1"), "d1")
    assert desk.issuing.renew(desk.renewal(first)).policy_keys == KEYS
    forged = msgspec.structs.replace(desk.renewal(first), signature=base64.b64encode(b"x" * 70).decode())
    with pytest.raises(Rejected, match="not signed with the present certificate's key"):
        desk.issuing.renew(forged)
    other = Identity(first.certificate, new_key())
    with pytest.raises(Rejected, match="not signed with the present certificate's key"):
        desk.issuing.renew(desk.renewal(other))
    with pytest.raises(Rejected, match="certificate is d1's, the signing request d2's"):
        desk.issuing.renew(desk.renewal(first, "d2"))

    stranger_key = new_key()
    ca = new_authority("f", now())
    stranger = new_certificate(ca, "device", ["d1"], stranger_key.public_key(), now(), 30)
    with pytest.raises(Rejected, match="not one that this coordinator gave"):
        desk.issuing.renew(desk.renewal(Identity(stranger, stranger_key)))
    with pytest.raises(Rejected, match="can't be read"):
        desk.issuing.renew(msgspec.structs.replace(desk.renewal(first), certificate="x"))

    desk.now_ms += 31 * 24 * HOUR_MS
    with pytest.raises(Rejected, match="has expired"):
        desk.issuing.renew(desk.renewal(first))
    second = desk.enroll(desk.token("t2", "d1"), "d1")
    desk.pki.register.revoke("d1", desk.now_ms)
    with pytest.raises(Rejected, match="has been revoked"):
        desk.issuing.renew(desk.renewal(second))


def test_a_coordinators_certificate_renews_no_device(desk: Desk) -> None:
    desk.pki.shown("coordinator")
    content = (desk.pki.path / "coordinator.pem").read_bytes()
    key = serialization.load_pem_private_key(content, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with pytest.raises(Rejected, match="not one that this coordinator gave to a device"):
        desk.issuing.renew(desk.renewal(Identity(x509.load_pem_x509_certificate(content), key), "d1"))


def test_revoking_voids_what_was_promised(desk: Desk) -> None:
    desk.enroll(desk.token("t1", "d1"), "d1")
    desk.token("t2", "d1")
    assert desk.pki.register.revoke("d1", desk.now_ms) == 1
    with pytest.raises(Rejected, match="has expired"):
        desk.enroll("t2", "d1")


def csr(
    build: Callable[[x509.CertificateSigningRequestBuilder], x509.CertificateSigningRequestBuilder],
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
) -> str:
    signer = key or new_key()
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = build(x509.CertificateSigningRequestBuilder()).sign(signer, digest)
    return made.public_bytes(serialization.Encoding.PEM).decode()


def as_csr(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def named(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def with_a_foreign_signature() -> str:
    text = csr(lambda b: b.subject_name(named("d1")))
    der = bytearray(base64.b64decode("".join(text.splitlines()[1:-1])))
    der[-1] ^= 1
    return as_csr(bytes(der))


def of_version(found: x509.Certificate | x509.CertificateSigningRequest, before: bytes) -> str:
    """The same of a version of X.509 that nobody has made yet; `before`: what stands before its number."""
    der = found.public_bytes(serialization.Encoding.DER)
    at = der.index(before) + len(before)
    text = base64.encodebytes(der[:at] + b"\x10" + der[at + 1 :]).decode()
    what = "CERTIFICATE REQUEST" if isinstance(found, x509.CertificateSigningRequest) else "CERTIFICATE"
    return f"-----BEGIN {what}-----\n{text}-----END {what}-----\n"


def csr_of_version_17() -> str:
    request = x509.load_pem_x509_csr(csr(lambda b: b.subject_name(named("d1"))).encode())
    return of_version(request, b"\x02\x01")


def test_a_certificate_of_another_version_is_refused() -> None:
    made = new_authority("f", now()).certificate
    with pytest.raises(Rejected, match="can't be read"):
        read_certificate(of_version(made, b"\xa0\x03\x02\x01"))


@pytest.mark.parametrize(
    ("request_of", "sentence"),
    [
        (lambda: csr(lambda b: b.subject_name(named("coordinator"))), "a name for coordinators"),
        (lambda: csr(lambda b: b.subject_name(named("coordinator-2"))), "a name for coordinators"),
        (lambda: csr(lambda b: b.subject_name(named("a/b"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("#"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("+"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("d1\n"))), "is not a name"),
        (lambda: csr(lambda b: b.subject_name(named("d1", "d2"))), "one common name"),
        (lambda: csr(lambda b: b.subject_name(x509.Name([]))), "one common name"),
        (
            lambda: csr(
                lambda b: b.subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "d1")]))
            ),
            "no device's id",
        ),
        (
            lambda: csr(
                lambda b: b.subject_name(named("d1")).add_extension(
                    x509.SubjectAlternativeName([x509.DNSName("broker.example")]), critical=False
                )
            ),
            "asks for the extension 2.5.29.17",
        ),
        (
            lambda: csr(
                lambda b: b.subject_name(named("d1")).add_extension(
                    x509.BasicConstraints(ca=True, path_length=None), critical=True
                )
            ),
            "asks for the extension 2.5.29.19",
        ),
        (
            lambda: csr(lambda b: b.subject_name(named("d1")), rsa.generate_private_key(65537, 2048)),
            "not an EC P-256 key",
        ),
        (
            lambda: csr(lambda b: b.subject_name(named("d1")), ec.generate_private_key(ec.SECP384R1())),
            "not an EC P-256 key",
        ),
        (
            lambda: csr(lambda b: b.subject_name(named("d1")), ed25519.Ed25519PrivateKey.generate()),
            "not an EC P-256 key",
        ),
        (with_a_foreign_signature, "not signed with its own key"),
        (csr_of_version_17, "can't be read"),
        (lambda: "", "can't be read"),
        (
            lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "can't be read",
        ),
    ],
)
def test_hostile_requests(request_of: Callable[[], str], sentence: str) -> None:
    with pytest.raises(Rejected) as caught:
        read_request(request_of())
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=200)
@given(st.data())
def test_no_bytes_break_the_reader(data: st.DataObject) -> None:
    good = csr(lambda b: b.subject_name(named("d1")))
    der = bytearray(base64.b64decode("".join(good.splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        # The length of a signature varies, so the place is drawn without it.
        der[data.draw(st.integers(0, 10_000)) % len(der)] = data.draw(st.integers(0, 255))
    try:
        asked = read_request(as_csr(bytes(der)))
    except Rejected:
        return
    assert asked.device == "d1", "a changed request doesn't bear its signature"


def test_what_is_in_a_certificate(desk: Desk) -> None:
    made = desk.enroll(desk.token("t", "d1"), "d1").certificate
    assert made.subject == named("d1")
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [one.dotted_string for one in usage] == ["1.3.6.1.5.5.7.3.2"]
    assert desk.pki.authority.certificate.not_valid_before_utc < made.not_valid_before_utc


def test_no_certificate_outlives_the_ca() -> None:
    ca = new_authority("f", LONG_AGO - dt.timedelta(days=3600))
    late = new_certificate(ca, "device", ["d"], new_key().public_key(), LONG_AGO, 825)
    assert late.not_valid_after_utc == ca.certificate.not_valid_after_utc


def test_an_answer_that_is_not_ours_is_not_kept(desk: Desk) -> None:
    key = new_key()
    answer = desk.issuing.enroll(EnrollRequest(token=desk.token("t", "d1"), csr=signing_request("d1", key)))
    assert answered(answer, "d1", key).device == "d1"
    for device, other in (("d2", key), ("d1", new_key())):
        with pytest.raises(WrongAnswer, match=f"not for {device}'s key"):
            answered(answer, device, other)
    from_another = msgspec.structs.replace(
        answer, ca=new_authority("f", now()).certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
    with pytest.raises(WrongAnswer, match="not from its CA"):
        answered(from_another, "d1", key)


def test_each_list_begins_later_than_the_one_before_and_outlives_them_all(desk: Desk) -> None:
    lists = []
    for number in range(5):
        desk.pki.shown(f"d{number}")
        desk.pki.revoke(f"d{number}")
        found = desk.pki.folder.revocation_list()
        assert found is not None
        lists.append(found)
    starts = [one.last_update_utc for one in lists]
    assert starts == sorted(set(starts))
    assert starts[-1] <= now(), "a list from the future is not believed"
    assert {one.next_update_utc for one in lists} == {desk.pki.authority.certificate.not_valid_after_utc}
    assert [len(list(one)) for one in lists] == [1, 2, 3, 4, 5]


def test_the_cas_folder(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "pki"))
    with pytest.raises(FolderError, match="`tidewatt enroll ca` makes a CA"):
        folder.authority()
    ca = new_authority("f", now())
    folder.begin(ca)
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    key = tmp_path / "pki/ca.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert folder.authority().certificate == ca.certificate
    with pytest.raises(FolderError, match="holds a CA already"):
        folder.begin(new_authority("f", now()))
    key.chmod(0o640)
    with pytest.raises(FolderError, match="open to other users: chmod 600"):
        folder.authority()
    key.chmod(0o600)
    key.write_bytes(key_pem(new_key()))
    with pytest.raises(FolderError, match="is not the key of"):
        folder.authority()
    key.write_text("x")
    with pytest.raises(FolderError, match="holds no key that can be read"):
        folder.authority()


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


def test_fingerprints() -> None:
    digest = fingerprint(b"x")
    assert same_fingerprint(digest.upper(), b"x")
    assert same_fingerprint(":".join(digest[i : i + 2] for i in range(0, 64, 2)), b"x")
    assert not same_fingerprint(digest[:-1], b"x")
    assert not same_fingerprint("", b"x")


def test_the_commands(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f'[ledger]\nurl = "sqlite:///{tmp_path}/l.db"\n'
        f'[enroll]\nfolder = "{tmp_path}/pki"\nnames = ["door.example"]\nlisten = "0.0.0.0:8443"\n'
    )

    def tidewatt(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["enroll", *arguments, "--config", str(file)])
        if done.exception:
            return str(done.exception)
        return done.output

    assert "`tidewatt enroll ca` makes a CA" in tidewatt("token")
    assert "keep a copy of this folder" in tidewatt("ca")
    assert "holds a CA already" in tidewatt("ca")
    assert x509.load_pem_x509_crl((tmp_path / "pki/crl.pem").read_bytes()) is not None
    assert "broker.key" in tidewatt("broker", "broker.example", "192.0.2.7")
    server = x509.load_pem_x509_certificate((tmp_path / "pki/broker.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["broker.example", "192.0.2.7"]
    assert (tmp_path / "pki/broker.key").stat().st_mode & 0o777 == 0o600
    assert "neither a host name nor an address" in tidewatt("broker", "a b")
    assert "coordinator-east.pem" in tidewatt("coordinator", "--name", "coordinator-east")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(tmp_path / "pki/coordinator-east.pem")
    assert "begins with 'coordinator-'" in tidewatt("coordinator", "--name", "east")
    printed = tidewatt("token", "--device", "d1", "--valid", "30m")
    assert printed.startswith("tidewatt-agent enroll https://door.example:8443 --token ")
    token = printed.split()[4]
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("l.db*")), (
        "only its hash"
    )
    assert "is no time between 1m and 30d" in tidewatt("token", "--valid", "1y")
    assert "a name for coordinators" in tidewatt("token", "--device", "coordinator-x")
    listed = tidewatt("list")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["broker.example", "server"],
        ["coordinator-east", "coordinator"],
        ["d1", "token"],
    ]
    assert token not in listed
    assert "revoked certificates: 1" in tidewatt("revoke", "coordinator-east")
    assert "holds nothing that could be revoked" in tidewatt("revoke", "coordinator-east")


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


def test_root_gives_its_files_to_the_folders_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    tmp_path.chmod(0o755)
    os.chown(tmp_path, 12345, 12345)
    folder = Folder(str(tmp_path / "pki"))
    folder.begin(new_authority("f", now()))
    assert {path.stat().st_uid for path in [tmp_path / "pki", *(tmp_path / "pki").iterdir()]} == {12345}
