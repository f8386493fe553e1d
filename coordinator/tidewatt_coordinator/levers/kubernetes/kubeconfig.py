"""Where a Kubernetes API server is and how to prove who asks: a kubeconfig, or the pod's own account."""

import base64
import json
import os
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tidewatt_coordinator.levers.driver import LeverError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: Real seconds to connect, to wait for an answer, and for a command that gives a token.
CONNECT_S, ANSWER_S, COMMAND_S = 5.0, 30.0, 30.0


def connect(kubeconfig: str, context: str) -> httpx.Client:
    """A client of the API server; LeverError says what is missing."""
    try:
        return _by_file(Path(kubeconfig), context) if kubeconfig else _by_account()
    except (OSError, ValueError, YAMLError, KeyError, TypeError, subprocess.SubprocessError) as error:
        where = kubeconfig or f"the pod's account in {ACCOUNT}"
        raise LeverError(f"{where}: {type(error).__name__}: {error}") from error


def _client(url: str, token: str, trusted: ssl.SSLContext) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    # Proxies of the environment are for the world, not for the cluster's own API.
    return httpx.Client(base_url=url, headers=headers, verify=trusted, timeout=timeout, trust_env=False)


def _by_account() -> httpx.Client:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = (ACCOUNT / "token").read_text("utf-8").strip()  # read anew each time: it is renewed
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    return _client(f"https://{f'[{host}]' if ':' in host else host}:{port}", token, trusted)


def _by_file(path: Path, context: str) -> httpx.Client:
    document = YAML(typ="safe").load(path.read_text("utf-8"))
    chosen = _named(document, "context", context or document["current-context"])
    cluster = _named(document, "cluster", chosen["cluster"])
    user = _named(document, "user", chosen["user"])
    if cluster.get("insecure-skip-tls-verify"):
        raise LeverError(f"{path}: insecure-skip-tls-verify: give its certificate-authority instead")
    authority = _bytes(cluster, "certificate-authority", path)
    trusted = _trusted(authority, cluster["server"])
    certificate, key = (_bytes(user, name, path) for name in ("client-certificate", "client-key"))
    if certificate and key:
        with tempfile.NamedTemporaryFile(suffix=".pem") as both:  # ssl reads files alone; 0600
            both.write(certificate + b"\n" + key)
            both.flush()
            trusted.load_cert_chain(both.name)
    return _client(cluster["server"], _token(user, path), trusted)


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    for one in document[f"{kind}s"]:
        if one["name"] == name:
            found: dict[str, Any] = one[kind]
            return found
    raise ValueError(f"no {kind} is named {name!r}")


def _bytes(one: dict[str, Any], name: str, path: Path) -> bytes:
    if f"{name}-data" in one:
        return base64.b64decode(one[f"{name}-data"])
    return (path.parent / one[name]).read_bytes() if name in one else b""


def _trusted(authority: bytes, url: str) -> ssl.SSLContext:
    if not authority and url.startswith("http://"):
        return ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # never used: the world's authorities take long to read
    return ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)


def _token(user: dict[str, Any], path: Path) -> str:
    if "tokenFile" in user:
        return Path(path.parent, user["tokenFile"]).read_text("utf-8").strip()
    if "exec" not in user:
        return str(user.get("token", ""))
    asked = user["exec"]
    words = [asked["command"], *(asked.get("args") or [])]
    extra = {one["name"]: one["value"] for one in asked.get("env") or []}
    # What to run is the operator's own, as every tool of Kubernetes runs it.
    answer = subprocess.run(words, env=os.environ | extra, capture_output=True, check=True, timeout=COMMAND_S)
    return str(json.loads(answer.stdout)["status"]["token"])
