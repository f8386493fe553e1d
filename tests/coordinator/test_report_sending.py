"""Last month's report by e-mail: when it is due, what comes, and that it comes once."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from email.message import Message
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hearing import PostOffice, certified, post_office
from tests.reporting import NOW_MS, OCTOBER, OCTOBER_ALL, a_config, fill, opened

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.reports import letter as letters
from tidewatt_coordinator.reports.book import CLAIM_MS, SentBook
from tidewatt_coordinator.reports.schedule import due
from tidewatt_coordinator.reports.sending import Sending
from tidewatt_coordinator.reports.settings import Reports
from tidewatt_wire.clock import Clock

TWO_MINUTES_MS = 120_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(f"sqlite:///{tmp_path / 'l.db'}") as found:
        yield found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, object]:
    return certified(tmp_path_factory.mktemp("ca"))


def sending_to(office: PostOffice, ca: str, folder: Path, more: str = "") -> Config:
    (folder / "secret").write_text(PostOffice.PASSWORD)
    (folder / "secret").chmod(0o600)
    mail = f"""
[[alerts.email]]
name = "finance"
server = "{office.server}"
sender = "tidewatt@example.com"
to = ["ada@example.com"]
user = "{PostOffice.USER}"
password_file = "{folder / "secret"}"
ca = "{ca}"
[reports]
email = "finance"
{more}
"""
    return a_config(folder, f"sqlite:///{folder / 'l.db'}", mail)


class World:
    """The time, moved by hand, and a coordinator's sender."""

    def __init__(self, ledger: Ledger, config: Config) -> None:
        self.ledger, self.config, self.real_ms = ledger, config, NOW_MS

    def sender(self) -> Sending:
        clock = Clock(lambda: 0.0, lambda: self.real_ms / 1000, None)
        return Sending(self.ledger, self.config, clock, real_ms=lambda: self.real_ms)


@pytest.fixture
def office(certificate: tuple[str, object]) -> Iterator[PostOffice]:
    with post_office(certificate[1]) as found:  # type: ignore[arg-type] # an SSLContext
        yield found


@pytest.fixture
def full(tmp_path: Path, ledger: Ledger, office: PostOffice, certificate: tuple[str, object]) -> World:
    """One that sends what is sent if nothing else is said: charts take seconds to draw."""
    fill(ledger)
    return World(ledger, sending_to(office, certificate[0], tmp_path))


@pytest.fixture
def world(tmp_path: Path, ledger: Ledger, office: PostOffice, certificate: tuple[str, object]) -> World:
    """One whose report is made quickly."""
    fill(ledger)
    return World(ledger, sending_to(office, certificate[0], tmp_path, 'formats = ["csv"]'))


def attached(mail: Message) -> dict[str, bytes]:
    found = {}
    for part in mail.walk():
        if name := part.get_filename():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found[name] = content
    return found


def text_of(part: Message) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


def test_it_comes_once_with_its_files(full: World, office: PostOffice) -> None:
    sender = full.sender()
    assert sender.round()
    for _ in range(3):
        full.real_ms += 2 * CLAIM_MS
        assert not sender.round()
        assert not full.sender().round()  # after a restart, or of another coordinator
    (mail,) = office.letters
    assert mail["Subject"] == f"[Tidewatt default] Costs of October 2026: {OCTOBER_ALL:,.2f} USD"
    assert mail["To"] == "ada@example.com"
    assert mail["Message-ID"] == "<report.default.2026-10@example.com>"
    files = attached(mail)
    assert sorted(files) == ["tidewatt-default-2026-10.html", "tidewatt-default-2026-10.pdf"]
    assert b"Costs of October 2026" in files["tidewatt-default-2026-10.html"]
    assert files["tidewatt-default-2026-10.pdf"].startswith(b"%PDF-")
    body = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    text = text_of(body)
    assert f"spent, amortised: {OCTOBER_ALL:,.2f} USD" in text
    assert "Compute & more: +120.00 USD" in text


def test_others_can_be_named_and_every_format(
    tmp_path: Path, ledger: Ledger, office: PostOffice, certificate: tuple[str, object]
) -> None:
    more = 'to = ["boss@example.com", "cfo@example.com"]\nformats = ["csv", "focus"]'
    assert World(ledger, sending_to(office, certificate[0], tmp_path, more)).sender().round()
    (mail,) = office.letters
    assert mail["To"] == "boss@example.com, cfo@example.com"
    assert mail["Subject"] == "[Tidewatt default] Costs of October 2026: no data"
    assert sorted(attached(mail)) == ["tidewatt-default-2026-10.csv", "tidewatt-default-2026-10.focus.csv"]


def test_what_the_server_refuses_is_sent_later(world: World, office: PostOffice) -> None:
    office.answer = "451 later"
    sender = world.sender()
    assert not sender.round()
    office.answer = "250 OK"
    assert not sender.round()  # not at once
    world.real_ms += TWO_MINUTES_MS
    assert sender.round()
    assert len(office.letters) == 1


def test_a_letter_that_some_refuse_is_not_sent_twice(
    tmp_path: Path, ledger: Ledger, office: PostOffice, certificate: tuple[str, object]
) -> None:
    more = 'to = ["ada@example.com", "gone@example.com"]\nformats = ["csv"]'
    world = World(ledger, sending_to(office, certificate[0], tmp_path, more))
    office.refused["gone@example.com"] = "550 no such user"
    assert world.sender().round()
    world.real_ms += 2 * CLAIM_MS
    assert not world.sender().round()
    assert len(office.letters) == 1


def test_a_sites_file_that_is_wrong_is_tried_again(world: World, tmp_path: Path, office: PostOffice) -> None:
    good = (tmp_path / "sites.toml").read_text()
    (tmp_path / "sites.toml").write_text("[[site]]\nnonsense = 1\n")
    sender = world.sender()
    assert not sender.round()
    (tmp_path / "sites.toml").write_text(good)
    world.real_ms += TWO_MINUTES_MS
    assert sender.round()
    assert len(office.letters) == 1


def test_one_that_died_while_sending_is_followed(world: World, office: PostOffice) -> None:
    book = SentBook(world.ledger.engine, "default")
    assert book.claim("2026-10", world.real_ms) is not None  # and nothing more was heard of it
    assert not world.sender().round()
    world.real_ms += CLAIM_MS
    assert world.sender().round()
    assert len(office.letters) == 1


def test_nothing_is_sent_too_early(world: World, office: PostOffice) -> None:
    world.real_ms -= 2 * 3_600_000
    assert not world.sender().round()
    assert office.letters == []


def test_what_is_too_large_is_named_instead(
    full: World, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "MOST_BYTES", 1000)
    assert full.sender().round()
    (mail,) = office.letters
    assert attached(mail) == {}
    assert "tidewatt-default-2026-10.pdf is too large" in text_of(mail)


# The claim


def test_of_two_only_one_gets_the_month(new_ledger_url: Callable[[], str]) -> None:
    url = new_ledger_url()
    with opened(url) as one, opened(url) as other:
        first, second = SentBook(one.engine, "f"), SentBook(other.engine, "f")
        claim = first.claim("2026-10", 1000)
        assert claim is not None
        assert second.claim("2026-10", 2000) is None
        assert SentBook(other.engine, "g").claim("2026-10", 2000) is not None  # another fleet's
        # It sleeps through its claim; who has taken over is not disturbed by it any more.
        taken = second.claim("2026-10", 1000 + CLAIM_MS)
        assert taken is not None
        assert first.renew("2026-10", claim, 1000 + CLAIM_MS) is None
        first.sent("2026-10", claim, 5)
        first.failed("2026-10", claim, "no", 0)
        held = second.renew("2026-10", taken, 1000 + CLAIM_MS)
        assert held is not None
        second.failed("2026-10", held, "busy", 9_000_000)
        assert second.tries("2026-10") == 1
        assert first.claim("2026-10", 8_999_999) is None
        again = first.claim("2026-10", 9_000_000)
        assert again is not None
        first.sent("2026-10", again, 9_000_001)
        assert second.claim("2026-10", 2**50) is None


# When it is due

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Apia", "Asia/Kolkata"])


@given(
    at_s=st.integers(1_600_000_000, 2_500_000_000),
    day=st.integers(1, 28),
    hour=st.integers(0, 23),
    zone=ZONES,
)
def test_only_last_month_is_ever_due_and_only_after_its_hour(
    at_s: int, day: int, hour: int, zone: str
) -> None:
    terms = Reports(day=day, hour=hour, zone=zone)
    local = datetime.fromtimestamp(at_s, ZoneInfo(zone))
    found = due(terms, at_s * 1000)
    if (local.day, local.hour) >= (day, hour):
        assert found is not None
        assert found.day == 1
        assert (found + timedelta(days=31)).replace(day=1) == local.date().replace(day=1)
    else:
        assert found is None


def test_the_hour_is_of_the_zone() -> None:
    terms = Reports(day=6, hour=7, zone="America/Los_Angeles")
    seven = datetime(2026, 11, 6, 15, tzinfo=timezone.utc)  # 07:00 in winter
    assert due(terms, round(seven.timestamp() * 1000)) == OCTOBER
    assert due(terms, round(seven.timestamp() * 1000) - 1) is None
    assert due(msgspec.structs.replace(terms, zone="UTC"), round(seven.timestamp() * 1000) - 1) == OCTOBER
    assert due(
        Reports(day=1, hour=0), round(datetime(2027, 1, 1, tzinfo=timezone.utc).timestamp() * 1000)
    ) == date(2026, 12, 1)
