"""Keys and sessions, right ones and all the wrong ones, through the gate and the login page."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, Request
from tests.access import Browser
from typer.testing import CliRunner

from tidewatt_coordinator.access.first import show_first_key
from tidewatt_coordinator.access.gate import Gate
from tidewatt_coordinator.access.headers import SecurityHeaders
from tidewatt_coordinator.access.keys import KeyBook
from tidewatt_coordinator.access.least import APPROVER, OPEN, VIEWER
from tidewatt_coordinator.access.logins import LoginBook
from tidewatt_coordinator.access.rest import router
from tidewatt_coordinator.access.serving import served
from tidewatt_coordinator.access.sessions import Lasting, SessionBook
from tidewatt_coordinator.access.settings import Access, Web
from tidewatt_coordinator.access.throttle import FREE_OF_NAME
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.ledger.store import Ledger

HOUR_MS = 3_600_000
BEGIN_MS = 1_795_000_000_000


class House:
    """The gate before two routes, on a clock that is put forward by hand."""

    def __init__(self, ledger: Ledger, access: Access | None = None, web: Web | None = None) -> None:
        self.now_ms, self.told = BEGIN_MS, list[tuple[str, str]]()
        self.keys = KeyBook(ledger.engine, "f")
        sessions = SessionBook(ledger.engine, "f", self.keys, Lasting(HOUR_MS, 12 * HOUR_MS))
        gate = Gate(access or Access(), web or Web(), self.keys, sessions, None, lambda: self.now_ms)
        self.web = FastAPI(openapi_url=None)
        self.web.state.gate = gate
        self.web.include_router(
            router(gate, LoginBook(ledger.engine), lambda who, what, _where: self.told.append((who.id, what)))
        )
        routes = APIRouter()

        @routes.get("/look", dependencies=[VIEWER])
        def look(request: Request) -> str:
            return str(request.state.actor.called)

        @routes.post("/order", dependencies=[APPROVER])
        def order() -> str:
            return "done"

        @routes.get("/breaks", dependencies=[OPEN])
        def breaks() -> str:
            raise RuntimeError("as it can")

        self.web.include_router(routes)

    def browser(self, origin: str = "http://localhost", address: str = "127.0.0.1") -> Browser:
        return Browser(self.web, origin, address)

    def logged_in(self, key: str, **where: str) -> Browser:
        browser = self.browser(**where)
        assert browser.post("/login", data={"key": key}).status_code == 303
        return browser


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield opened
    opened.close()


@pytest.fixture
def house(ledger: Ledger) -> House:
    return House(ledger)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_lets_in_until_it_ends(house: House, ledger: Ledger, tmp_path: Path) -> None:
    made, key = house.keys.make("viewer", BEGIN_MS, name="ann", expires_ms=BEGIN_MS + HOUR_MS)
    program = house.browser(address="1.1.1.1")
    assert program.get("/look").status_code == 401
    assert program.get("/look", headers=bearer(key)).json() == f"key {made.id} (ann)"
    assert program.ask("POST", "/order", headers=bearer(key)).status_code == 403
    assert house.keys.listed()[0].used_ms == BEGIN_MS
    for wrong in (
        key[:-1],
        key.upper(),
        f"tw_{made.id}_",
        "tw_",
        "tw_x_y",
        "x",
        "",
        key.replace(made.id, "x"),
    ):
        answer = program.get("/look", headers=bearer(wrong))
        assert answer.status_code in (401, 429), wrong
        assert answer.status_code == 429 or answer.headers["www-authenticate"].startswith("Bearer")
    assert program.get("/look", headers=bearer(key)).status_code == 200  # the right one never waits
    with pytest.raises(ValueError, match="not known"):
        KeyBook(ledger.engine, "other-fleet").check(key, BEGIN_MS)
    house.now_ms += HOUR_MS
    assert "expired" in program.get("/look", headers=bearer(key)).json()["detail"]
    other, text = house.keys.make("approver", BEGIN_MS)
    assert program.ask("POST", "/order", headers=bearer(text)).json() == "done"
    house.keys.revoke(other.id, house.now_ms)
    assert "revoked" in program.get("/look", headers=bearer(text)).json()["detail"]
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("l.db*"))
    assert made.id.encode() in kept
    assert key.split("_", 2)[2].encode() not in kept


def test_a_session_is_begun_and_ends(house: House) -> None:
    made, key = house.keys.make("approver", BEGIN_MS, expires_ms=BEGIN_MS + 100 * HOUR_MS)
    browser = house.browser()
    assert browser.post("/login", data={"key": key[:-1]}).status_code == 401
    answer = browser.post("/login", data={"key": f" {key} ", "after": "/#cost"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/#cost")
    (set_cookie,) = browser.set_cookies
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(set_cookie.split("; "))
    assert "Secure" not in set_cookie
    assert browser.get("/look").json() == f"key {made.id}"
    held = dict(browser.cookies)
    house.now_ms += HOUR_MS - 1
    assert browser.role() == "approver"
    house.now_ms += HOUR_MS
    assert browser.role() is None  # unused for an hour
    browser = house.logged_in(key)
    for _ in range(23):
        house.now_ms += HOUR_MS // 2
        assert browser.role() == "approver"
    house.now_ms += HOUR_MS // 2
    assert browser.role() is None  # twelve hours, used or not
    browser = house.logged_in(key)
    stolen, stolen.cookies = house.browser(), dict(browser.cookies)
    assert browser.post("/logout").headers["location"] == "/login"
    assert "tidewatt" not in browser.cookies
    assert stolen.role() is None
    browser = house.logged_in(key)
    house.keys.revoke(made.id, house.now_ms)
    assert browser.role() is None
    browser.cookies = held
    assert browser.role() is None
    assert [what for _who, what in house.told] == ["login", "login", "login", "logout", "login"]


def test_a_session_that_was_planted_is_not_taken_over(house: House) -> None:
    _made, key = house.keys.make("viewer", BEGIN_MS)
    _other, admin = house.keys.make("admin", BEGIN_MS)
    attacker = house.logged_in(key)
    victim = house.browser()
    victim.cookies = dict(attacker.cookies)
    assert victim.post("/login", data={"key": admin}).status_code == 303
    assert victim.cookies != attacker.cookies
    assert (victim.role(), attacker.role()) == ("admin", None)
    victim.cookies = {"tidewatt": "made-up"}
    assert victim.post("/login", data={"key": admin}).status_code == 303
    assert victim.cookies["tidewatt"] != "made-up"


def test_another_page_orders_nothing_with_our_cookie(house: House) -> None:
    _made, key = house.keys.make("admin", BEGIN_MS)
    browser = house.logged_in(key)
    token = {"X-CSRF-Token": browser.get("/v1/session").json()["csrf"]}
    assert browser.post("/order", headers=token).json() == "done"
    for headers, why in (
        ({"origin": "https://evil.example"} | token, "another page"),
        ({"origin": "null"} | token, "another page"),
        ({"origin": "http://localhost:81"} | token, "another page"),
        ({"sec-fetch-site": "cross-site"} | token, "another page"),
        ({"origin": ""} | token, "another page"),
        ({}, "X-CSRF-Token"),
        ({"X-CSRF-Token": "0" * 64}, "X-CSRF-Token"),
    ):
        answer = browser.post("/order", headers=headers)
        assert (answer.status_code, why in answer.json()["detail"]) == (403, True), headers
    assert "doesn't say" in browser.ask("POST", "/order", headers=token).json()["detail"]
    for path in ("/login", "/logout"):
        assert browser.post(path, headers={"origin": "https://evil.example"}).status_code == 403
    # A session's own secret is no key, and its token no session.
    assert browser.ask("POST", "/order", headers=bearer(browser.cookies["tidewatt"])).status_code == 401
    other = house.logged_in(key)
    assert other.post("/order", headers=token).status_code == 403


def test_wrong_logins_wait(house: House) -> None:
    made, key = house.keys.make("admin", BEGIN_MS)
    browser, wrong = house.browser(address="6.6.6.6"), f"tw_{made.id}_guess"
    for _ in range(FREE_OF_NAME):
        assert browser.post("/login", data={"key": wrong}).status_code == 401
    answer = browser.post("/login", data={"key": key})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert house.logged_in(key, address="7.7.7.7").role() == "admin"  # its holder, elsewhere
    house.now_ms += 1000
    assert browser.post("/login", data={"key": key}).status_code == 303
    assert browser.post("/login", content=b"x" * 5000).status_code == 413
    assert browser.post("/login", content=b"&".join([b"a=b"] * 50)).status_code == 422
    assert browser.post("/login", content=b"\xff\xfe=").status_code in (401, 422)


def test_nobody_may_look_where_that_is_allowed(ledger: Ledger) -> None:
    house = House(ledger, Access(anonymous="viewer"))
    assert house.browser().get("/look").json() == "anonymous anonymous"
    assert house.browser("http://127.0.0.1:8080").role() == "viewer"
    assert house.browser("http://[::1]:8080").role() == "viewer"
    # A page elsewhere whose own name leads here (DNS rebinding) is asked by that name.
    assert house.browser("http://evil.example:8080").role() is None
    assert house.browser().post("/order").status_code == 403
    assert house.browser().get("/look", headers=bearer("tw_wrong_key")).status_code == 401


def test_tls_and_proxies(ledger: Ledger) -> None:
    house = House(ledger, web=Web(trusted_proxies=["10.0.0.1"]))
    _made, key = house.keys.make("admin", BEGIN_MS)
    behind = {"x-forwarded-proto": "https", "x-forwarded-host": "t.example", "origin": "https://t.example"}
    browser = house.browser(address="10.0.0.1")
    assert browser.post("/login", headers=behind, data={"key": key}).status_code == 303
    assert browser.set_cookies[0].startswith("__Host-tidewatt=")
    assert {"Secure", "HttpOnly"} <= set(browser.set_cookies[0].split("; "))
    # The same words from somebody who is no proxy of ours.
    assert (
        house.browser(address="9.9.9.9").post("/login", headers=behind, data={"key": key}).status_code == 403
    )


def test_every_answer_has_the_headers(house: House) -> None:
    shown = Browser(SecurityHeaders(house.web, ()))
    for path in ("/login", "/look", "/nowhere", "/v1/session", "/breaks"):
        answer = shown.get(path)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] in ("no-store", "private, no-cache")
        assert "strict-transport-security" not in answer.headers
    page = shown.get("/login?after=%22%3E%3Cscript%3E").text
    assert "<script" not in page
    assert "style=" not in page
    assert (
        "max-age"
        in Browser(SecurityHeaders(house.web, ()), "https://t")
        .get("/login")
        .headers["strict-transport-security"]
    )


def test_a_certificate_that_is_none_is_one_sentence(tmp_path: Path, house: House) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    with pytest.raises(ValueError, match=r"web\.tls_certificate .*c\.pem can't be used"):
        served(house.web, Web(tls_certificate=str(tmp_path / "c.pem")))


def test_the_first_key_is_shown_once(ledger: Ledger) -> None:
    house, told = House(ledger), io.StringIO()
    key = show_first_key(house.keys, told)
    assert f"\n    {key}\n" in told.getvalue()
    assert house.keys.check(key, BEGIN_MS).role == "admin"
    house.keys.revoke(house.keys.listed()[0].id, BEGIN_MS)
    assert show_first_key(house.keys, told) == ""  # also when it is revoked


def test_the_command(ledger: Ledger, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[coordinator]\nfleet = "f"\n[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n')

    def access(*words: str) -> str:
        done = CliRunner().invoke(app, ["access", "key", *words, "--config", str(config)])
        assert done.exit_code == 0, (done.output, done.exception)
        return str(done.output)

    assert "makes one" in access("ls")
    words = ("--role", "operator", "--site", "roof", "--name", "Ann", "--valid", "12h", "--json")
    made = json.loads(access("new", *words))
    keys = KeyBook(ledger.engine, "f")
    found = keys.check(made["key"], made["made_ms"])
    assert (found.role, found.sites, found.expires_ms) == (
        "operator",
        ("roof",),
        made["made_ms"] + 12 * HOUR_MS,
    )
    text = access("new", "--valid", "never").strip()
    assert keys.check(text, 4_000_000_000_000).role == "viewer"
    assert "revoked" in access("revoke", made["id"])
    listed = json.loads(access("ls", "--json"))
    assert [one["state"] for one in listed] == ["revoked", "good"]
    assert "sha256" not in listed[0]
    assert text not in access("ls")
    for wrong, sentence in (
        (("new", "--role", "root"), "'root' is none of viewer"),
        (("new", "--valid", "1y"), "is not like"),
        (("new", "--valid", "9999d"), "at most 3650d"),
        (("new", "--site", "a/b"), "--site"),
        (("new", "--name", "\x1b"), "--name"),
        (("revoke", "x"), "there is no key 'x'"),
    ):
        done = CliRunner().invoke(app, ["access", "key", *wrong, "--config", str(config)])
        assert sentence in str(done.exception), wrong
