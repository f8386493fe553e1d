"""Checks of the broker: whether it lets us in and hear, and nobody else."""

import asyncio
import ipaddress
from collections.abc import Iterator

import aiomqtt

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.doctor.finding import Finding
from tidewatt_link.connection import Connection
from tidewatt_wire.brokers import BrokerUrl
from tidewatt_wire.topics import ROOT

#: MQTT's reason codes from here on are refusals.
REFUSED = 128
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
        heard = asyncio.run(_may_hear(ours, topic))
    except aiomqtt.MqttError as error:
        yield Finding("broker.answers", "error", str(error), "start it, or set [broker] right")
        return
    if heard:
        yield Finding("broker.answers", "ok", f"{ours.url} lets us in and hear the devices")
    else:
        remedy = f"the ACL must let this user read {ROOT}/{config.coordinator.fleet}/device/#"
        yield Finding("broker.acl", "error", f"{ours.url} lets us in, but not hear the devices", remedy)
    yield _strangers(config, topic)


def _strangers(config: Config, topic: str) -> Finding:
    shown = config.broker
    stranger = Connection(shown.url, type(shown)(url=shown.url, ca=shown.ca))
    try:
        heard = asyncio.run(_may_hear(stranger, topic))
    except aiomqtt.MqttError:
        return Finding("broker.strangers", "ok", "who shows neither certificate nor password stays outside")
    if not heard:
        return Finding("broker.strangers", "ok", "who shows nothing gets in, but doesn't hear the devices")
    here = _is_here(stranger.url)
    why = "who shows neither certificate nor password hears all devices"
    return Finding("broker.strangers", "warning" if here else "error", why, SECURE)


async def _may_hear(door: Connection, topic: str) -> bool:
    async with door.client() as client:
        codes = await client.subscribe(topic, qos=0)
    return all(getattr(code, "value", code) < REFUSED for code in codes)


def _is_here(url: BrokerUrl) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"
