"""The server of the page and the REST API: plain behind a proxy or on one machine, or with TLS."""

import ssl

import uvicorn
from fastapi import FastAPI

from tidewatt_coordinator.access.caller import networks
from tidewatt_coordinator.access.headers import SecurityHeaders
from tidewatt_coordinator.access.settings import Web


def served(app: FastAPI, web: Web) -> uvicorn.Config:
    """How it is served. OSError for a certificate that can't be read, ValueError for one that can't be used.

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
    return config
