"""Telling on the fleet's broker: one retained message for each alert."""

import asyncio

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Alert
from tidewatt_wire.topics import AlertTopic

#: The broker forgets an alert that is over after a week.
KEPT_S = 7 * 86_400


async def publish(broker: Connection, name: str, alert: Alert) -> None:
    """Say it once, and have the broker keep it; Undelivered unless the broker has it."""
    expiry = None
    if alert.state == "recovered":
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        expiry.MessageExpiryInterval = KEPT_S
    topic = str(AlertTopic(alert.fleet, alert.name))
    try:
        async with broker.client(identifier=f"tidewatt-{alert.fleet}-alerts-{name}") as client:
            await client.publish(topic, encode(alert), qos=1, retain=True, properties=expiry)
    except (aiomqtt.MqttError, asyncio.TimeoutError) as error:
        raise Undelivered(str(error) or type(error).__name__, unreachable=True) from error
