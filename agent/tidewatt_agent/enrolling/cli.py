"""`tidewatt-agent enroll`: from a token to a certificate, and the configuration that uses it."""

import argparse
import ssl
import sys
from pathlib import Path

from tidewatt_agent.config import Address, Config, https_url, parse_config
from tidewatt_agent.enabling import with_key
from tidewatt_agent.enrolling.door import ask, trust_on_first_use
from tidewatt_agent.enrolling.identity import answered, folder, keep, new_key, signing_request
from tidewatt_agent.enrolling.renewal import renew
from tidewatt_link.connection import CannotConnect, trusting
from tidewatt_link.durable import replace_file
from tidewatt_wire.brokers import parse_broker_url
from tidewatt_wire.documents import decode_text
from tidewatt_wire.enrolment import ENROLL, Enrolled, EnrollRequest, check_device_name

CERTIFICATE, CA, POLICY_KEYS = "device.pem", "ca.crt", "policy-keys"


def run(options: argparse.Namespace, config: Config) -> int:
    """Enrol or renew. Raises OSError or ValueError with one sentence."""
    if options.renew:
        if options.url or options.token or not config.link.renew:
            raise ValueError("--renew takes no URL and no token: it uses link.renew and link.certificate")
        print(f"{config.link.certificate}: good until {renew(config.link).certificate.not_valid_after_utc}")
        return 0
    if not options.url or not options.token:
        raise ValueError("say where and with what: tidewatt-agent enroll URL --token T")
    door = https_url(options.url, "URL")
    # What can't be kept is not asked for: a token is good once.
    device, place = check_device_name(config.device), folder(config.state.folder)
    key = new_key()
    # Other users of the board see a command line, nobody sees standard input.
    piped = options.token == "-"  # noqa: S105 - no token is that short
    token = sys.stdin.readline().strip() if piped else options.token
    request = EnrollRequest(token=token, csr=signing_request(device, key))
    answer = ask(door, ENROLL, request, _trusted(options, door))
    identity = answered(answer, device, key)
    keep(place / CERTIFICATE, identity.pem(), 0o600)
    keep(place / CA, answer.ca.encode(), 0o644)
    if answer.policy_keys:
        lines = [f"{key.public}  # {key.id}\n" for key in answer.policy_keys]
        keep(place / POLICY_KEYS, "".join(lines).encode(), 0o644)
    _configure(options, keys(answer, place, f"https://{_authority(door)}"))
    return 0


def keys(answer: Enrolled, place: Path, renew_url: str) -> dict[str, dict[str, str]]:
    """What the configuration has to say now, by table. ValueError for a broker's URL that is none."""
    link = {"ca": str(place / CA), "certificate": str(place / CERTIFICATE), "key": "", "renew": renew_url}
    if answer.broker:
        parse_broker_url(answer.broker, "the coordinator's broker URL")
        link["broker"] = answer.broker
    if answer.policy_keys:
        link["policy_keys_file"] = str(place / POLICY_KEYS)
    found = {"agent": {"fleet": answer.fleet, "device": answer.device}, "link": link}
    if any(letter in value for table in found.values() for value in table.values() for letter in '"\\\n'):
        raise ValueError("the coordinator's answer has quotes in it, which no name and no URL has")
    return found


def _configure(options: argparse.Namespace, wanted: dict[str, dict[str, str]]) -> None:
    path: Path = options.config
    if not options.write:
        for table, values in wanted.items():
            print(f"[{table}]")
            print("".join(f'{key} = "{value}"\n' for key, value in values.items()))
        return
    text = decode_text(path.read_bytes(), str(path))
    for table, values in wanted.items():
        for key, value in values.items():
            text = with_key(text, table, key, value)
    parse_config(text, name=str(path))
    replace_file(path, text.encode(), path.stat().st_mode & 0o777)
    print(f"{path}: [agent] and [link] are set; systemctl restart tidewatt-agent takes them up")


def _trusted(options: argparse.Namespace, door: Address) -> ssl.SSLContext:
    if options.ca_fingerprint:
        return trust_on_first_use(door, options.ca_fingerprint)
    try:
        return trusting(options.ca or "", "--ca")
    except CannotConnect as error:
        raise ValueError(str(error)) from error


def _authority(door: Address) -> str:
    return f"[{door.host}]:{door.port}" if ":" in door.host else f"{door.host}:{door.port}"
