"""What decides about callers without asking anybody: addresses, origins, patience, settings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.access.caller import Caller, caller_of, networks
from tidewatt_coordinator.access.origin import foreign
from tidewatt_coordinator.access.page import local
from tidewatt_coordinator.access.roles import ROLES, Actor, reaches
from tidewatt_coordinator.access.throttle import FREE_OF_NAME, LONGEST_S, MOST, Throttle
from tidewatt_coordinator.config import parse_config
from tidewatt_wire.documents import DocumentError


def scope(peer: str, scheme: str = "http", **headers: str) -> dict[str, object]:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (peer, 1), "scheme": scheme, "headers": sent}


@pytest.mark.parametrize(
    ("peer", "said", "address", "secure", "host"),
    [
        ("9.9.9.9", {"x_forwarded_for": "1.1.1.1", "x_forwarded_proto": "https"}, "9.9.9.9", False, "a"),
        ("10.0.0.1", {}, "10.0.0.1", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": "1.1.1.1"}, "1.1.1.1", False, "a"),
        # What a client wrote itself stands left of what our proxies saw.
        ("10.0.0.1", {"x_forwarded_for": "127.0.0.1, 1.1.1.1, 10.0.0.2"}, "1.1.1.1", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": "10.0.0.3, 10.0.0.2"}, "10.0.0.3", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": "1.1.1.1, junk"}, "junk", False, "a"),
        # The port changes with every connection, and is nobody's name.
        ("10.0.0.1", {"x_forwarded_for": "1.1.1.1:40001"}, "1.1.1.1", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": "1.1.1.1:40001, 10.0.0.2:8080"}, "1.1.1.1", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": "[2001:db8::1]:40001"}, "2001:db8::1", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": '"[2001:db8::1]"'}, "2001:db8::1", False, "a"),
        ("10.0.0.1", {"x_forwarded_for": "2001:db8::1"}, "2001:db8::1", False, "a"),
        ("10.0.0.1", {"x_forwarded_proto": "https", "x_forwarded_host": "b"}, "10.0.0.1", True, "b"),
        ("::1", {"x_forwarded_for": "1.1.1.1"}, "::1", False, "a"),
        ("", {"x_forwarded_for": "1.1.1.1"}, "", False, "a"),
    ],
)
def test_a_proxy_is_believed_if_it_is_trusted(
    peer: str, said: dict[str, str], address: str, secure: bool, host: str
) -> None:
    assert caller_of(scope(peer, host="a", **said), networks(["10.0.0.0/8"])) == Caller(address, secure, host)


@pytest.mark.parametrize(
    ("method", "headers", "ours"),
    [
        ("GET", {"origin": "https://evil"}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "https://evil"}, False),
        ("POST", {"sec-fetch-site": "same-site", "origin": "https://t.example"}, False),
        ("POST", {"sec-fetch-site": "cross-site"}, False),
        ("DELETE", {"sec-fetch-site": "none"}, False),
        ("POST", {"origin": "https://T.example"}, True),
        ("POST", {"origin": "http://t.example"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": "https://t.example.evil"}, False),
        ("PUT", {"origin": "https://out.example:8443"}, True),
        ("POST", {}, False),
    ],
)
def test_a_change_comes_from_our_own_page(method: str, headers: dict[str, str], ours: bool) -> None:
    caller = Caller("1.1.1.1", secure=True, host="t.example")
    assert (foreign(method, headers, caller, "https://out.example:8443/") == "") is ours


def test_wrong_tries_wait_ever_longer_and_right_ones_forget_them() -> None:
    patience, waits = Throttle(), list[float]()
    for _ in range(FREE_OF_NAME + 12):
        waits.append(patience.wait_s("1.1.1.1", "k", 0.0))
        patience.wrong("1.1.1.1", "k", 0.0)
    assert waits[: FREE_OF_NAME + 3] == [0.0] * FREE_OF_NAME + [1.0, 2.0, 4.0]
    assert waits[-1] == LONGEST_S
    # Nobody locks another out: the same name from elsewhere, another name from here.
    assert patience.wait_s("2.2.2.2", "k", 0.0) == patience.wait_s("1.1.1.1", "other", 0.0) == 0.0
    assert patience.wait_s("1.1.1.1", "k", LONGEST_S) == 0.0
    patience.right("1.1.1.1", "k")
    assert patience.wait_s("1.1.1.1", "k", 0.0) == 0.0
    for number in range(40):
        patience.wrong("1.1.1.1", f"k{number}", 0.0)
    assert patience.wait_s("1.1.1.1", "new", 0.0) > 0.0  # many names from one address
    assert patience.wait_s("2001:db8::1", "k", 0.0) == 0.0
    for number in range(6):
        patience.wrong(f"2001:db8::{number}", "k", 0.0)
    assert patience.wait_s("2001:db8::ffff", "k", 0.0) > 0.0  # a customer's whole network


def test_patience_is_bounded() -> None:
    patience = Throttle()
    for number in range(MOST):
        patience.wrong(f"a{number}", f"k{number}", 0.0)
    assert len(patience) == MOST


@settings(max_examples=300)
@given(st.text(alphabet="/\\.:?#@%a \t\r\n\u2028é", max_size=12))
def test_after_a_login_the_browser_stays_here(path: str) -> None:
    found = local(path)
    assert found[0] == "/"
    assert found[1:2] not in ("/", "\\")
    assert not set(found) & set("\r\n\t")


def test_a_role_may_what_lower_ones_may() -> None:
    assert ROLES == ("viewer", "operator", "approver", "admin")
    assert [[reaches(role, least) for least in ROLES].count(True) for role in ROLES] == [1, 2, 3, 4]
    bound = Actor(id="k", kind="key", role="viewer", sites=("roof",))
    assert (bound.sees("roof"), bound.sees("yard"), bound.sees("")) == (True, False, False)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[coordinator]\nlisten = "0.0.0.0:80"\n[access]\nanonymous = "viewer"', "anonymous_anywhere"),
        ('[access]\nanonymous = "viewer"\n[web]\ntrusted_proxies = ["10.0.0.1"]', "anonymous_anywhere"),
        ('[access]\nanonymous = "admin"', "anonymous"),
        ('[web]\ntls_key = "k"', "tls_certificate isn't"),
        ('[web]\ntrusted_proxies = ["proxy"]', "no address and no network"),
        ('[web]\npublic_url = "https://a/b"', "is not https://host"),
        ('[access.oidc]\nclient_id = "a"', "no provider"),
        ('[access.oidc]\ndiscovery = "http://idp.example/x"', "is not https://"),
        ('[access.oidc]\nalgorithms = ["HS256"]', "'HS256' is none of"),
        ('[access.oidc]\nalgorithms = ["none"]', "'none' is none of"),
        ('[access.oidc]\ndiscovery = "https://a/x"\naudience = "t"', "roles is empty"),
        ('[access.oidc]\ndiscovery = "https://a/x"\nroles = {a = "admin"}', "audience is empty"),
        (
            '[access.oidc]\ndiscovery = "https://a/x"\nroles = {a = "admin"}\nclient_id = "t"',
            "needs web.public_url",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        parse_config(text, name="c.toml")


def test_anonymous_elsewhere_may_be_meant() -> None:
    text = '[coordinator]\nlisten="0.0.0.0:80"\n[access]\nanonymous = "viewer"\nanonymous_anywhere = true'
    assert parse_config(text, name="c.toml").access.anonymous == "viewer"
