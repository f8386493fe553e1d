"""Bringing charges in: asks the sources of the configuration, and puts what they say into the ledger."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from tidewatt_coordinator.costs import awsbudgets, costexplorer, focus, opencost, prometheus
from tidewatt_coordinator.costs.asking import Door
from tidewatt_coordinator.costs.aws import ask_budgets, ask_cost_explorer, fetch_s3
from tidewatt_coordinator.costs.budget_store import CloudBudgets
from tidewatt_coordinator.costs.charge import Charge, CostError
from tidewatt_coordinator.costs.days import DAY_MS, Window, day_ms, day_of, iso
from tidewatt_coordinator.costs.edge_days import EDGE
from tidewatt_coordinator.costs.files import files, rows
from tidewatt_coordinator.costs.settings import Costs, Estimate
from tidewatt_coordinator.costs.store import Charges

SOURCES = (focus.SOURCE, costexplorer.SOURCE, opencost.SOURCE, prometheus.SOURCE, awsbudgets.SOURCE)


class Taken(msgspec.Struct, frozen=True):
    """What an import brought."""

    source: str
    charges: int
    batches: int
    """Days, or billing periods, that it replaced."""
    things: str = "charges"
    """What it counts: charges or budgets."""


def configured(settings: Costs) -> list[str]:
    """The sources that the configuration has."""
    on = (
        settings.focus.path,
        settings.cost_explorer.enabled,
        settings.opencost.url,
        settings.prometheus.url,
        settings.aws_budgets.enabled,
    )
    return [source for source, is_on in zip(SOURCES, on, strict=True) if is_on]


class Collector:
    """The sources of one configuration, and the ledger that they fill."""

    def __init__(self, settings: Costs, store: Charges, now_ms: int) -> None:
        self._settings, self._store, self._now_ms = settings, store, now_ms

    def take(
        self, source: str, window: Window | None, paths: Sequence[str] = (), *, fewer: bool = False
    ) -> Taken:
        """Import one source; CostError if it can't be asked, OSError for files that can't be read.

        `window` is of whole days; None asks for what is new. Files bring their own periods.
        """
        if source == focus.SOURCE:
            return self._files(paths or [self._settings.focus.path], fewer=fewer)
        if paths:
            raise CostError(f"{source} is asked over the network; only focus reads files")
        if source not in configured(self._settings):
            raise CostError(f"{source} is not configured: see [costs.{source}]")
        if source == costexplorer.SOURCE:
            return self._cost_explorer(window)
        if source == awsbudgets.SOURCE:
            return self._aws_budgets()
        ask = {opencost.SOURCE: self._opencost, prometheus.SOURCE: self._prometheus}[source]
        estimate = getattr(self._settings, source)
        return self._days(source, window or self._new(source, estimate.first_days), estimate, ask)

    def _new(self, source: str, first_days: int, again_days: int = 0) -> Window:
        """From where the last import ended, `again_days` earlier, to the beginning of today."""
        today = day_ms(day_of(self._now_ms))
        last = self._store.last_end(source)
        begin = today - first_days * DAY_MS if last is None else day_ms(day_of(last)) - again_days * DAY_MS
        return Window(min(begin, today), today)

    def _cost_explorer(self, window: Window | None) -> Taken:
        settings = self._settings.cost_explorer
        window = window or self._new(costexplorer.SOURCE, settings.first_days, settings.settle_days)
        days = _days(window)
        if not days:
            return Taken(costexplorer.SOURCE, 0, 0)
        found = ask_cost_explorer(settings, window, self._count_call)
        pairs = ((str(day_of(charge.start_ms)), charge) for charge in found)
        batches = [_name(day) for day in days]
        count = self._store.replace(costexplorer.SOURCE, batches, pairs, self._now_ms)
        return Taken(costexplorer.SOURCE, count, len(batches))

    def _aws_budgets(self) -> Taken:
        """Whatever days are asked for: AWS tells how budgets stand now, and nothing of before."""
        account, told = ask_budgets(self._settings.aws_budgets, self._now_ms)
        CloudBudgets(self._store.engine).replace(account, str(day_of(self._now_ms))[:7], told)
        return Taken(awsbudgets.SOURCE, len(told), 1, "budgets")

    def _count_call(self) -> None:
        most = self._settings.cost_explorer.calls_a_day
        if not self._store.call(costexplorer.SOURCE, day_of(self._now_ms), most):
            raise CostError(
                f"Cost Explorer was asked {most} times today, at $0.01 each: "
                "costs.cost_explorer.calls_a_day allows no more"
            )

    def _days(
        self,
        source: str,
        window: Window,
        estimate: Estimate,
        ask: Callable[[Door, Window], list[Charge]],
    ) -> Taken:
        """Day by day: what was taken stays when a later day fails."""
        count, days = 0, _days(window)
        with closing(Door(estimate.url, estimate.token_file)) as door:
            for day in days:
                pairs = [(_name(day), charge) for charge in ask(door, day)]
                count += self._store.replace(source, [_name(day)], pairs, self._now_ms)
        return Taken(source, count, len(days))

    def _opencost(self, door: Door, day: Window) -> list[Charge]:
        settings = self._settings.opencost
        body = door.get("/allocation", opencost.parameters(day, settings.aggregate))
        return opencost.parse(body, day, settings.aggregate, settings.currency, door.base)

    def _prometheus(self, door: Door, day: Window) -> list[Charge]:
        settings = self._settings.prometheus
        body = door.get("/api/v1/query_range", prometheus.parameters(day, settings.metric))
        return prometheus.parse(body, day, settings.metric, settings.currency, door.base)

    def _files(self, paths: Sequence[str], *, fewer: bool) -> Taken:
        if not all(paths):
            raise CostError("focus is not configured: name files, or see [costs.focus]")
        with tempfile.TemporaryDirectory(prefix="tidewatt-focus-") as folder:
            found: list[Path] = []
            for number, path in enumerate(paths):
                found += files(self._local(path, Path(folder) / str(number)))
            # Read twice: a file that breaks off in the middle must not have replaced half of a month.
            counts = Counter(batch for batch, _ in _charges(found, self._foreign))
            if not counts:
                where = str(found[0]) if len(found) == 1 else f"{len(found)} files"
                raise CostError(f"{where}: there are no rows, only a header at most: nothing was imported")
            if not fewer:
                self._refuse_fewer(counts)
            count = self._store.replace(focus.SOURCE, list(counts), _charges(found, rows), self._now_ms)
        return Taken(focus.SOURCE, count, len(counts))

    def _local(self, path: str, folder: Path) -> Path:
        if not path.startswith("s3://"):
            return Path(path)
        folder.mkdir()
        fetch_s3(self._settings.focus, path, folder)
        return folder

    def _foreign(self, file: Path) -> Iterator[focus.Row]:
        """A file's rows, unless this ledger's own edge is among them: it would count twice."""
        looked = False
        for number, row in enumerate(rows(file), start=1):
            if row.get("x_TidewattSource") == EDGE and not looked:
                looked = True  # a file is of one fleet
                if self._has(focus.charge(row, row.get("x_TidewattKey", ""), f"{file}, row {number}")):
                    raise CostError(
                        f"{file}, row {number}: a charge of this ledger's own edge, which would count twice. "
                        "Keep what `tidewatt costs export` and reports write away from the provider's files"
                    )
            yield row

    def _has(self, one: Charge) -> bool:
        held = self._store.read(one.start_ms, one.end_ms, [EDGE])
        return any((mine.key, mine.start_ms) == (one.key, one.start_ms) for mine in held)

    def _refuse_fewer(self, counts: Counter[str]) -> None:
        for batch, count in counts.items():
            held = self._store.count(focus.SOURCE, batch)
            if count * 2 < held:
                raise CostError(
                    f"{batch}: {count} charges would replace {held}. Name all files of a billing period "
                    "at once; if it truly has so few now, add --fewer"
                )


def _charges(
    found: Sequence[Path], read: Callable[[Path], Iterator[focus.Row]]
) -> Iterator[tuple[str, Charge]]:
    return focus.charges((str(file), read(file)) for file in found)


def _days(window: Window) -> list[Window]:
    return [Window(at, at + DAY_MS) for at in range(window.start_ms, window.end_ms, DAY_MS)]


def _name(day: Window) -> str:
    return iso(day.start_ms)[:10]
