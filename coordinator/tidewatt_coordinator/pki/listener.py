"""The door's server: TLS with a certificate that it makes for itself and renews in time."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from cryptography import x509

from tidewatt_coordinator.config import Enroll
from tidewatt_coordinator.pki.certificates import key_pem, new_certificate, new_key, pem
from tidewatt_coordinator.pki.door import Door
from tidewatt_coordinator.pki.folder import Folder
from tidewatt_coordinator.pki.issuing import at
from tidewatt_link.ending import ended
from tidewatt_wire.enrolment import RENEW_AFTER
from tidewatt_wire.units import MILLISECONDS_PER_SECOND

log = logging.getLogger(__name__)

CERTIFICATE = "door.pem"
#: Real seconds between two looks at the door's own certificate.
LOOK_EVERY_S = 3600.0
#: Connections at once; more are turned away, so that nobody can hold all of the coordinator's files open.
MOST_CONNECTIONS = 256


class Server(uvicorn.Server):
    """uvicorn, leaving signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Listener:
    """Serves the door. `run` ends only by cancellation."""

    def __init__(self, door: Door, folder: Folder, settings: Enroll) -> None:
        """Makes the door's certificate if it has none. FolderError without a CA."""
        self._folder, self._settings = folder, settings
        self._file = self._certificate()
        config = uvicorn.Config(
            door.app,
            log_level="warning",
            access_log=False,
            log_config=None,
            ssl_certfile=str(self._file),
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=16_384,
            server_header=False,
        )
        config.load()
        assert config.ssl is not None  # noqa: S101 - a certificate was given
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls, self.server = config.ssl, Server(config)

    async def run(self, listener: socket.socket) -> None:
        """Serve on this socket, for ever."""
        renewing = asyncio.create_task(self._renew_for_ever())
        try:
            await self.server.serve(sockets=[listener])
        finally:
            await ended(renewing)

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self._tls.load_cert_chain(await asyncio.to_thread(self._certificate))
            except OSError as error:  # a folder that can't be written; there is time to mend it
                log.warning("the enrolment door's certificate can't be renewed: %s", error)

    def _certificate(self) -> Path:
        """The file of the door's certificate and key: the one there is, or a new one where that won't do."""
        names = self._settings.names or [socket.getfqdn()]
        file, now = self._folder.path / CERTIFICATE, at(round(time.time() * MILLISECONDS_PER_SECOND))
        authority = self._folder.authority()
        with contextlib.suppress(OSError, ValueError, x509.ExtensionNotFound):
            present = x509.load_pem_x509_certificate(file.read_bytes())
            present.verify_directly_issued_by(authority.certificate)
            found = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            life = present.not_valid_after_utc - present.not_valid_before_utc
            if now < present.not_valid_before_utc + life * RENEW_AFTER and names == [
                str(name.value) for name in found
            ]:
                return file
        key = new_key()
        certificate = new_certificate(
            authority, "server", names, key.public_key(), now, self._settings.server_days
        )
        return self._folder.write(CERTIFICATE, pem(certificate) + key_pem(key), 0o600)
