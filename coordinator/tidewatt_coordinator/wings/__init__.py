"""The wings of a running coordinator, on one ground: traffic, money, alarms, office.

    ground.py -> what all of them stand on: the ledger, the fleet as it reports, the policy that stands
    traffic.py -> weights, the fleet's plan, spot warnings
    money.py -> edge charges, imports, answers, reports, changes that save
    alarms.py -> budgets, anomalies, boards that oversleep, and who is told
    office.py -> what people look up, and whether all is well

A wing names its tasks, its metrics and its routes itself; app.py opens the doors and keeps all at work.
"""

from collections.abc import Coroutine, Iterator
from typing import Protocol

from fastapi import APIRouter
from prometheus_client.registry import Collector


class Wing(Protocol):
    """What app.py asks of each."""

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Its tasks by name, none of which ever ends by itself."""

    def collectors(self) -> Iterator[Collector]:
        """Its metrics."""

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
