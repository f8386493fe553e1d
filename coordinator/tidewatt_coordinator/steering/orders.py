"""What operators and the cloud ask of the weights, each with who, why and until when. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.dispatch.backends import Backend

Kind = Literal["freeze", "weights", "drain", "interruption"]
#: An operator's word holds for a day at the most: what shall hold longer belongs in the configuration.
LONGEST_MS = 86_400_000
#: A class's share and a backend's name in it, and so many of them.
Weight = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
MOST_WEIGHTS = 1000


class WrongOrder(ValueError):
    """An order that can't be followed; the sentence says why."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order."""

    id: str
    kind: Kind
    by: str
    why: str
    made_ms: int
    until_ms: int
    backend: str = ""
    """drain, interruption: the one that is to get nothing."""
    request_class: str = ""
    """weights: the class; empty: every class."""
    weights: dict[str, Weight] = {}
    """weights: by backend, in any measure."""
    ended_ms: int | None = None
    """When it was taken back before its time,"""
    ended_by: str = ""
    """and by whom."""
    in_force_ms: int | None = None
    """When the first table that follows it was on the broker."""

    def holds(self, now_ms: int) -> bool:
        """Whether it is to be followed now."""
        return self.ended_ms is None and now_ms < self.until_ms

    @property
    def sentence(self) -> str:
        """The order with its author and its end."""
        until = f"until {clock(self.until_ms)}"
        why = f" ({self.why})" if self.why else ""
        match self.kind:
            case "freeze":
                return f"frozen by {self.by} {until}{why}"
            case "weights":
                what = f"class {self.request_class}" if self.request_class else "every class"
                return f"weights of {what} set by {self.by} {until}{why}"
            case "drain":
                return f"{self.backend} gets nothing {until}, says {self.by}{why}"
            case "interruption":
                return f"{self.backend} gets nothing {until}: {self.why}"


def clock(at_ms: int) -> str:
    """A moment as people read it, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000.0, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def check(order: Order) -> Order:
    """The order; WrongOrder for one that says nothing, or for too long."""
    if order.until_ms <= order.made_ms:
        raise WrongOrder("it would be over before it begins")
    if order.kind != "interruption" and order.until_ms - order.made_ms > LONGEST_MS:
        raise WrongOrder(
            f"an order holds for {LONGEST_MS // 3_600_000} hours at the most; what shall hold longer belongs "
            "in the configuration"
        )
    if order.kind == "weights" and not (
        0 < len(order.weights) <= MOST_WEIGHTS and sum(order.weights.values()) > 0.0
    ):
        raise WrongOrder(f"weights need 1 to {MOST_WEIGHTS} backends, and one of them above 0")
    if order.kind in ("drain", "interruption") and not order.backend:
        raise WrongOrder("which backend is to get nothing?")
    return order


def drained(backends: Iterable[Backend], orders: Sequence[Order]) -> list[Backend]:
    """The backends, with those draining that an order takes everything from."""
    gone = {one.backend for one in orders if one.kind in ("drain", "interruption")}
    return [replace(one, draining=True) if one.name in gone else one for one in backends]


def weights_of(orders: Sequence[Order], name: str) -> Order | None:
    """The order on a class's weights: the newest that names the class or every class."""
    fitting = [one for one in orders if one.kind == "weights" and one.request_class in ("", name)]
    return max(fitting, key=lambda one: (one.made_ms, one.id), default=None)


def freeze_of(orders: Sequence[Order]) -> Order | None:
    """The freeze that holds."""
    return max((one for one in orders if one.kind == "freeze"), key=lambda one: one.made_ms, default=None)
