"""The wing of the entry: who may come in, and the page where people say who they are."""

import time
from collections.abc import Coroutine, Iterator

from fastapi import APIRouter
from prometheus_client.registry import Collector

from tidewatt_coordinator.access.gate import Gate
from tidewatt_coordinator.access.keys import KeyBook
from tidewatt_coordinator.access.logins import LoginBook
from tidewatt_coordinator.access.provider import Provider
from tidewatt_coordinator.access.rest import router
from tidewatt_coordinator.access.roles import Actor
from tidewatt_coordinator.access.sessions import Lasting, SessionBook
from tidewatt_coordinator.audit.actor import Actor as Recorded
from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.wings.ground import Ground


class Entry:
    """Keys, sessions, the provider, and the gate that asks them."""

    def __init__(self, ground: Ground) -> None:
        access, database = ground.config.access, ground.ledger.engine
        self.keys = KeyBook(database, ground.name)
        lasting = Lasting(round(access.idle_s * 1000), round(access.session_s * 1000))
        sessions = SessionBook(database, ground.name, self.keys, lasting)
        provider = Provider(access.oidc, time.time) if access.oidc.discovery else None
        self.gate = Gate(access, ground.config.web, self.keys, sessions, provider)
        self._logins, self._trail, self._fleet = LoginBook(database), Trail(database), ground.name

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """None of its own."""
        return iter(())

    def collectors(self) -> Iterator[Collector]:
        """None of its own."""
        return iter(())

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
        yield router(self.gate, self._logins, self._noted)

    def _noted(self, actor: Actor, what: str, address: str) -> None:
        who = Recorded(actor.id, actor.kind, actor.role)
        self._trail.record(what, actor.called, fleet=self._fleet, after={"from": address}, who=who)
