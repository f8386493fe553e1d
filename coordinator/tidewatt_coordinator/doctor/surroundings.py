"""Checks of what stands around: keys, certificates, whose word counts, port, Prometheus, cloud."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tidewatt_coordinator.config import Config, host_port
from tidewatt_coordinator.doctor.finding import Finding
from tidewatt_coordinator.keys.folder import KeyFolder, SigningKeyError
from tidewatt_coordinator.outward import MIB, ask
from tidewatt_coordinator.pki.devicetrust import in_files
from tidewatt_coordinator.pki.folder import CA_CERTIFICATE, Folder
from tidewatt_coordinator.sleepwords import trusted_files
from tidewatt_link.connection import Connection

PATIENCE_S = 5.0
DAY_S = 86_400
#: Renewals take days where people make them.
SOON_DAYS = 14


def keys(config: Config) -> Iterator[Finding]:
    """Whether policy can be signed."""
    folder = config.policy_keys.folder
    try:
        signers = KeyFolder(Path(folder)).signers()
    except (SigningKeyError, OSError) as error:
        yield Finding("keys", "error", str(error), "mend policy_keys.folder")
        return
    if signers:
        yield Finding(
            "keys", "ok", f"{len(signers)} key(s) sign policy: {', '.join(one.id for one in signers)}"
        )
    else:
        why = f"{folder} holds no key: no policy and no weights are published"
        yield Finding("keys", "warning", why, "`tidewatt keys new` makes the first")


def certificates(config: Config) -> Iterator[Finding]:
    """When what we show, and what devices trust, ends."""
    ends: list[tuple[str, str, float]] = []
    if config.broker.url and config.broker.certificate:
        end = Connection(config.broker.url, config.broker).certificate_ends_s()
        if end is None:
            why = f"{config.broker.certificate} is no certificate that can be read"
            yield Finding("certificate.broker", "error", why, "`tidewatt enroll coordinator` makes one")
        else:
            ends.append(("broker", "`tidewatt enroll coordinator` makes the next", end))
    if config.enroll.listen:
        try:
            ca = Folder(config.enroll.folder).certificate()
        except (OSError, ValueError) as error:
            why = f"{config.enroll.folder}/{CA_CERTIFICATE} can't be read: {error}"
            yield Finding("certificate.ca", "error", why, "`tidewatt enroll ca` makes a CA")
        else:
            remedy = "make a new CA and enrol devices anew before that"
            ends.append(("ca", remedy, ca.not_valid_after_utc.timestamp()))
    for name, remedy, end in ends:
        left = (end - time.time()) / DAY_S
        id_ = f"certificate.{name}"
        if left <= 0:
            yield Finding(id_, "error", f"it ended {-left:.0f} days ago", remedy)
        elif left < SOON_DAYS:
            yield Finding(id_, "warning", f"it ends in {left:.0f} days", remedy)
        else:
            yield Finding(id_, "ok", f"it is good for {left:.0f} days")


def sleep_words(config: Config) -> Iterator[Finding]:
    """Whose word on a board's sleep is believed."""
    ca, revoked = trusted_files(config)
    if not ca:
        why = "any word on a board's sleep is believed: no CA of boards' certificates is known"
        yield Finding("sleep.words", "ok", why)
        return
    try:
        trusted = in_files(ca, revoked)
    except (OSError, ValueError) as error:
        why = f"whose certificates are boards' can't be known: {error}"
        yield Finding("sleep.words", "error", why, "mend sleep.ca or sleep.revoked")
        return
    if config.sleep.words == "any":
        why = f"words on sleep signed by {ca} are believed, and unsigned ones, too"
        yield Finding("sleep.words", "warning", why, 'sleep.words = "auto" when every agent signs them')
    else:
        gone = f"; {len(trusted.listed)} are revoked" if revoked else ""
        yield Finding("sleep.words", "ok", f"words on sleep must be signed by {ca}{gone}")


def port(config: Config) -> Iterator[Finding]:
    """Whether the REST API's port is free, or ours already."""
    host, number = host_port(config.coordinator.listen)
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[:1]:
            with socket.socket(family, kind) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
    except OSError as error:
        if _is_ours(host, number):
            yield Finding("port", "ok", f"a coordinator answers on {config.coordinator.listen}")
            return
        why = f"coordinator.listen {config.coordinator.listen}: {error.strerror or error}"
        yield Finding("port", "error", why, "stop what has it, or choose another one")
        return
    yield Finding("port", "ok", f"{config.coordinator.listen} is free; no coordinator runs here")


def _asked(url: str) -> httpx.Response:
    with httpx.Client(timeout=PATIENCE_S) as client:
        return ask(client, "GET", url, MIB)


def _is_ours(host: str, number: int) -> bool:
    name = f"[{host}]" if ":" in host else host
    try:
        answer = _asked(f"http://{name}:{number}/healthz")
        return bool(answer.json()["status"] == "ok" and "version" in answer.json())
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def prometheus(config: Config) -> Iterator[Finding]:
    """Whether each Prometheus that is configured answers."""
    places = {
        "levers.prometheus": config.levers.prometheus,
        "dispatch.prometheus": config.dispatch.prometheus,
        "costs.prometheus.url": config.costs.prometheus.url,
    }
    for key, url in places.items():
        if not url:
            continue
        id_ = f"prometheus.{key.partition('.')[0]}"
        try:
            answer = _asked(f"{url.rstrip('/')}/-/ready")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            yield Finding(
                id_, "warning", f"{key} {url}: {error or type(error).__name__}", f"start it, or set {key}"
            )
            continue
        # One behind a gateway may keep its readiness to itself; to be let in is another matter.
        good = answer.status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND, httpx.codes.UNAUTHORIZED)
        said = f"{key} {url} answers {answer.status_code}"
        yield Finding(id_, "ok" if good else "warning", said, "" if good else f"look at it, or set {key}")


def cloud(config: Config) -> Iterator[Finding]:
    """Whether AWS is asked with credentials that are there, and aren't the account's root."""
    if not config.costs.cost_explorer.enabled and not config.costs.aws_budgets.enabled:
        yield Finding("cloud", "ok", "[costs] asks AWS nothing")
        return
    try:
        import boto3  # noqa: PLC0415 - optional
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ModuleNotFoundError:
        yield Finding(
            "cloud", "error", "AWS is to be asked, and boto3 isn't there", "install the extra `aws`"
        )
        return
    remedy = "give it a role of its own: packaging/iam has the policy that it needs"
    try:
        session = boto3.session.Session(profile_name=config.costs.cost_explorer.profile or None)
        who = str(session.client("sts", region_name="us-east-1").get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError) as error:
        yield Finding("cloud", "error", f"AWS doesn't know us: {error}", remedy)
        return
    if who.endswith(":root"):
        yield Finding("cloud", "warning", f"{who} may do everything", remedy)
    else:
        yield Finding("cloud", "ok", f"AWS knows us as {who}")
