"""Somebody who hears everything that is said in the tests' fleet."""

import contextlib
import ssl
import threading
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.messages import Ack, CoordinatorState, PolicySet
from tidewatt_wire.signing import EnvelopeRefused, Signer, open_envelope
from tidewatt_wire.topics import DeviceTopic, FleetTopic

FLEET = "f"
POLICY = str(FleetTopic(FLEET, "policy"))
STATE = str(FleetTopic(FLEET, "state"))


class Heard(NamedTuple):
    """One message."""

    topic: str
    payload: bytes
    retained: bool


class Watcher:
    """Hears everything that is said in the fleet, in order, for as long as it lives."""

    def __init__(self, address: tuple[str, int], key: Signer, tls: ssl.SSLContext | None = None) -> None:
        self._key = key
        self.heard: list[Heard] = []
        self._listening = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_rest: client.subscribe(f"tidewatt/v1/{FLEET}/#", qos=1)
        self._client.on_subscribe = lambda *_rest: self._listening.set()
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        if tls:
            self._client.tls_set_context(tls)
        self._client.connect(*address)
        self._client.loop_start()
        assert self._listening.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic: str, payload: bytes) -> None:
        """Publish, retained, as whoever may."""
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)

    def last(self, topic: str) -> bytes:
        """The newest on a topic; empty where nothing was heard."""
        return next((one.payload for one in reversed(self.heard) if one.topic == topic), b"")

    def sets(self) -> list[PolicySet]:
        """The fleet's own policy sets, as they came."""
        return [
            found for one in list(self.heard) if one.topic == POLICY and (found := self._open(one.payload))
        ]

    def acks(self, device: str) -> list[Ack]:
        topic = str(DeviceTopic(FLEET, device, "ack"))
        return [decode(Ack, one.payload) for one in list(self.heard) if one.topic == topic]

    def answer(self, device: str) -> tuple[str, int]:
        """A device's last answer and the revision that it is to."""
        acks = self.acks(device)
        return (acks[-1].status, acks[-1].revision) if acks else ("", 0)

    def state(self) -> str:
        """What the state topic says of the coordinator."""
        payload = self.last(STATE)
        return decode(CoordinatorState, payload).state if payload else ""

    def _open(self, payload: bytes) -> PolicySet | None:
        with contextlib.suppress(EnvelopeRefused, Refused):
            return decode(PolicySet, open_envelope(payload, [self._key.trusted]))
        return None

    def _hear(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.retain))
