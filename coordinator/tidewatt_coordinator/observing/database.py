"""Statements to the database, counted and timed by SQLAlchemy's own events; and the server's connections."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, ExceptionContext, event, text
from sqlalchemy.exc import SQLAlchemyError

KINDS = ("select", "insert", "update", "delete")
#: Where the events keep their time between them: on the statement's own context.
BEGUN = "_tidewatt_begun_s"
#: A PostgreSQL shows everybody how many there are, though not whose.
CONNECTIONS = text("select (select count(*) from pg_stat_activity), current_setting('max_connections')::int")


class DatabaseMetrics(Collector):
    """What Prometheus sees of one engine. Statements come from many threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lock = engine, threading.Lock()
        self.statements: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.errors = 0
        event.listen(engine, "before_cursor_execute", self._begun)
        event.listen(engine, "after_cursor_execute", self._done)
        event.listen(engine, "handle_error", self._failed)

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        took = SummaryMetricFamily(
            "tidewatt_database_statement_seconds",
            "Statements to the database, and what they took; a commit is in none",
            labels=["kind"],
        )
        with self._lock:
            for kind, count in sorted(self.statements.items()):
                took.add_metric([kind], count, self.seconds[kind])
        yield took
        yield CounterMetricFamily("tidewatt_database_errors", "Statements that failed", self.errors)
        yield from self._connections()

    def _connections(self) -> Iterator[Metric]:
        used = GaugeMetricFamily(
            "tidewatt_database_connections",
            "Connections that the database's server has, of all its clients; PostgreSQL only",
        )
        most = GaugeMetricFamily("tidewatt_database_connections_limit", "The most that it takes")
        if self._engine.dialect.name == "postgresql":
            # Absent where it can't be asked: what isn't known is no zero.
            with contextlib.suppress(SQLAlchemyError), self._engine.connect() as connection:
                for family, count in zip((used, most), connection.execute(CONNECTIONS).one(), strict=True):
                    family.add_metric([], count)
        yield from (used, most)

    def _begun(
        self, _connection: Any, _cursor: Any, _sql: str, _values: Any, context: Any, _many: bool
    ) -> None:
        setattr(context, BEGUN, time.perf_counter())

    def _done(
        self, _connection: Any, _cursor: Any, sql: str, _values: Any, context: Any, _many: bool
    ) -> None:
        spent_s = time.perf_counter() - getattr(context, BEGUN)
        word = sql.lstrip().partition(" ")[0].lower()
        kind = word if word in KINDS else "other"
        with self._lock:
            self.statements[kind] += 1
            self.seconds[kind] = self.seconds.get(kind, 0.0) + spent_s

    def _failed(self, _context: ExceptionContext) -> None:
        with self._lock:
            self.errors += 1
