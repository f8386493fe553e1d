"""An alert as a CloudEvent 1.0, and its signature as Standard Webhooks has it. Pure."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timezone

import msgspec

from tidewatt_wire.messages import Alert

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
#: A secret that begins so is base64, as Standard Webhooks writes it.
PREFIX = "whsec_"


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope, in structured mode."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    data: Alert


def cloud_event(alert: Alert) -> bytes:
    """The same event has the same bytes, however often it is sent."""
    at = datetime.fromtimestamp(alert.at_ms / 1000, timezone.utc)
    event = CloudEvent(
        id=alert.event,
        source=f"/tidewatt/fleets/{alert.fleet}",
        type=f"tidewatt.alert.{alert.state}",
        subject=alert.name,
        time=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        data=alert,
    )
    return msgspec.json.encode(event, order="deterministic")


def signed(event: str, body: bytes, secret: str, at_s: int) -> dict[str, str]:
    """The headers that prove who sent it, and when: HMAC-SHA256 over id, time and body.

    Raises ValueError for a secret of the form whsec_... that isn't base64.
    """
    content = f"{event}.{at_s}.".encode() + body
    mac = base64.b64encode(hmac.new(key_of(secret), content, hashlib.sha256).digest()).decode()
    return {"webhook-signature": f"v1,{mac}"}


def key_of(secret: str) -> bytes:
    """The bytes of a secret. ValueError if it can't be one."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {PREFIX} is not base64") from error
