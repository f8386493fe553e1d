"""A coordinator that starts for the first time, with TLS, and is asked by its own first key."""

import os
import re
import ssl
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from tests.actuators import wait_for
from tests.ports import free_port

from tidewatt_coordinator.access.serving import served
from tidewatt_coordinator.access.settings import Web
from tidewatt_coordinator.pki.certificates import key_pem, new_authority, new_certificate, new_key, pem

CONFIG = """
[coordinator]
fleet = "f"
listen = "127.0.0.1:{port}"
[web]
tls_certificate = "{folder}/page.pem"
[broker]
embedded_port = {broker}
[ledger]
url = "sqlite:///{folder}/l.db"
"""


def certified(folder: Path) -> None:
    now = datetime.now(timezone.utc)
    authority, key = new_authority("f", now), new_key()
    certificate = new_certificate(authority, "server", ["127.0.0.1"], key.public_key(), now, 1)
    (folder / "ca.pem").write_bytes(pem(authority.certificate))
    (folder / "page.pem").write_bytes(pem(certificate) + key_pem(key))


def asked(url: str, folder: Path, key: str) -> int:
    """The status of an answer."""
    trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, verify=trusted).status_code


def test_the_first_start_shows_a_key_that_works(tmp_path: Path) -> None:
    certified(tmp_path)
    port, config = free_port(), tmp_path / "c.toml"
    config.write_text(CONFIG.format(port=port, broker=free_port(), folder=tmp_path))
    program = [sys.executable, "-m", "tidewatt_coordinator"]
    with (tmp_path / "log").open("wb") as log:
        serving = subprocess.Popen([*program, "serve", "--config", str(config)], stderr=log, cwd=tmp_path)
    try:
        url, shown = f"https://127.0.0.1:{port}/v1/fleet", list[str]()

        def told() -> bool:
            assert serving.poll() is None, (tmp_path / "log").read_text()
            shown[:] = re.findall(r"^ +(tw_\S+)$", (tmp_path / "log").read_text(), re.MULTILINE)
            return bool(shown)

        wait_for(told, "the first key")
        assert asked(url, tmp_path, shown[0]) == 200
        assert asked(url, tmp_path, "tw_x_y") == 401
    finally:
        serving.terminate()
        assert serving.wait(20) == 0
    text = (tmp_path / "log").read_text()
    assert "coordinator on https://" in text
    assert "Traceback" not in text


def test_a_renewed_certificate_is_read_anew(tmp_path: Path) -> None:
    certified(tmp_path)
    server = served(FastAPI(openapi_url=None), Web(tls_certificate=str(tmp_path / "page.pem")))
    tls = server.config.ssl
    assert isinstance(tls, ssl.SSLContext)
    read = list[str]()
    old, load = (tmp_path / "page.pem").read_bytes(), tls.load_cert_chain

    def noted(certificate: str, key: str) -> None:
        load(certificate, key)
        read.append(certificate)

    tls.load_cert_chain = noted  # type: ignore[method-assign, assignment]
    server.look()
    assert not read
    (tmp_path / "page.pem").write_text("half a file")
    os.utime(tmp_path / "page.pem", ns=(1, 1))
    server.look()
    assert not read  # the old one goes on
    (tmp_path / "page.pem").write_bytes(old)
    os.utime(tmp_path / "page.pem", ns=(2, 2))
    server.look()
    server.look()
    assert len(read) == 1
    assert isinstance(server, uvicorn.Server)
