"""A tariff as a contract states it. Pure.

The shipped flat tariff is the simplest one: every key beyond its five is optional.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from tidewatt_wire.documents import DocumentError, parse_toml

DayType = Literal["weekday", "weekend", "holiday", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[DayType, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SATURDAY = 5

#: Every time zone has been a multiple of this from UTC since 1972, so nothing changes within one.
QUARTER_MINUTES = 15
MINUTES_PER_DAY = 1440

Clock = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):(00|15|30|45)$|^24:00$")]
MonthDay = Annotated[str, msgspec.Meta(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]


class Season(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A part of every year, its first and last day included; it may go over the new year."""

    name: str
    from_: MonthDay
    to: MonthDay

    def holds(self, day: date) -> bool:
        """Whether a day is in it."""
        at = f"{day.month:02}-{day.day:02}"
        if self.from_ <= self.to:
            return self.from_ <= at <= self.to
        return at >= self.from_ or at <= self.to


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Some hours of some days by the tariff's clock. Over midnight, each side belongs to its own day."""

    name: str = ""
    season: str = ""
    """A season's name; empty means all year."""
    days: list[DayType] = []
    """Empty means every day. A holiday is a `holiday` only: no weekday, no weekend, no monday."""
    from_: Clock = "00:00"
    to: Clock = "24:00"

    def holds(self, day: date, minute: int, *, holiday: bool, season: Season | None) -> bool:
        """Whether a local minute of a day is in them."""
        if season is not None and not season.holds(day):
            return False
        if self.days and not any(kind in self.days for kind in day_types(day, holiday=holiday)):
            return False
        first, end = minutes(self.from_), minutes(self.to)
        return first <= minute < end if first < end else minute >= first or minute < end


class Window(Hours, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Hours with a price of their own."""

    price_per_kwh: Decimal


class Demand(Hours, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A price for the month's greatest mean power, within some hours."""

    price_per_kw: Decimal
    """For the calendar month by the tariff's clock."""
    minutes: Literal[15, 30, 60] = 15
    """Length of what the mean is taken over."""


class DayAhead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices that are known a day before, times a factor, plus a fee."""

    file: str
    """CSV beside the tariff; see dayahead.py for its two forms."""
    times: Decimal = Decimal(1)
    add_per_kwh: Decimal = Decimal(0)


class ElectricityTariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a site pays for electricity. Of its windows the first that holds gives the price."""

    name: str
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    price_per_kwh: Decimal
    """Where nothing else holds. Decimals stand in quotes, so that they are exact."""
    valid_from: date
    source: str
    zone: Annotated[str, msgspec.Meta(max_length=64)] = "UTC"
    """IANA time zone of the tariff's clock."""
    holidays: list[str] = []
    """Days as 2026-11-26, or every year's as 12-25."""
    season: list[Season] = []
    window: list[Window] = []
    day_ahead: DayAhead | None = None
    """Comes before windows; hours that it has no price for go by them."""
    demand: list[Demand] = []
    per_month: Decimal = Decimal(0)
    """Standing charge of the meter."""
    export_per_kwh: Decimal = Decimal(0)
    """What the grid pays for what the site's own plant makes too much."""

    def is_holiday(self, day: date) -> bool:
        """Whether a day is one of the contract's holidays."""
        return day.isoformat() in self.holidays or day.isoformat()[5:] in self.holidays

    def find_season(self, name: str) -> Season | None:
        """The season of a name."""
        return next((season for season in self.season if season.name == name), None)

    def wrong(self) -> Iterator[str]:
        """What no single field shows to be wrong, one sentence each."""
        numbers = {
            "price_per_kwh": self.price_per_kwh,
            "per_month": self.per_month,
            "export_per_kwh": self.export_per_kwh,
        }
        for name, number in numbers.items():
            if not number.is_finite() or (number < 0 and name != "price_per_kwh"):
                yield f"{name} {number} is not a price"
        if self.price_per_kwh < 0:
            yield f"price_per_kwh {self.price_per_kwh} is not a price"
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield f"zone {self.zone!r} is no IANA time zone such as Europe/Berlin"
        for text in self.holidays:
            if not _is_day(text):
                yield f"holidays: {text!r} is neither a day like 2026-11-26 nor one like 12-25"
        yield from self._wrong_hours("window", [(one, one.price_per_kwh) for one in self.window])
        yield from self._wrong_hours("demand", [(one, one.price_per_kw) for one in self.demand])

    def _wrong_hours(self, key: str, parts: Iterable[tuple[Hours, Decimal]]) -> Iterator[str]:
        names = [season.name for season in self.season]
        for number, (hours, price) in enumerate(parts, 1):
            where = f"{key} {hours.name or number}"
            if hours.season and hours.season not in names:
                yield f"{where}: there is no season {hours.season!r}; there are: {', '.join(names) or 'none'}"
            if hours.from_ in {hours.to, "24:00"}:
                yield f"{where}: from {hours.from_} to {hours.to} is no time of the day"
            if not price.is_finite():
                yield f"{where}: {price} is not a price"


def parse_tariff(text: str, name: str) -> ElectricityTariff:
    """The tariff in a file's text; DocumentError says what is wrong with it."""
    tariff = parse_toml(text, ElectricityTariff, name=name)
    for sentence in tariff.wrong():
        raise DocumentError(f"{name}: {sentence}")
    return tariff


def day_types(day: date, *, holiday: bool) -> tuple[DayType, ...]:
    """What a day counts as."""
    if holiday:
        return ("holiday",)
    return ("weekend" if day.weekday() >= SATURDAY else "weekday", DAYS[day.weekday()])


def minutes(clock: str) -> int:
    """Minutes since midnight of HH:MM."""
    return int(clock[:2]) * 60 + int(clock[3:])


def _is_day(text: str) -> bool:
    if re.fullmatch(r"\d{2}-\d{2}", text):
        text = f"2000-{text}"  # a leap year, so that 02-29 is a day
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
