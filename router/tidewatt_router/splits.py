"""What each route of the proxy should do, worked out from a table, its safe half, or neither. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tidewatt_router.routes import Backend, Route, backends_of
from tidewatt_wire.messages import ClassWeights, DispatchTable

#: Where a split comes from: the table in force; its safe half; nothing that was ever said, so equal shares.
Source = Literal["table", "safe", "equal"]
#: In a table's safe half: all requests together, for routes that don't tell classes apart.
ALL_CLASSES = "all"


class Split(msgspec.Struct, frozen=True):
    """How the requests of one route are shared out, in parts of their sum."""

    route: str
    parts: Mapping[str, int]
    """By backend of the configuration, each of the route's, those that get nothing too."""
    shed: int = 0
    """Parts that the proxy should refuse."""
    source: Source = "table"
    most: Mapping[str, int] = {}
    """By backend, the requests that it may have in flight: the others get what is beyond, and those that
    aren't named take any number."""


class Wanted(msgspec.Struct, frozen=True):
    """What the proxy should do now."""

    epoch: int
    """Of the table that it comes from; 0 without one."""
    splits: tuple[Split, ...]
    unknown: tuple[str, ...] = ()
    """Backends that the table names for our routes and the configuration doesn't know."""

    @property
    def asks(self) -> tuple[object, ...]:
        """What it asks of the proxy, wherever that comes from: equal for two that ask the same."""
        return tuple(
            (split.route, tuple(split.parts.items()), split.shed, tuple(split.most.items()))
            for split in self.splits
        )

    def takes_away(self, before: "Wanted") -> bool:
        """Whether a backend gets nothing any more that got something `before`: that waits for nobody."""
        had = {(split.route, name) for split in before.splits for name, part in split.parts.items() if part}
        return any(
            not part and (split.route, name) in had
            for split in self.splits
            for name, part in split.parts.items()
        )

    @property
    def on_safe(self) -> bool:
        """Whether any route does not follow the table in force."""
        return any(split.source != "table" for split in self.splits)


def wanted(
    routes: Sequence[Route], backends: Sequence[Backend], table: DispatchTable | None, now_ms: int
) -> Wanted:
    """The splits of all routes at a moment: past its expiry the table's safe half, else equal shares.

    A route whose class the table doesn't know follows its weights of all requests together. One
    for which nothing is said that the configuration's backends could follow gets the next best.
    """
    unknown: set[str] = set()
    splits = []
    known = {backend.name for backend in backends}
    for route in routes:
        mine = backends_of(route, backends)
        for source, said in _sayings(route, table, now_ms):
            unknown.update(set(said.weights) - known)
            if split := _split(route, mine, said, source):
                break
        else:
            split = Split(route.name, {name: int(name != route.shed) for name in mine}, source="equal")
        splits.append(split)
    return Wanted(table.epoch if table else 0, tuple(splits), tuple(sorted(unknown)))


def _sayings(route: Route, table: DispatchTable | None, now_ms: int) -> Sequence[tuple[Source, ClassWeights]]:
    """What the table says for the route, best first."""
    if table is None:
        return []
    said: list[tuple[Source, ClassWeights]] = []
    if now_ms < table.expires_at_ms:
        named = [one for one in table.classes if one.name == route.request_class]
        together = ClassWeights(name=ALL_CLASSES, weights=table.weights, most_in_flight=table.most_in_flight)
        said += [("table", one) for one in named or [together]]
    for name in (route.request_class, ALL_CLASSES):
        said += [("safe", one) for one in table.safe if one.name == name]
    return said


def _split(route: Route, mine: Sequence[str], said: ClassWeights, source: Source) -> Split | None:
    parts = {name: said.weights.get(name, 0) for name in mine}
    if not any(parts.values()) and not said.shed:
        return None
    if route.shed:
        parts[route.shed] += said.shed
        return Split(route.name, parts, 0, source, _held(parts, said, route.shed))
    return Split(route.name, parts, said.shed, source, _held(parts, said))


def _held(parts: Mapping[str, int], said: ClassWeights, shed: str = "") -> dict[str, int]:
    """Who of those that get something is held to how many; the one that takes what is shed never is."""
    return {
        name: said.most_in_flight[name]
        for name, part in parts.items()
        if part and said.most_in_flight.get(name) and name != shed
    }
