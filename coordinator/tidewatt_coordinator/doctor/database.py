"""Checks of the ledger's database. It is only looked at: to open it as the coordinator does migrates it."""

from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.doctor.finding import Finding
from tidewatt_coordinator.ledger import store
from tidewatt_coordinator.ledger.tables import known_device, ledger_fact

#: A day of a large fleet is some hundreds of megabytes.
LEAST_FREE_BYTES = 1_000_000_000
#: Boards keep time by NTP, most of them within a second.
MOST_SKEW_MS = 2_000
#: So many boards know better than one coordinator.
ENOUGH = 3


def database(config: Config) -> Iterator[Finding]:
    """Whether it is there, as new as the program, writable, and what its boards say of our clock."""
    try:
        engine = create_engine(config.ledger.url)
    except (ArgumentError, ImportError) as error:
        yield Finding("database.url", "error", f"ledger.url is not usable: {error}", "write sqlite:///FILE")
        return
    try:
        if engine.dialect.name == "sqlite":
            place = Path(engine.url.database or "")
            yield from _file(place)
            if not place.exists():
                return
        yield from _tables(engine, config)
    finally:
        engine.dispose()


def _file(place: Path) -> Iterator[Finding]:
    folder = place.resolve().parent
    if not folder.is_dir():
        why = f"{folder} is not there, so {place.name} can't be"
        yield Finding("database.file", "error", why, f"mkdir {folder}, or set ledger.url")
        return
    free = disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        why = f"{folder} has {free / 1e6:.0f} MB left"
        yield Finding("database.room", "warning", why, "make room: a full disk loses reports")
    if not place.exists():
        why = f"{place} is not there yet"
        yield Finding("database.file", "warning", why, "`tidewatt serve` makes it; else look at ledger.url")


def _tables(engine: Engine, config: Config) -> Iterator[Finding]:
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            if found is None:
                why = f"{shown} answers and has no tables"
                yield Finding("database.tables", "warning", why, "`tidewatt serve` makes them")
                return
            yield _age(found)
            bucket = connection.execute(select(ledger_fact.c.value).where(ledger_fact.c.name == "bucket_ms"))
            kept = bucket.scalar()
            rows = select(known_device.c.skew_ms).where(
                known_device.c.fleet == config.coordinator.fleet, known_device.c.skew_ms.is_not(None)
            )
            skews = sorted(int(value) for (value,) in connection.execute(rows))
    except SQLAlchemyError as error:
        why = str(error).partition("\n")[0]
        remedy = "start it, or set ledger.url; is the user allowed to read and write?"
        yield Finding("database.answers", "error", f"{shown}: {why}", remedy)
        return
    if kept is not None and int(kept) != config.ledger.bucket_s * 1000:
        begun, asked = int(kept) // 1000, config.ledger.bucket_s
        why = f"the ledger was begun with buckets of {begun} s, ledger.bucket_s is {asked}"
        yield Finding("database.buckets", "error", why, f"set ledger.bucket_s = {begun}")
    yield _clock(skews)


def _age(found: str) -> Finding:
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(store.__file__).with_name("migrations")))
    scripts = ScriptDirectory.from_config(settings)
    newest = scripts.get_current_head()
    if found == newest:
        return Finding("database.tables", "ok", f"its tables are at revision {found}, the newest")
    if found in {one.revision for one in scripts.walk_revisions()}:
        why = f"its tables are at revision {found}, the newest is {newest}"
        return Finding(
            "database.tables", "warning", why, "`tidewatt serve` brings them up to date: back up first"
        )
    why = f"its tables are at revision {found}, which this version doesn't know: a newer one wrote it"
    return Finding("database.tables", "error", why, "install that version, or restore a copy from before it")


def _clock(skews: list[int]) -> Finding:
    if len(skews) < ENOUGH:
        return Finding("clock", "ok", f"{len(skews)} boards have told their time: too few to judge ours by")
    middle = skews[len(skews) // 2]
    if abs(middle) <= MOST_SKEW_MS:
        return Finding("clock", "ok", f"{len(skews)} boards' clocks are {middle / 1000:+.0f} s from ours")
    side = "ahead of" if middle > 0 else "behind"
    why = f"half of {len(skews)} boards are {abs(middle) / 1000:.0f} s {side} us"
    return Finding("clock", "warning", why, "set this machine's clock by NTP: `timedatectl set-ntp true`")
