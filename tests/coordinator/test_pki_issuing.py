"""The fleet's CA: what it signs, for whom, once; and how a certificate is renewed."""

import base64
import datetime as dt
import threading

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.certified import named
from tests.enrolling import HOUR_MS, KEYS, Desk, desk
from tests.secured import LONG_AGO, now

from tidewatt_agent.enrolling.identity import Identity, WrongAnswer, answered, signing_request
from tidewatt_coordinator.pki.asked import Rejected
from tidewatt_coordinator.pki.certificates import new_authority, new_certificate, new_key
from tidewatt_wire.enrolment import EnrollRequest

__all__ = ["desk"]  # the fixture


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
