"""What comes with the product: templates, the reference service, board profiles."""

from datetime import date
from functools import lru_cache
from importlib import resources

import msgspec

from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.simulate.reference import Reference
from tidewatt_coordinator.simulate.scenario import Means, Template
from tidewatt_governor.boards import load_profile, shipped_profiles
from tidewatt_wire.documents import parse_toml


class _Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    template: list[Template]


def templates() -> dict[str, Template]:
    """By name."""
    return {
        one.name: one for one in parse_toml(_text("templates.toml"), _Templates, name="templates").template
    }


@lru_cache(maxsize=1)
def reference() -> Reference:
    """The reference service."""
    return parse_toml(_text("reference.toml"), Reference, name="reference.toml")


def means(book: PriceBook, on: date) -> Means:
    """With the shipped profiles."""
    return Means(book, on, {name: load_profile(name) for name in shipped_profiles()})


def _text(name: str) -> str:
    return resources.files("tidewatt_coordinator.data.scenarios").joinpath(name).read_text("utf-8")
