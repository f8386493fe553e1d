"""Tokens and certificates in the ledger's database. Every method is one transaction."""

import hashlib
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, Engine, insert, select, update

from tidewatt_coordinator.audit.actor import Actor
from tidewatt_coordinator.audit.store import record
from tidewatt_coordinator.ledger.tables import enroll_token, issued_certificate
from tidewatt_coordinator.pki.asked import Rejected
from tidewatt_coordinator.pki.certificates import Kind, common_name
from tidewatt_wire.enrolment import fingerprint
from tidewatt_wire.units import MILLISECONDS_PER_SECOND

USED = "this token has been used: each is good once; `tidewatt enroll token` makes one"


class Token(NamedTuple):
    """What is known of a token; never the token itself."""

    device: str | None
    """The one device that it is for; None for any that has no certificate yet."""
    made_ms: int
    expires_ms: int
    used_ms: int | None
    used_by: str | None


class Issued(NamedTuple):
    """A certificate that was given out."""

    serial: str
    name: str
    kind: str
    issued_ms: int
    not_after_ms: int
    revoked_ms: int | None


class Register:
    """Who was promised a certificate, and who got one."""

    def __init__(self, engine: Engine) -> None:
        """On a database whose tables are up to date."""
        self._engine = engine

    def promise(self, token: str, device: str | None, now_ms: int, expires_ms: int) -> None:
        """Remember a token by its hash."""
        row = {"sha256": _hash(token), "device": device, "made_ms": now_ms, "expires_ms": expires_ms}
        with self._engine.begin() as connection:
            connection.execute(insert(enroll_token).values(row))
            told = {"device": device, "expires_ms": expires_ms}
            record(connection, "enrol token", _hash(token)[:16], after=told)

    def check_token(self, token: str, now_ms: int) -> Token:
        """The token, if it is good now; Rejected otherwise.

        It is looked up by its hash, so how long that takes says nothing of a token that is nearly right.
        """
        table = enroll_token.c
        columns = (table.device, table.made_ms, table.expires_ms, table.used_ms, table.used_by)
        with self._engine.connect() as connection:
            row = connection.execute(select(*columns).where(table.sha256 == _hash(token))).one_or_none()
        if row is None:
            raise Rejected("this token is unknown; `tidewatt enroll token` makes one")
        found = Token(*row)
        if found.used_ms is not None:
            raise Rejected(USED)
        if found.expires_ms <= now_ms:
            raise Rejected("this token has expired; `tidewatt enroll token` makes one")
        return found

    def redeem(self, token: str, certificate: x509.Certificate, now_ms: int) -> None:
        """Use the token up for this certificate. Rejected if somebody else was sooner, or the name is taken.

        The update finds the token unused or it finds nothing: of many at once, one gets through.
        """
        device, table = common_name(certificate), enroll_token.c
        with self._engine.begin() as connection:
            used = connection.execute(
                update(enroll_token)
                .where(table.sha256 == _hash(token), table.used_ms.is_(None), table.expires_ms > now_ms)
                .values(used_ms=now_ms, used_by=device)
            )
            if used.rowcount != 1:
                raise Rejected(USED)
            bound = connection.execute(select(table.device).where(table.sha256 == _hash(token))).scalar()
            # A token for anybody must not make its holder somebody who is there already.
            if bound is None and _live(connection, device, now_ms):
                raise Rejected(
                    f"{device} has a certificate already; a token made with --device {device} allows another"
                )
            _add(connection, certificate, "device", now_ms)
            _audit(connection, "enrol device", certificate, Actor(device, "device"))

    def add(self, certificate: x509.Certificate, kind: Kind, now_ms: int) -> None:
        """Remember a certificate that was given out."""
        with self._engine.begin() as connection:
            _add(connection, certificate, kind, now_ms)
            _audit(connection, f"certificate {kind}", certificate)

    def renew(self, present: x509.Certificate, following: x509.Certificate, now_ms: int) -> None:
        """Remember the certificate that follows `present`; Rejected if that one doesn't stand."""
        with self._engine.begin() as connection:
            self._check(connection, present, now_ms)
            _add(connection, following, "device", now_ms)
            _audit(connection, "renew device", following, Actor(common_name(following), "device"))

    def check_certificate(self, present: x509.Certificate, now_ms: int) -> str:
        """The device of a certificate that we gave out and that stands; Rejected otherwise."""
        with self._engine.connect() as connection:
            return self._check(connection, present, now_ms)

    def revoke(self, name: str, now_ms: int) -> int:
        """Revoke whatever this name holds that hasn't expired, and say how many certificates that was."""
        table = issued_certificate.c
        with self._engine.begin() as connection:
            gone = connection.execute(
                update(issued_certificate)
                .where(table.name == name, table.revoked_ms.is_(None), table.not_after_ms > now_ms)
                .values(revoked_ms=now_ms)
            )
            # What was promised to it and not yet fetched is void, too.
            connection.execute(
                update(enroll_token)
                .where(enroll_token.c.device == name, enroll_token.c.used_ms.is_(None))
                .values(expires_ms=now_ms)
            )
            if gone.rowcount:
                record(connection, "certificate revoked", name, after={"certificates": gone.rowcount})
        return gone.rowcount

    def issued(self) -> list[Issued]:
        """Every certificate, by name, the newest last."""
        table = issued_certificate.c
        columns = (
            table.serial,
            table.name,
            table.kind,
            table.issued_ms,
            table.not_after_ms,
            table.revoked_ms,
        )
        with self._engine.connect() as connection:
            return [
                Issued(*row)
                for row in connection.execute(select(*columns).order_by(table.name, table.issued_ms))
            ]

    def revoked(self, now_ms: int) -> frozenset[str]:
        """The serial numbers of what is revoked and hasn't expired, as `serial_of` writes them."""
        table = issued_certificate.c
        gone = select(table.serial).where(table.revoked_ms.is_not(None), table.not_after_ms > now_ms)
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(gone))

    def open_tokens(self, now_ms: int) -> list[Token]:
        """The tokens that are still good."""
        table = enroll_token.c
        columns = (table.device, table.made_ms, table.expires_ms, table.used_ms, table.used_by)
        good = select(*columns).where(table.used_ms.is_(None), table.expires_ms > now_ms)
        with self._engine.connect() as connection:
            return [Token(*row) for row in connection.execute(good.order_by(table.expires_ms))]

    def _check(self, connection: Connection, present: x509.Certificate, now_ms: int) -> str:
        table = issued_certificate.c
        row = connection.execute(
            select(table.name, table.kind, table.not_after_ms, table.revoked_ms).where(
                table.serial == serial_of(present), table.sha256 == _sha256(present)
            )
        ).one_or_none()
        if row is None or row.kind != "device":
            raise Rejected("the present certificate is not one that this coordinator gave to a device")
        if row.revoked_ms is not None:
            raise Rejected("the present certificate has been revoked; a new token is needed")
        if row.not_after_ms <= now_ms:
            raise Rejected("the present certificate has expired; a new token is needed")
        return str(row.name)


def _audit(
    connection: Connection, what: str, certificate: x509.Certificate, who: Actor | None = None
) -> None:
    told = {"serial": serial_of(certificate), "sha256": _sha256(certificate)}
    record(connection, what, common_name(certificate), after=told, who=who)


def _add(connection: Connection, certificate: x509.Certificate, kind: Kind, now_ms: int) -> None:
    connection.execute(
        insert(issued_certificate).values(
            serial=serial_of(certificate),
            sha256=_sha256(certificate),
            name=common_name(certificate),
            kind=kind,
            issued_ms=now_ms,
            not_after_ms=int(certificate.not_valid_after_utc.timestamp()) * MILLISECONDS_PER_SECOND,
        )
    )


def _live(connection: Connection, name: str, now_ms: int) -> bool:
    table = issued_certificate.c
    found = select(table.serial).where(
        table.name == name, table.revoked_ms.is_(None), table.not_after_ms > now_ms
    )
    return connection.execute(found.limit(1)).first() is not None


def serial_of(certificate: x509.Certificate) -> str:
    """Its number, as the register has it."""
    return f"{certificate.serial_number:x}"


def _sha256(certificate: x509.Certificate) -> str:
    return fingerprint(certificate.public_bytes(Encoding.DER))


def _hash(token: str) -> str:
    # No salt and no stretching: 160 bits of chance can't be guessed from their hash.
    return hashlib.sha256(token.encode()).hexdigest()
