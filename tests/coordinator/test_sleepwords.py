"""A board's word on its sleep is believed if the board signed it; what else comes is not, and is told of."""

import base64
import datetime as dt
import logging
from collections.abc import Callable

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from tests.certified import paper, signed, written
from tests.listening import NOW_MS, Office, altered, birth, office, real_ms, word
from tests.secured import LONG_AGO, now

from tidewatt_coordinator.fleet import MOST_PAST, Fleet
from tidewatt_coordinator.ledger.intake import in_quarantine
from tidewatt_coordinator.pki.certificates import new_authority, new_certificate, new_key
from tidewatt_coordinator.web.view import _sleep
from tidewatt_wire.certified import SLEEP_TYPE, certify
from tidewatt_wire.codec import MAX_BYTES, encode
from tidewatt_wire.signing import HINT_TYPE
from tidewatt_wire.sleeping import SleepState, signed_word
from tidewatt_wire.topics import DeviceTopic

__all__ = ["office"]  # the fixture


def test_a_boards_own_word_is_believed_and_kept_without_its_signature(office: Office) -> None:
    said = office.signed(word())
    assert office.hears(said) == "asleep"
    assert office.fleet.devices["a"].sleep == word()
    assert (office.ingest.refused, office.ingest.messages) == ({}, {"sleep": 1})
    assert office.hears(office.signed(word("awake", at_ms=3))) == "online"


def test_what_was_signed_counts_and_not_what_stands_beside_it(office: Office) -> None:
    said = msgspec.structs.replace(office.signed(word()), state="awake", expires_at_ms=2**52)
    assert office.hears(said) == "asleep"
    assert office.fleet.devices["a"].sleep == word()


def forged_by_another(office: Office) -> SleepState:
    return office.signed(word(), by="b")


def said_of_another(office: Office) -> SleepState:
    said = office.signed(word(device="b"))
    return msgspec.structs.replace(said, device="a")


def unsigned(_office: Office) -> SleepState:
    return word()


def expired(office: Office) -> SleepState:
    return office.signed(word(), at=LONG_AGO)


def not_yet(office: Office) -> SleepState:
    return office.signed(word(), at=now() + dt.timedelta(days=2))


def revoked(office: Office) -> SleepState:
    said = office.signed(word())
    office.pki.register.revoke("a", real_ms())
    office.trust.look()
    return said


def of_a_server(office: Office) -> SleepState:
    return office.signed(word(), kind="server")


def of_a_ca_of_the_same_name(_office: Office) -> SleepState:
    key, authority = new_key(), new_authority("f", now())
    made = new_certificate(authority, "device", ["a"], key.public_key(), now(), 7)
    pem = paper("a", key)._replace(certificate=made).pem
    return signed_word(word(), pem, pem)


def signed_by_itself(_office: Office) -> SleepState:
    return signed(word(), paper("a", ec.generate_private_key(ec.SECP256R1())))


def of_another_kind(office: Office) -> SleepState:
    pem = office.pem("a")
    return msgspec.structs.replace(word(), signed=certify(encode(word()), pem, pem, HINT_TYPE))


def revoked_in_another_hand(office: Office) -> SleepState:
    """The CA's signature by ECDSA, written in the other way that is as good."""
    said = office.signed(word())
    assert not isinstance(said.signed, msgspec.UnsetType)
    (signature,) = said.signed.signatures
    certificate = x509.load_der_x509_certificate(base64.b64decode(signature.cert))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    one, other = decode_dss_signature(certificate.signature)
    rewritten = written(certificate.tbs_certificate_bytes, encode_dss_signature(one, order - other))
    office.pki.register.revoke("a", real_ms())
    office.trust.look()
    again = msgspec.structs.replace(signature, cert=base64.b64encode(rewritten).decode())
    return msgspec.structs.replace(said, signed=msgspec.structs.replace(said.signed, signatures=[again]))


def of_another_major_version(office: Office) -> SleepState:
    pem = office.pem("a")
    payload = encode(word()).replace(b'"1.', b'"9.')
    return msgspec.structs.replace(word(), signed=certify(payload, pem, pem, SLEEP_TYPE))


@pytest.mark.parametrize(
    ("forge", "reason", "sentence"),
    [
        (unsigned, "unsigned", "the word of a on its sleep isn't signed"),
        (forged_by_another, "wrong_topic", "signed with the certificate of 'b', not of 'a'"),
        (said_of_another, "wrong_topic", "a signed a word of 'b', which it isn't"),
        (expired, "expired_certificate", "UTC, which isn't now"),
        (not_yet, "expired_certificate", "UTC, which isn't now"),
        (revoked, "revoked_certificate", "the certificate of 'a' has been revoked"),
        (revoked_in_another_hand, "revoked_certificate", "the certificate of 'a' has been revoked"),
        (of_a_server, "foreign_certificate", "the certificate of 'a' is not one for clients"),
        (of_a_ca_of_the_same_name, "foreign_certificate", "with a certificate of no CA in"),
        (signed_by_itself, "foreign_certificate", "with a certificate of no CA in"),
        (altered, "bad_signature", "not signed with the key of the certificate beside it"),
        (of_another_kind, "malformed", "expected 'application/vnd.tidewatt.sleep-state+json'"),
        (of_another_major_version, "unknown_major", "this side reads version 1"),
    ],
)
async def test_what_is_not_its_own_word_is_refused_told_and_kept_aside(
    office: Office,
    caplog: pytest.LogCaptureFixture,
    forge: Callable[[Office], SleepState],
    reason: str,
    sentence: str,
) -> None:
    said = forge(office)
    assert office.hears(said) == "online", "not asleep"
    assert office.hears(said) == "online"
    assert office.ingest.refused == {reason: 2}
    assert office.ingest.messages == {}
    (told,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert sentence in told
    assert "\n" not in told
    await office.ingest.merge()
    (aside,) = in_quarantine(office.pki.ledger, "a")
    assert (aside.code, aside.message) == ("unproven", encode(said).decode())
    assert sentence in aside.reason
    assert office.ingest.intake.quarantined == {"unproven": 2}


async def test_what_is_too_big_or_no_envelope_is_kept_aside_unread(office: Office) -> None:
    said = encode(office.signed(word()))
    huge = said.replace(b'"payload":"', b'"payload":"' + b"A" * 30_000)
    for payload in (huge, said.replace(b'"signatures":[', b'"signatures":7,"x":['), said[:-1]):
        assert office.hears(payload) == "online"
    assert office.ingest.refused == {"invalid": 2, "malformed": 1}
    assert office.hears(b" " * (MAX_BYTES + 1)) == "online"
    assert office.hears(b"") == "online"
    assert office.ingest.refused == {"invalid": 2, "too_big": 1, "malformed": 2}
    await office.ingest.merge()
    assert [one.code for one in in_quarantine(office.pki.ledger, "a")] == ["unreadable"] * 4, "'' takes back"


def test_a_nap_that_is_over_is_not_dreamt_again(office: Office) -> None:
    began, woken = office.signed(word(at_ms=10)), office.signed(word("awake", at_ms=11))
    assert office.hears(began) == "asleep"
    assert office.hears(woken) == "online"
    assert office.hears(began) == "online", "the broker plays the same session's older word again"
    assert office.ingest.refused == {"replayed": 1}
    assert office.fleet.devices["a"].unproven is None, "it is the board's own, and nothing new"
    assert office.ingest.intake.unread == []
    assert office.hears(woken) == "online"
    assert office.hears(office.signed(word(at_ms=12))) == "asleep", "the next nap is another"
    assert office.ingest.refused == {"replayed": 1}


@pytest.mark.parametrize("forged", [0, 2 * MOST_PAST])
def test_nor_with_the_birth_of_its_session(office: Office, forged: int) -> None:
    began = office.signed(word(at_ms=10))
    assert office.hears(began) == "asleep"
    office.fleet.born(birth("s2"), NOW_MS)
    assert office.hears(office.signed(word("awake", "s2", at_ms=20))) == "online"
    for number in range(forged):
        office.fleet.born(birth(f"forged{number}"), NOW_MS)
    office.fleet.born(birth("s1"), NOW_MS)
    assert office.hears(began) == "online", "births aren't signed, and bring no nap back"
    assert office.ingest.refused == {"replayed": 1}


def test_a_word_that_claims_nothing_is_not_kept_aside(office: Office) -> None:
    """As the broker may hold of a board that once was allowed to sleep, and says nothing any more."""
    said = msgspec.structs.replace(word("awake"), able=False)
    assert office.hears(said) == "online"
    assert office.ingest.refused == {"unsigned": 1}
    assert office.fleet.devices["a"].unproven is None
    assert office.ingest.intake.unread == []


def test_an_agent_that_promises_no_order_is_taken_by_its_last_word() -> None:
    fleet = Fleet(60_000)
    fleet.born(birth("s1"), NOW_MS)
    fleet.slumbered(word("awake", at_ms=10**12), numbered=False)
    assert fleet.slumbered(word("asleep", at_ms=5), numbered=False), "its clock was set back"


def test_a_clock_that_was_set_back_between_sessions_hides_nothing(office: Office) -> None:
    assert office.hears(office.signed(word("awake", at_ms=10**12))) == "online"
    office.fleet.born(birth("s2"), NOW_MS)
    assert office.hears(office.signed(word("asleep", "s2", at_ms=5))) == "asleep"


def test_forgeries_change_nothing_of_what_is_believed(office: Office) -> None:
    assert office.hears(office.signed(word())) == "asleep"
    assert office.hears(word("awake", at_ms=9)) == "asleep"
    assert office.hears(forged_by_another(office)) == "asleep"
    assert office.fleet.devices["a"].sleep == word()
    assert office.ingest.refused == {"unsigned": 1, "wrong_topic": 1}


def test_the_page_says_why_a_word_is_not_believed_until_one_is(office: Office) -> None:
    device = office.fleet.devices["a"]
    assert _sleep(device, "online")["sleeps"] is None
    office.hears(word("awake"))
    assert "its word on its sleep is not believed: the word of a" in _sleep(device, "online")["sleeps"]
    office.hears(office.signed(word("awake")))
    assert _sleep(device, "online")["sleeps"] == ""
    office.ingest.take(str(DeviceTopic("f", "nobody", "sleep")), encode(word(device="nobody")))
    assert set(office.fleet.devices) == {"a"}, "a forged word makes no device"
