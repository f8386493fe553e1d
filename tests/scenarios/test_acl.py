"""What a certificate allows on the shipped Mosquitto configuration, and what it doesn't."""

import datetime as dt
from pathlib import Path
from typing import get_args

import aiomqtt
import pytest
from tests.ports import free_port
from tests.secured import LONG_AGO, Pki, SecuredMosquitto, Voice, now
from tests.world import Mosquitto

from tidewatt_coordinator.pki.certificates import key_pem, new_certificate, new_key, pem
from tidewatt_link.connection import CannotConnect, Connection
from tidewatt_link.connection import Connection as CoordinatorConnection
from tidewatt_wire.brokers import Credentials
from tidewatt_wire.codec import MAX_BYTES
from tidewatt_wire.topics import (
    AlertTopic,
    DeviceKind,
    DeviceTopic,
    EnergyTopic,
    FleetKind,
    FleetTopic,
    HintTopic,
    ModelTopic,
    PlanTopic,
)

TAKEN = {"Success", "No matching subscribers"}
DENIED = "Not authorized"
AUDIT = str(FleetTopic("f", "audit"))
FLEET_TOPICS = [str(FleetTopic("f", kind)) for kind in get_args(FleetKind) if kind != "audit"]
CHUNK = str(ModelTopic("f", "0" * 64, 0))
ENERGY = str(EnergyTopic("f", "roof"))
FOR_ALL = [CHUNK, ENERGY, *FLEET_TOPICS]
WAKE = "tidewatt/v1/f/wake/d1"
HINT = str(HintTopic("f", "d1"))
PLAN = str(PlanTopic("f", "d1"))
ALERT = str(AlertTopic("f", "budget.cloud.actual-80"))


def topics(device: str) -> list[str]:
    return [str(DeviceTopic("f", device, kind)) for kind in get_args(DeviceKind)]


def test_a_device_speaks_as_itself_and_as_nobody_else(shared_guarded: SecuredMosquitto) -> None:
    broker = shared_guarded
    with Voice(broker, broker.pki.shown("d1")) as device:
        for topic in topics("d1"):
            assert device.say(topic) in TAKEN
        foreign = [*topics("d2"), *topics("d11"), *FOR_ALL, ALERT, AUDIT, HINT, PLAN]
        foreign += [
            "tidewatt/v1/f/device/d1",
            "tidewatt/v1/f/device/d1/more",
        ]
        foreign += ["elsewhere", "$SYS/broker/version"]
        assert {topic: device.say(topic, retain=True) for topic in foreign} == dict.fromkeys(foreign, DENIED)


def test_a_device_hears_what_is_for_all_and_nothing_of_others(shared_guarded: SecuredMosquitto) -> None:
    broker = shared_guarded
    with (
        Voice(broker, broker.pki.shown("d1")) as one,
        Voice(broker, broker.pki.shown("d2")) as two,
        Voice(broker, broker.pki.shown("coordinator")) as coordinator,
    ):
        for pattern in ("#", "tidewatt/v1/f/device/+/report", "tidewatt/v1/f/device/d2/#", "$SYS/#"):
            one.listen(pattern)
        coordinator.listen("tidewatt/v1/f/device/#")
        for topic in topics("d2"):
            assert two.say(topic) in TAKEN
        for topic in [ALERT, AUDIT, *FOR_ALL]:  # what things cost, and who did what, is not for devices
            assert coordinator.say(topic) in TAKEN
        for topic in FOR_ALL:
            heard = one.hear(topic)
        assert set(heard) == set(FOR_ALL)
        for topic in topics("d2"):
            assert set(coordinator.hear(topic)) <= {*topics("d2"), *topics("d1")}


def test_a_hint_is_the_coordinators_to_give_and_its_devices_to_hear(shared_guarded: SecuredMosquitto) -> None:
    broker = shared_guarded
    with (
        Voice(broker, broker.pki.shown("d1")) as one,
        Voice(broker, broker.pki.shown("d2")) as two,
        Voice(broker, broker.pki.shown("coordinator")) as coordinator,
    ):
        one.listen(HINT)
        one.listen(PLAN)
        two.listen("tidewatt/v1/f/plan/+")
        one.listen(WAKE)
        two.listen("tidewatt/v1/f/hint/+")
        two.listen("tidewatt/v1/f/wake/+")
        assert coordinator.say(HINT) in TAKEN
        assert coordinator.say(PLAN) in TAKEN
        assert coordinator.say(WAKE) in TAKEN
        assert one.say(WAKE) == DENIED, "no device orders another to be woken"
        assert coordinator.say(ENERGY) in TAKEN
        assert HINT in one.hear(HINT)
        assert PLAN in one.hear(PLAN)
        assert WAKE in one.hear(WAKE)
        assert not {HINT, PLAN, WAKE} & set(two.heard)


@pytest.mark.parametrize("name", ["+", "#"])
def test_a_name_that_is_a_wildcard_opens_nothing(shared_guarded: SecuredMosquitto, name: str) -> None:
    # Our CA signs no such name; a PKI that somebody else keeps might.
    broker = shared_guarded
    broker.pki.certificate("device", name)
    with Voice(broker, broker.pki.shown(name)) as device:
        device.listen("#")
        assert {device.say(topic) for topic in [*topics("d1"), FLEET_TOPICS[0]]} == {DENIED}
        with (
            Voice(broker, broker.pki.shown("d2")) as other,
            Voice(broker, broker.pki.shown("coordinator")) as coordinator,
        ):
            assert other.say(topics("d2")[1]) in TAKEN
            assert coordinator.say(FLEET_TOPICS[0]) in TAKEN
        assert set(device.heard) <= set(FOR_ALL)


def test_a_coordinator_does_not_speak_for_devices(shared_guarded: SecuredMosquitto) -> None:
    with Voice(shared_guarded, shared_guarded.pki.shown("coordinator")) as coordinator:
        assert {coordinator.say(topic) for topic in [*topics("d1"), "elsewhere"]} == {DENIED}


def test_a_router_hears_the_dispatch_table_and_says_nothing(shared_guarded: SecuredMosquitto) -> None:
    broker = shared_guarded
    with (
        Voice(broker, broker.pki.shown("router")) as router,
        Voice(broker, broker.pki.shown("d1")) as device,
        Voice(broker, broker.pki.shown("coordinator")) as coordinator,
    ):
        for pattern in ("#", "tidewatt/v1/f/device/+/report"):
            router.listen(pattern)
        said = [*topics("router"), *topics("d1"), *FOR_ALL, "elsewhere"]
        assert {topic: router.say(topic, retain=True) for topic in said} == dict.fromkeys(said, DENIED)
        for topic in topics("d1"):
            assert device.say(topic) in TAKEN
        dispatch = str(FleetTopic("f", "dispatch"))
        for topic in [topic for topic in FOR_ALL if topic != dispatch] + [dispatch]:
            assert coordinator.say(topic) in TAKEN
        assert set(router.hear(dispatch)) == {dispatch}


def test_a_devices_will_is_spoken(shared_guarded: SecuredMosquitto) -> None:
    broker, will = shared_guarded, topics("d3")[2]
    assert will.endswith("/will")
    with Voice(broker, broker.pki.shown("coordinator")) as coordinator:
        coordinator.listen("tidewatt/v1/f/device/d3/#")
        device = Voice(broker, broker.pki.shown("d3"))
        device.leave_will(will)
        device.__enter__()
        device.vanish()
        coordinator.hear(will)


def test_a_packet_that_is_too_large_is_not_taken(shared_guarded: SecuredMosquitto) -> None:
    broker = shared_guarded
    with Voice(broker, broker.pki.shown("d1")) as device:
        assert device.say(topics("d1")[1], b"x" * MAX_BYTES) in TAKEN
        # The broker's last word may be lost with the connection that it ends.
        why = device.dropped(topics("d1")[1], b"x" * (MAX_BYTES + 4096))
        assert why in ("Packet too large", "Unspecified error")


async def refused(broker: SecuredMosquitto, shown: Credentials, url: str = "") -> str:
    with pytest.raises(CannotConnect) as caught:
        async with Connection(url or broker.url, shown, setting="link.broker").client(timeout=20.0):
            pass
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


async def test_who_is_let_in(shared_guarded: SecuredMosquitto) -> None:
    broker, pki = shared_guarded, shared_guarded.pki
    async with Connection(broker.url, pki.shown("d1")).client() as client:
        await client.publish(topics("d1")[1], b"x", qos=1)
    async with CoordinatorConnection(broker.url, pki.shown("coordinator")).client() as client:
        await client.publish(FLEET_TOPICS[0], b"x", qos=1)


async def test_who_is_not_and_why(shared_guarded: SecuredMosquitto, tmp_path: Path) -> None:
    broker, pki = shared_guarded, shared_guarded.pki
    assert "asks for a certificate: set link.certificate" in await refused(broker, Credentials(ca=pki.ca))

    pki.certificate("device", "late", at=LONG_AGO)
    assert "our certificate, which has expired" in await refused(broker, pki.shown("late"))

    other = Pki(tmp_path / "other")
    stranger = Credentials(ca=pki.ca, certificate=other.shown("d1").certificate)
    assert "doesn't know the CA that made it" in await refused(broker, stranger)
    assert "is not from the CA in link.ca" in await refused(broker, pki.shown("d1", ca=other.ca))
    assert "is not from the CA in link.ca" in await refused(broker, pki.shown("d1", ca=""))
    other.ledger.close()

    # A server's certificate opens no connection, so whoever takes the broker's has no say in the fleet.
    pki.certificate("server", "coordinator.example")
    assert "refused our certificate" in await refused(broker, pki.shown("coordinator.example"))


async def test_a_broker_that_is_another(shared_guarded: SecuredMosquitto, mosquitto: Mosquitto) -> None:
    broker, shown = shared_guarded, shared_guarded.pki.shown("d1")
    plain = f"mqtt://127.0.0.1:{broker.port}"
    assert "answers as an MQTT broker by mqtt://" in await refused(broker, Credentials(), plain)
    assert "as an MQTT broker by mqtts://" in await refused(
        broker, shown, f"mqtts://127.0.0.1:{mosquitto.port}"
    )
    assert "Connection refused" in await refused(broker, shown, f"mqtts://127.0.0.1:{free_port()}")


async def test_a_broker_by_another_name(guarded: SecuredMosquitto) -> None:
    guarded.stop()
    guarded.serve_as("broker.example")
    guarded.start()
    shown = guarded.pki.shown("d1")
    assert "for another address than 127.0.0.1" in await refused(guarded, shown)
    by_name = f"mqtts://localhost:{guarded.port}"
    assert "for another host name than localhost" in await refused(guarded, shown, by_name)


async def test_revoked_is_refused_once_the_broker_was_told(guarded: SecuredMosquitto) -> None:
    pki = guarded.pki
    for device in ("d1", "d2", "d3"):
        async with Connection(guarded.url, pki.shown(device)).client():
            pass
    # Two within one second: each list must replace the one before.
    for device in ("d1", "d2"):
        pki.revoke(device)
        guarded.reload()
        assert "revoked" in await refused(guarded, pki.shown(device))
    async with Connection(guarded.url, pki.shown("d3")).client():
        pass
    guarded.stop()
    guarded.start()
    assert "revoked" in await refused(guarded, pki.shown("d1"))


async def test_a_renewed_certificate_is_taken_up_with_the_next_connection(guarded: SecuredMosquitto) -> None:
    pki = guarded.pki
    pki.certificate("device", "d1", at=now() - dt.timedelta(days=30))
    connection = Connection(guarded.url, pki.shown("d1"), setting="link.broker")
    with pytest.raises(aiomqtt.MqttError, match="has expired"):
        async with connection.client():
            pass
    key = new_key()
    fresh = new_certificate(pki.authority, "device", ["d1"], key.public_key(), now(), 1)
    pki.folder.write("d1.pem", pem(fresh) + key_pem(key), 0o600)
    async with connection.client() as client:
        await client.publish(topics("d1")[1], b"x", qos=1)
