"""Alerts and their news in the ledger's database; a change and its news are one transaction."""

import json
from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, delete, func, insert, select, update

from tidewatt_coordinator.alerts.episodes import STEPS, Change, Standing, event_id, message
from tidewatt_coordinator.audit.store import record
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.ledger.tables import alert as table
from tidewatt_coordinator.ledger.tables import alert_delivery as news
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import Alert

#: What was told, or given up, is forgotten after so long; alerts themselves are kept.
FORGET_MS = 60 * DAY_MS


class AlertError(ValueError):
    """There is no such alert, or it can't be acknowledged."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be told to one target."""

    target: str
    alert: Alert
    tries: int
    """How often it was tried in vain."""
    made_ms: int
    """Real time."""


class Waiting(msgspec.Struct, frozen=True):
    """What a target has not been told yet."""

    target: str
    count: int
    oldest_ms: int
    """Real time."""
    tries: int
    error: str
    """What came of the last try; empty before the first."""


class AlertBook:
    """The alerts of one fleet. Thread-safe; every method is one transaction."""

    def __init__(self, database: Engine, fleet: str) -> None:
        self._database, self._fleet = database, fleet

    def last(self) -> dict[str, Standing]:
        """Every alert in its last episode."""
        mine = table.c.fleet == self._fleet
        newest = (
            select(table.c.name, func.max(table.c.episode).label("episode"))
            .where(mine)
            .group_by(table.c.name)
            .subquery()
        )
        same = (table.c.name == newest.c.name) & (table.c.episode == newest.c.episode)
        with self._database.connect() as connection:
            rows = connection.execute(select(table).join(newest, same).where(mine)).mappings()
            return {row["name"]: _standing(row) for row in rows}

    def history(self, since_ms: int) -> list[Standing]:
        """Every episode that stands or ended after a time, the newest first."""
        rows = (
            select(table)
            .where(table.c.fleet == self._fleet)
            .where(table.c.ended_ms.is_(None) | (table.c.ended_ms >= since_ms))
            .order_by(table.c.since_ms.desc(), table.c.name)
        )
        with self._database.connect() as connection:
            return [_standing(row) for row in connection.execute(rows).mappings()]

    def apply(
        self, changes: Iterable[Change], targets: Sequence[str], now_ms: int, real_ms: int
    ) -> list[Standing]:
        """Keep what changed, and note for every target what is news; returns the alerts that are."""
        told = []
        with self._database.begin() as connection:
            for change in changes:
                if change.told and change.alert.state == "firing":
                    # Should another coordinator have raised it meanwhile, all of this look is undone.
                    self._begin(connection, change.alert)
                else:
                    self._keep(connection, change.alert, ("summary", "details", "ended_ms"))
                if change.told:
                    told.append(change.alert)
                    self._note(connection, change.alert, targets, now_ms, real_ms)
        return told

    def acknowledge(
        self, name: str, by: str, note: str, targets: Sequence[str], now_ms: int, real_ms: int
    ) -> Standing:
        """Note that somebody knows of it. AlertError if it doesn't stand; again is no change."""
        mine = (table.c.fleet == self._fleet) & (table.c.name == name)
        with self._database.begin() as connection:
            rows = select(table).where(mine).order_by(table.c.episode.desc()).limit(1).with_for_update()
            row = connection.execute(rows).mappings().first()
            if row is None:
                raise AlertError(f"there is no alert {name!r}; `tidewatt alerts ls` shows those there are")
            before = _standing(row)
            if before.state == "recovered":
                raise AlertError(f"alert {name!r} is over; there is nothing to acknowledge")
            if before.state == "acknowledged":
                return before
            after = msgspec.structs.replace(before, acked_ms=now_ms, acked_by=by, note=note)
            self._keep(connection, after, ("acked_ms", "acked_by", "note"))
            self._note(connection, after, targets, now_ms, real_ms)
            record(
                connection,
                "alert acknowledged",
                name,
                fleet=self._fleet,
                before={"state": before.state},
                after={"state": after.state},
                why=note,
                by=by,
            )
        return after

    def due(self, real_ms: int) -> list[Delivery]:
        """What is to be told now. Of one alert a target has things told in order: what comes later waits for
        what came before.
        """
        waiting = (news.c.fleet == self._fleet) & news.c.done_ms.is_(None)
        rows = select(news).where(waiting).order_by(news.c.name, news.c.episode, news.c.step)
        found, begun = [], set()
        with self._database.connect() as connection:
            for row in connection.execute(rows).mappings():
                queue = (row["target"], row["name"])
                if queue not in begun and row["due_ms"] <= real_ms:
                    found.append(_delivery(row))
                begun.add(queue)
        return found

    def done(self, delivery: Delivery, real_ms: int, error: str = "") -> None:
        """It was told, or with an `error` given up: it won't be tried again."""
        values = {"done_ms": real_ms, "error": error}
        with self._database.begin() as connection:
            connection.execute(update(news).where(_is(delivery)).values(values))
            connection.execute(delete(news).where(news.c.done_ms < real_ms - FORGET_MS))

    def later(self, delivery: Delivery, error: str, due_ms: int) -> None:
        """It couldn't be told; try again from `due_ms` on."""
        values = {"tries": news.c.tries + 1, "error": error, "due_ms": due_ms}
        with self._database.begin() as connection:
            connection.execute(update(news).where(_is(delivery)).values(values))

    def waiting(self) -> list[Waiting]:
        """What waits, by target."""
        columns = (news.c.target, news.c.made_ms, news.c.tries, news.c.error)
        rows = select(*columns).where(news.c.fleet == self._fleet, news.c.done_ms.is_(None))
        found: dict[str, list[tuple[int, int, str]]] = {}
        with self._database.connect() as connection:
            for target, made_ms, tries, error in connection.execute(rows):
                found.setdefault(target, []).append((made_ms, tries, error))
        return [
            Waiting(
                target,
                len(rows),
                min(made for made, _, _ in rows),
                max(tries for _, tries, _ in rows),
                next((error for _, _, error in rows if error), ""),
            )
            for target, rows in sorted(found.items())
        ]

    def _begin(self, connection: Connection, one: Standing) -> None:
        values = msgspec.structs.asdict(one) | {"details": json.dumps(one.details, sort_keys=True)}
        connection.execute(insert(table).values(fleet=self._fleet, **values))

    def _keep(self, connection: Connection, one: Standing, columns: Sequence[str]) -> None:
        """Write these columns alone: a look and an acknowledgement may meet."""
        key = (table.c.fleet == self._fleet) & (table.c.name == one.name) & (table.c.episode == one.episode)
        values = msgspec.structs.asdict(one) | {"details": json.dumps(one.details, sort_keys=True)}
        changed = {column: values[column] for column in columns}
        connection.execute(update(table).where(key).values(changed))

    def _note(
        self, connection: Connection, one: Standing, targets: Sequence[str], now_ms: int, real_ms: int
    ) -> None:
        payload = encode(message(one, self._fleet, now_ms)).decode()
        values = {
            "event": event_id(self._fleet, one, one.state),
            "fleet": self._fleet,
            "name": one.name,
            "episode": one.episode,
            "step": STEPS.index(one.state),
            "payload": payload,
            "made_ms": real_ms,
            "due_ms": real_ms,
            "tries": 0,
            "error": "",
        }
        for target in targets:
            connection.execute(insert(news).values(target=target, **values))


def _is(delivery: Delivery) -> ColumnElement[bool]:
    return (news.c.event == delivery.alert.event) & (news.c.target == delivery.target)


def _standing(row: RowMapping) -> Standing:
    values = {name: row[name] for name in Standing.__struct_fields__}
    values["details"] = json.loads(row["details"])
    return Standing(**values)


def _delivery(row: RowMapping) -> Delivery:
    alert = decode(Alert, row["payload"].encode())
    return Delivery(target=row["target"], alert=alert, tries=row["tries"], made_ms=row["made_ms"])
