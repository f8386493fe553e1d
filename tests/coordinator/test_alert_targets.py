"""Telling by webhook, e-mail and MQTT: what real servers get, and what is said when they don't."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import aiomqtt
import httpx
import msgspec
import pytest
from tests.hearing import PostOffice, certified, hearing, post_office
from tests.world import Mosquitto

from tidewatt_coordinator.alerts.cloudevent import cloud_event, key_of
from tidewatt_coordinator.alerts.mail import PartlyRefused, letter, send
from tidewatt_coordinator.alerts.retained import publish
from tidewatt_coordinator.alerts.settings import Email, Webhook
from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_coordinator.alerts.webhook import post
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Alert
from tidewatt_wire.topics import AlertTopic

ALERT = Alert(
    fleet="berlin",
    name="budget.cloud.actual-80",
    event="0f" * 16,
    episode=1,
    kind="budget",
    severity="warning",
    state="firing",
    since_ms=1_790_812_800_000,
    at_ms=1_790_812_800_000,
    summary="budget cloud: 80 % is passed",
    details={"spent": "812.40"},
)


def secret(folder: Path, text: str) -> str:
    file = folder / "secret"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return str(file)


# Webhooks


@pytest.mark.parametrize("text", ["a long secret", "whsec_" + base64.b64encode(b"bytes \xff").decode()])
async def test_a_webhook_gets_a_signed_cloudevent(tmp_path: Path, text: str) -> None:
    with hearing() as there:
        hook = Webhook(name="ops", url=there.url, secret_file=secret(tmp_path, text))
        await post(hook, ALERT, 1_790_812_860)
        await post(hook, ALERT, 1_790_812_900)
    (headers, body), (_, again) = there.heard
    assert body == again
    assert headers["content-type"].startswith("application/cloudevents+json")
    event = json.loads(body)
    assert {key: event[key] for key in ("specversion", "id", "type", "source", "subject", "time")} == {
        "specversion": "1.0",
        "id": ALERT.event,
        "type": "tidewatt.alert.firing",
        "source": "/tidewatt/fleets/berlin",
        "subject": ALERT.name,
        "time": "2026-10-01T00:00:00Z",
    }
    assert msgspec.convert(event["data"], Alert) == ALERT
    # As Standard Webhooks has it.
    assert headers["webhook-id"] == ALERT.event
    assert headers["webhook-timestamp"] == "1790812860"
    key = b"bytes \xff" if text.startswith("whsec_") else text.encode()
    content = f"{ALERT.event}.1790812860.".encode() + body
    mac = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"


async def test_a_webhook_over_tls_must_be_who_it_says(tmp_path: Path) -> None:
    ca, context = certified(tmp_path)
    with hearing(context) as there:
        await post(Webhook(name="ops", url=there.url, ca=ca), ALERT, 0)
        assert "webhook-signature" not in there.heard[0][0]
        with pytest.raises(Undelivered, match="certificate verify failed"):
            await post(Webhook(name="ops", url=there.url), ALERT, 0)
    assert len(there.heard) == 1


@pytest.mark.parametrize(("status", "unreachable"), [(500, True), (429, True), (400, False), (302, False)])
async def test_what_a_webhook_answers(status: int, unreachable: bool) -> None:
    with hearing() as there:
        there.status, there.location = status, there.url
        with pytest.raises(Undelivered, match=f"answers {status}") as caught:
            await post(Webhook(name="ops", url=there.url), ALERT, 0)
        assert caught.value.unreachable is unreachable
        assert len(there.heard) == 1  # a redirection isn't followed
    with pytest.raises(Undelivered) as caught:
        await post(Webhook(name="ops", url=there.url), ALERT, 0)
    assert caught.value.unreachable


async def test_a_secret_that_everybody_reads_is_none(tmp_path: Path) -> None:
    file = Path(secret(tmp_path, "x"))
    file.chmod(0o644)
    with hearing() as there, pytest.raises(Undelivered, match="open to every user"):
        await post(Webhook(name="ops", url=there.url, secret_file=str(file)), ALERT, 0)
    assert not there.heard
    with pytest.raises(ValueError, match="not base64"):
        key_of("whsec_!")


def test_a_cloudevent_is_the_same_however_often_it_is_made() -> None:
    assert cloud_event(ALERT) == cloud_event(ALERT)
    assert httpx.Response(200, content=cloud_event(ALERT)).json()["data"]["name"] == ALERT.name


# E-mail


def to(office: PostOffice, ca: str, folder: Path, *people: str) -> Email:
    return Email(
        name="mail",
        server=office.server,
        sender="tidewatt@example.com",
        to=list(people) or ["ada@example.com", "bob@example.com"],
        user=PostOffice.USER,
        password_file=secret(folder, PostOffice.PASSWORD),
        ca=ca,
    )


def test_a_letter_comes_over_starttls_with_a_password(tmp_path: Path) -> None:
    ca, context = certified(tmp_path)
    with post_office(context) as office:
        settings = to(office, ca, tmp_path)
        send(settings, ALERT)
        send(settings, msgspec.structs.replace(ALERT, event="1e" * 16, state="recovered"))
    one, other = office.letters
    assert one["Subject"] == "[Tidewatt berlin] budget cloud: 80 % is passed"
    assert other["Subject"] == "[Tidewatt berlin] Recovered: budget cloud: 80 % is passed"
    assert one["To"] == "ada@example.com, bob@example.com"
    assert one["Message-ID"] == f"<{ALERT.event}@example.com>"
    assert one["References"] == other["References"]  # one thread
    text = str(one.get_payload())
    assert "spent: 812.40" in text
    assert "tidewatt alerts ack budget.cloud.actual-80" in text


def test_what_a_post_office_refuses(tmp_path: Path) -> None:
    ca, context = certified(tmp_path)
    with post_office(context) as office:
        settings = to(office, ca, tmp_path)
        office.refused = {"bob@example.com": "550 unknown"}
        with pytest.raises(PartlyRefused, match="refused for bob@example.com"):
            send(settings, ALERT)
        assert len(office.letters) == 1
        office.refused["ada@example.com"] = "550 unknown"
        with pytest.raises(Undelivered, match="refuses every recipient") as caught:
            send(settings, ALERT)
        assert not caught.value.unreachable
        office.refused, office.answer = {}, "451 try later"
        with pytest.raises(Undelivered, match="answers 451 try later"):
            send(settings, ALERT)
        (tmp_path / "secret").write_text("wrong\n")
        with pytest.raises(Undelivered, match="answers 535"):
            send(settings, ALERT)
        with pytest.raises(Undelivered, match="certificate verify failed"):
            send(msgspec.structs.replace(settings, ca=""), ALERT)
    with pytest.raises(Undelivered, match="refused"):
        send(settings, ALERT)
    assert len(office.letters) == 1


def test_a_summary_of_several_lines_makes_no_headers() -> None:
    settings = Email(name="m", server="h:1", sender="a@b", to=["c@d"])
    mail = letter(settings, msgspec.structs.replace(ALERT, summary="one\r\nBcc: eve@example.com"))
    assert "Bcc" not in mail
    assert mail["Subject"] == "[Tidewatt berlin] one Bcc: eve@example.com"


# MQTT


async def test_the_broker_keeps_an_alert(mosquitto: Mosquitto) -> None:
    broker = Connection(mosquitto.url)
    await publish(broker, "one", ALERT)
    await publish(broker, "one", msgspec.structs.replace(ALERT, state="recovered"))
    async with aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(str(AlertTopic("berlin", ALERT.name)), qos=1)
        message = await anext(client.messages)
    assert message.retain
    assert decode(Alert, bytes(message.payload)).state == "recovered"
    assert getattr(message.properties, "MessageExpiryInterval", 0) > 6 * 86_400
    mosquitto.kill()
    with pytest.raises(Undelivered):
        await publish(broker, "one", ALERT)
