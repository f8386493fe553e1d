"""Checks of the broker: whether it lets us in and hear, and nobody else."""

import asyncio
import ipaddress
from collections.abc import Iterator

import aiomqtt

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.doctor.finding import Finding
from tidewatt_link.connection import Connection
from tidewatt_link.ending import within
from tidewatt_wire.brokers import BrokerUrl
from tidewatt_wire.topics import ROOT

#: What the broker keeps it sends at once.
LISTEN_S = 0.5
SECURE = "packaging/mosquitto shows the settings: TLS, certificates, an ACL"


def broker(config: Config) -> Iterator[Finding]:
    """Of the broker's address, its door, and its ACL."""
    if not config.broker.url:
        why = "the broker is the embedded one, for laptops and demos only"
        yield Finding("broker.url", "warning", why, "run Mosquitto and set broker.url")
        return
    ours = Connection(config.broker.url, config.broker)
    if not ours.url.tls and not _is_here(ours.url):
        why = f"{ours.url} has no TLS: whoever is on the way reads and writes along"
        yield Finding("broker.tls", "warning", why, f"use mqtts://; {SECURE}")
    topic = f"{ROOT}/{config.coordinator.fleet}/device/+/birth"
    try:
        heard = asyncio.run(_hears(ours, topic))
    except aiomqtt.MqttError as error:
        yield Finding("broker.answers", "error", str(error), "start it, or set [broker] right")
        return
    yield Finding("broker.answers", "ok", f"{ours.url} lets us in")
    if heard:
        yield Finding("broker.acl", "ok", "devices are heard there")
    else:
        remedy = f"if there are devices, the ACL must let us read {ROOT}/{config.coordinator.fleet}/device/#"
        yield Finding("broker.acl", "warning", "no device has ever been heard there", remedy)
    yield _strangers(config, topic, ours_hear=heard)


def _strangers(config: Config, topic: str, *, ours_hear: bool) -> Finding:
    shown = config.broker
    stranger = Connection(shown.url, type(shown)(url=shown.url, ca=shown.ca))
    try:
        heard = asyncio.run(_hears(stranger, topic))
    except aiomqtt.MqttError:
        return Finding("broker.strangers", "ok", "who shows neither certificate nor password stays outside")
    if not heard and ours_hear:
        return Finding("broker.strangers", "ok", "who shows nothing gets in, but doesn't hear the devices")
    why = "who shows neither certificate nor password " + ("hears all devices" if heard else "gets in")
    bad = heard and not _is_here(stranger.url)
    return Finding("broker.strangers", "error" if bad else "warning", why, SECURE)


async def _hears(door: Connection, topic: str) -> bool:
    """Whether one of the births that the broker keeps is heard. Mosquitto takes any subscription, and keeps
    to itself what its ACL forbids: to be granted one says nothing.
    """
    async with door.client() as client:
        await client.subscribe(topic, qos=0)
        try:
            await within(client.messages.__anext__(), LISTEN_S)
        except asyncio.TimeoutError:
            return False
    return True


def _is_here(url: BrokerUrl) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"
