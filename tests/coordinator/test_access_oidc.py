"""Tokens of a provider: a real one over HTTP on this machine, its keys, its login page, and every forgery."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import APIRouter, FastAPI, Request
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from tests.access import Browser

from tidewatt_coordinator.access.gate import Gate
from tidewatt_coordinator.access.keys import KeyBook
from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.access.logins import LASTS_MS, LoginBook
from tidewatt_coordinator.access.provider import APART_S, FRESH_S, STALE_S, Provider
from tidewatt_coordinator.access.rest import router
from tidewatt_coordinator.access.sessions import Lasting, SessionBook
from tidewatt_coordinator.access.settings import Access, Oidc, Web
from tidewatt_coordinator.access.tokens import TokenRefusedError, actor_of, read_keys
from tidewatt_coordinator.ledger.store import Ledger

NOW_S = 1_795_000_000
OURS = "https://t.example"
RSA_KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
EC_KEY = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
STRANGE = RSAKey.generate_key(2048, {"kid": "one"})


class Idp:
    """A provider. What it was asked is in `asked`."""

    def __init__(self) -> None:
        self.keys: list[RSAKey | ECKey] = [RSA_KEY]
        self.up, self.asked, self.forms = True, list[str](), list[dict[str, str]]()
        self.id_token, self.issuer_says = "", ""
        idp = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                idp.asked.append(self.path)
                keys = [one.as_dict(private=False) for one in idp.keys]
                self._answer({"keys": keys} if self.path == "/keys" else idp.document())

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                idp.forms.append({name: values[0] for name, values in form.items()})
                self._answer({"id_token": idp.id_token, "access_token": "x"} if idp.id_token else None)

            def _answer(self, what: dict[str, Any] | None) -> None:
                body = json.dumps(what).encode()
                self.send_response(503 if not idp.up else 200 if what else 400)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
        }

    def claims(self, **changed: Any) -> dict[str, Any]:
        told = {
            "iss": self.url, "aud": "api", "sub": "u1", "exp": NOW_S + 300, "iat": NOW_S, "nbf": NOW_S,
            "realm": {"roles": ["ops", "else"]}, "sites": ["roof"], "preferred_username": "ann",
        } | changed  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}

    def token(self, key: Any = RSA_KEY, alg: str = "RS256", kid: str | None = "one", **changed: Any) -> str:
        header = {"alg": alg} | ({"kid": kid} if kid else {})
        return jwt.encode(header, self.claims(**changed), key, algorithms=[alg])

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class House:
    """The gate with a provider, on a clock that is put forward by hand."""

    def __init__(self, ledger: Ledger, idp: Idp) -> None:
        self.now_s, self.idp = float(NOW_S), idp
        oidc = Oidc(
            discovery=f"{idp.url}/.well-known/openid-configuration",
            client_id="page",
            audience="api",
            role_claim="realm.roles",
            roles={"ops": "operator", "boss": "admin"},
            site_claim="sites",
        )
        access, web = Access(oidc=oidc), Web(public_url=OURS)
        keys = KeyBook(ledger.engine, "f")
        sessions = SessionBook(ledger.engine, "f", keys, Lasting(3_600_000, 43_200_000))
        provider = Provider(oidc, lambda: self.now_s)
        gate = Gate(access, web, keys, sessions, provider, lambda: round(self.now_s * 1000))
        self.web = FastAPI(openapi_url=None)
        self.web.state.gate = gate
        self.web.include_router(router(gate, LoginBook(ledger.engine)))
        routes = APIRouter(dependencies=[VIEWER])

        @routes.get("/look")
        def look(request: Request) -> str:
            return str(request.state.actor.called)

        self.web.include_router(routes)
        self.program = Browser(self.web)

    def status(self, token: str) -> int:
        return self.ask(token)[0]

    def ask(self, token: str) -> tuple[int, str]:
        program = Browser(self.web, address=f"10.0.{len(self.idp.asked) % 250}.{hash(token) % 250}")
        answer = program.get("/v1/session", headers={"Authorization": f"Bearer {token}"})
        if answer.status_code != 200:
            return answer.status_code, answer.json()["detail"]
        actor = answer.json()["actor"]
        return (200, actor["role"]) if actor else (401, "")


@pytest.fixture
def idp() -> Iterator[Idp]:
    running = Idp()
    yield running
    running.stop()


@pytest.fixture
def house(idp: Idp, tmp_path: Path) -> Iterator[House]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield House(ledger, idp)
    ledger.close()


def hs256(signed: str, secret: bytes) -> str:
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_is_believed_and_forgeries_are_not(house: House, idp: Idp) -> None:
    assert house.ask(idp.token()) == (200, "operator")
    assert house.status(idp.token(kid=None)) == 200  # there is one key only
    assert house.status(idp.token(aud=["else", "api"])) == 200
    assert house.status(idp.token(exp=NOW_S - 30)) == 200  # clocks differ
    good = idp.token()
    head, body, signature = good.split(".")
    public = RSA_KEY.as_pem(private=False)
    confused = f"{part({'alg': 'HS256', 'kid': 'one'})}.{body}"
    forged = {
        "none": f"{part({'alg': 'none', 'kid': 'one'})}.{body}.",
        "None": f"{part({'alg': 'None', 'kid': 'one'})}.{body}.{signature}",
        "public key as a shared secret": f"{confused}.{hs256(confused, public)}",
        "another's key": idp.token(key=STRANGE),
        "other claims": f"{head}.{part(idp.claims(realm={'roles': ['boss']}))}.{signature}",
        "no signature": f"{head}.{body}.",
        "an algorithm that isn't allowed": idp.token(alg="RS512"),
        "own key in the header": jws.serialize_compact(
            {"alg": "RS256", "jwk": STRANGE.as_dict(private=False)}, json.dumps(idp.claims()), STRANGE
        ),
        "critical": jws.serialize_compact(
            {"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": True}, json.dumps(idp.claims()), RSA_KEY
        ),
        "audience": idp.token(aud="another"),
        "no audience": idp.token(aud=None),
        "issuer": idp.token(iss="https://evil.example"),
        "no issuer": idp.token(iss=None),
        "expired": idp.token(exp=NOW_S - 61),
        "for ever": idp.token(exp=None),
        "exp that is no number": idp.token(exp="tomorrow"),
        "not yet": idp.token(nbf=NOW_S + 120),
        "issued tomorrow": idp.token(iat=NOW_S + 86_400),
        "nobody": idp.token(sub=None),
        "no role of ours": idp.token(realm={"roles": ["else"]}),
        "roles of another shape": idp.token(realm=["boss"]),
        "no site": idp.token(sites=None),
        "long": idp.token(more="x" * 20_000),
        "no token": "a.b.c",
        "empty": "..",
    }
    for name, token in forged.items():
        assert house.status(token) == 401, name
    assert (
        house.program.get("/look", headers={"Authorization": f"Bearer {good}"}).status_code == 403
    )  # one site


def test_keys_are_asked_for_again_and_outlive_the_provider(house: House, idp: Idp) -> None:
    assert house.status(idp.token()) == 200
    asked = len(idp.asked)
    other = idp.token(key=EC_KEY, alg="ES256", kid="two")
    idp.keys = [EC_KEY, RSA_KEY]  # rotated; nobody told us
    assert house.status(other) == 401  # asked just now
    house.now_s += APART_S
    assert house.status(other) == 200
    assert len(idp.asked) == asked + 2
    for number in range(20):
        assert house.status(idp.token(kid=f"made-up-{number}")) == 401
    assert len(idp.asked) == asked + 2  # made-up names ask for nothing
    idp.up = False
    house.now_s += FRESH_S + 1
    lasting = idp.token(exp=NOW_S + 10 * 86_400)
    assert house.status(lasting) == 200
    house.now_s += STALE_S
    status, why = house.ask(lasting)
    assert (status, "answered 503" in why) == (503, True)
    assert house.program.get("/login").status_code == 200
    idp.up = True
    house.now_s += APART_S
    assert house.status(lasting) == 200


def test_a_provider_that_answers_nonsense(house: House, idp: Idp) -> None:
    idp.keys = []
    assert "no key" in house.ask(idp.token())[1]
    assert read_keys({"keys": "x"}) == read_keys({}) == {}
    odd: list[Any] = [1, {}, {"kty": "oct", "k": "AA"}, {"kty": "RSA", "n": "!", "e": 3}, {"kty": "x"}]
    kept = {**RSA_KEY.as_dict(private=False), "use": "enc"}
    assert read_keys({"keys": [*odd, kept]}) == {}


def begun(house: House) -> tuple[Browser, dict[str, str]]:
    """A browser on its way to the provider, and what the provider was told."""
    browser = Browser(house.web, OURS)
    answer = browser.get("/login/oidc?after=/%23dispatch")
    assert answer.status_code == 303
    place = urlsplit(answer.headers["location"])
    assert f"{place.scheme}://{place.netloc}{place.path}" == f"{house.idp.url}/authorize"
    assert {"Secure", "HttpOnly", "SameSite=lax"} <= set(browser.set_cookies[0].split("; "))
    return browser, {name: values[0] for name, values in parse_qs(place.query).items()}


def back(browser: Browser, state: str, **more: str) -> int:
    asked = {"state": state, "code": "c"} | more
    return browser.ask("GET", "/login/oidc/callback", params=asked).status_code


def test_a_login_by_the_provider(house: House, idp: Idp) -> None:
    browser, told = begun(house)
    assert (told["response_type"], told["client_id"]) == ("code", "page")
    assert told["redirect_uri"] == f"{OURS}/login/oidc/callback"
    idp.id_token = idp.token(aud="page", nonce=told["nonce"], sites=["*"])
    answer = browser.get("/login/oidc/callback", params={"state": told["state"], "code": "c", "iss": idp.url})
    assert (answer.status_code, answer.headers["location"]) == (303, "/#dispatch")
    form = idp.forms[0]
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == told["code_challenge"]
    assert told["code_challenge_method"] == "S256"
    assert browser.get("/look").json() == "oidc u1 (ann)"
    assert list(browser.cookies) == ["__Host-tidewatt"]
    assert back(browser, told["state"]) == 401  # once


def test_a_login_that_comes_back_wrong(house: House, idp: Idp) -> None:
    browser, told = begun(house)
    idp.id_token = idp.token(aud="page", nonce=told["nonce"])
    assert back(Browser(house.web, OURS), told["state"]) == 401  # in another browser; and it is used up now
    assert back(browser, told["state"]) == 401
    assert back(browser, "made-up") == 401
    for changed, status in (
        ({"nonce": "of another login"}, 403),
        ({"nonce": None}, 403),
        ({"aud": "api"}, 403),
        ({"azp": "another", "aud": ["page", "another"]}, 403),
        ({"realm": {}}, 403),
    ):
        browser, told = begun(house)
        idp.id_token = idp.token(**{"aud": "page", "nonce": told["nonce"]} | changed)
        assert back(browser, told["state"]) == status, changed
        assert browser.role() is None
    browser, told = begun(house)
    assert back(browser, told["state"], iss="https://evil.example") == 403
    browser, told = begun(house)
    assert back(browser, told["state"], code="") == 401
    browser, told = begun(house)
    idp.id_token = ""  # the provider doesn't take the code
    assert back(browser, told["state"]) == 403
    browser, told = begun(house)
    house.now_s += LASTS_MS / 1000
    assert back(browser, told["state"]) == 401
    browser, told = begun(house)
    idp.up = False
    assert back(browser, told["state"]) == 503


def test_who_somebody_is_by_his_claims() -> None:
    settings = Oidc(role_claim="https://x/roles", roles={"a": "viewer", "b": "approver"})
    told = {"sub": "u", "https://x/roles": "a b c"}
    actor = actor_of(told, settings)
    assert (actor.role, actor.sites, actor.name) == ("approver", (), "")
    with pytest.raises(TokenRefusedError, match="none of the roles"):
        actor_of({"sub": "u", "https": {"//x/roles": ["z"]}}, settings)
