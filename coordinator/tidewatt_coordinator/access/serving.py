"""The server of the page and the REST API: plain behind a proxy or on one machine, or with TLS."""

import logging
import ssl
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tidewatt_coordinator.access.caller import networks
from tidewatt_coordinator.access.headers import SecurityHeaders
from tidewatt_coordinator.access.settings import Web
from tidewatt_coordinator.pki.listener import Server

log = logging.getLogger(__name__)

#: uvicorn ticks ten times a second; files are looked at once a minute.
LOOK_EVERY_TICKS = 600


class Served(Server):
    """uvicorn with our certificate, which is read anew when somebody renewed its file."""

    def __init__(self, config: uvicorn.Config, web: Web) -> None:
        """`config` is loaded where there is a certificate."""
        super().__init__(config)
        self._files = [Path(one) for one in (web.tls_certificate, web.tls_key) if one]
        self._read = self._written()

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does, and a look at the files now and then."""
        if counter % LOOK_EVERY_TICKS == 0:
            self.look()
        return await super().on_tick(counter)

    def look(self) -> None:
        """Read the certificate if its files have changed; one that can't be used is said, and tried again."""
        found = self._written()
        if found == self._read or self.config.ssl is None:
            return
        try:
            self.config.ssl.load_cert_chain(self._files[0], self._files[-1])
        except OSError as error:  # ssl.SSLError is one
            log.warning("web.tls_certificate was changed and can't be used; the old one is: %s", error)
            return
        self._read = found
        log.info("web.tls_certificate is read anew")

    def _written(self) -> list[int]:
        try:
            return [one.stat().st_mtime_ns for one in self._files]
        except OSError:
            return self._read if hasattr(self, "_read") else []


def served(app: FastAPI, web: Web) -> Served:
    """The server. OSError for a certificate that can't be read, ValueError for one that can't be used.

    uvicorn's own reading of X-Forwarded-* is off: it would believe anybody on this machine.
    """
    whole = SecurityHeaders(app, networks(web.trusted_proxies))  # outermost: errors get the headers, too
    config = uvicorn.Config(
        whole,
        log_level="warning",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=web.tls_certificate or None,
        ssl_keyfile=web.tls_key or None,
    )
    if web.tls_certificate:
        try:
            config.load()
        except ssl.SSLError as error:
            raise ValueError(f"web.tls_certificate {web.tls_certificate} can't be used: {error}") from error
        assert config.ssl is not None  # noqa: S101 - a certificate was given
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return Served(config, web)
