"""Telling by webhook."""

import httpx

from tidewatt_coordinator.alerts.cloudevent import CONTENT_TYPE, cloud_event, signed
from tidewatt_coordinator.alerts.settings import Webhook
from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_link.connection import CannotConnect, read_password, trusting
from tidewatt_wire.messages import Alert

TIMEOUT_S = 10.0
#: Answers that say nothing of this event: come later.
BUSY = (408, 425, 429)


async def post(hook: Webhook, alert: Alert, at_s: int) -> None:
    """Send it once; Undelivered unless it was taken (2xx). Redirections aren't followed: a signed event is
    for the address that was configured.
    """
    body = cloud_event(alert)
    headers = {"Content-Type": CONTENT_TYPE, "webhook-id": alert.event, "webhook-timestamp": str(at_s)}
    try:
        secret = read_password(hook.secret_file, f"alerts.webhook {hook.name}: secret_file")
        if secret is not None:
            headers |= signed(alert.event, body, secret, at_s)
        context = trusting(hook.ca, f"alerts.webhook {hook.name}: ca")
    except (CannotConnect, ValueError) as error:
        raise Undelivered(str(error), unreachable=True) from error
    try:
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, verify=context, follow_redirects=False) as client,
            client.stream("POST", hook.url, content=body, headers=headers) as answer,
        ):
            status, said = answer.status_code, answer.reason_phrase
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Undelivered(str(error) or type(error).__name__, unreachable=True) from error
    if not httpx.codes.is_success(status):
        busy = httpx.codes.is_server_error(status) or status in BUSY
        raise Undelivered(f"answers {status} {said}".rstrip(), unreachable=busy)
