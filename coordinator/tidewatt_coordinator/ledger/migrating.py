"""The ledger's tables, brought up to date while coordinators of the version before may be at work.

A replica is upgraded at a time, so for a while an older one works on newer tables, and may be started again
on them. That is safe because migrations only ever add (ADR 0043). One that can't do so must keep the fact
`least_schema` with its own number: from then on older coordinators refuse to begin.
"""

import logging
import threading
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, select, text

from tidewatt_coordinator.ledger.tables import ledger_fact

log = logging.getLogger(__name__)

#: PostgreSQL's advisory lock under which tables are changed, a number of ours.
MIGRATING = 0x7469_6465
#: The fact that names the oldest version of the tables whose readers still understand them.
LEAST = "least_schema"
#: Alembic keeps its context in a global.
_migrating = threading.Lock()


class TooNew(RuntimeError):
    """The tables are of a later version that this one can't work on; one sentence."""


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to a version of ours; newer ones that we may work on stay. TooNew."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    ours = ScriptDirectory.from_config(config).get_current_head() or ""
    with _migrating, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if _is_newer(connection, ours):
            return
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _is_newer(connection: Connection, ours: str) -> bool:
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        return False
    theirs = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
    if theirs <= ours:
        return False
    least = connection.execute(select(ledger_fact.c.value).where(ledger_fact.c.name == LEAST)).scalar()
    if (least or "") > ours:
        raise TooNew(f"its tables are of version {theirs}, which needs a coordinator of {least} or later")
    log.warning("the ledger's tables are of version %s, ours of %s: used as they are", theirs, ours)
    return True
