"""`tidewatt doctor`: each trouble is one sentence with what to do; nothing is changed by looking."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict
from sqlalchemy import create_engine, text
from tests.ports import free_port
from tests.secured import Pki, SecuredMosquitto, Voice
from tests.world import Mosquitto
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Broker, Config, Coordinator, Enroll, Sleep
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.doctor.broker import broker
from tidewatt_coordinator.doctor.database import database
from tidewatt_coordinator.doctor.finding import Finding
from tidewatt_coordinator.doctor.surroundings import certificates, keys, port, sleep_words
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import known_device
from tidewatt_wire.documents import to_toml


def levels(found: object) -> dict[str, str]:
    return {one.id: one.level for one in found}  # type: ignore[attr-defined]


def test_the_command_on_an_open_broker_and_no_database(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = Config(
        coordinator=Coordinator(listen=f"127.0.0.1:{free_port()}"),
        broker=Broker(url=mosquitto.url),
        ledger=LedgerConfig(url=f"sqlite:///{tmp_path}/none.db"),
    )
    file = tmp_path / "c.toml"
    file.write_text(to_toml(config))
    done = CliRunner().invoke(app, ["doctor", "--config", str(file), "--json"])
    assert done.exit_code == 0, done.output
    found = {one["id"]: one["level"] for one in json.loads(done.stdout)}
    assert found["broker.answers"] == "ok"
    assert found["broker.strangers"] == found["database.file"] == found["keys"] == "warning"
    assert CliRunner().invoke(app, ["doctor", "--config", str(file), "--strict"]).exit_code == 1
    assert not (tmp_path / "none.db").exists(), "looking makes nothing"
    file.write_text(to_toml(config).replace(mosquitto.url, f"mqtt://127.0.0.1:{free_port()}"))
    done = CliRunner().invoke(app, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert "error    broker.answers" in done.stdout


def test_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    config = Config(ledger=LedgerConfig(url=url))
    ledger = Ledger(url, 300_000)
    known = {"fleet": "default", "status": "online", "revision": 0, "ack": "", "code": "", "reason": ""}
    with ledger.engine.begin() as connection:
        rows = [
            known | {"device": f"d{n}", "labels": "{}", "seen_ms": 0, "skew_ms": 90_000} for n in range(3)
        ]
        connection.execute(known_device.insert(), rows)
    ledger.close()
    found = {one.id: one for one in database(config)}
    assert found["database.tables"].level == "ok"
    assert found["clock"].sentence == "half of 3 boards are 90 s ahead of us"
    assert levels(database(Config(ledger=LedgerConfig(url=url, bucket_s=60))))["database.buckets"] == "error"
    for revision, level in (("0001", "warning"), ("9999", "error")):
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = :it"), {"it": revision})
        engine.dispose()
        assert levels(database(config))["database.tables"] == level
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("select version_num from alembic_version")).scalar() == "9999"
    engine.dispose()
    assert levels(database(Config(ledger=LedgerConfig(url="sqlite:////no/such/l.db")))) == {
        "database.file": "error"
    }


def test_the_port_that_somebody_has() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and doesn't listen: nobody answers
        number = taken.getsockname()[1]
        (found,) = port(Config(coordinator=Coordinator(listen=f"127.0.0.1:{number}")))
    assert found.level == "error"
    assert str(number) in found.sentence


def test_keys_and_certificates_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (found,) = keys(Config())
    assert "tidewatt keys new" in found.remedy
    lost = Broker(url="mqtts://127.0.0.1:1", certificate="none.crt", key="none.key")
    config = Config(broker=lost, enroll=Enroll(listen="127.0.0.1:1"))
    assert levels(certificates(config)) == {"certificate.broker": "error", "certificate.ca": "error"}


def test_whose_word_on_sleep_counts(tmp_path: Path) -> None:
    def found(**sleep: Any) -> Finding:
        (one,) = sleep_words(Config(sleep=Sleep(**sleep)))
        return one

    pki = Pki(tmp_path / "pki")
    try:
        assert "any word on a board's sleep is believed" in found().sentence
        assert found(ca=pki.ca) == Finding("sleep.words", "ok", f"words on sleep must be signed by {pki.ca}")
        assert found(ca=pki.ca, words="any").level == "warning"
        assert found(ca="none.pem").sentence.endswith("No such file or directory: 'none.pem'")
        assert found(ca=pki.ca, revoked=pki.ca).level == "error"
    finally:
        pki.ledger.close()


def test_a_broker_that_knows_who_is_who(guarded: SecuredMosquitto) -> None:
    def of(name: str) -> dict[str, str]:
        shown = guarded.pki.shown(name)
        config = Config(coordinator=Coordinator(fleet="f"), broker=Broker(url=guarded.url, **asdict(shown)))
        return levels(broker(config))

    with Voice(guarded, guarded.pki.shown("device-1")) as device:
        device.say("tidewatt/v1/f/device/device-1/birth", retain=True)
    assert set(of("coordinator").values()) == {"ok"}
    # Another device's certificate opens the door, and hears nobody else.
    assert of("device-2") == {"broker.answers": "ok", "broker.acl": "warning", "broker.strangers": "ok"}
