"""FOCUS rows in and out: what any provider's export says as charges, and charges as FOCUS says them.

A row is a mapping of column names to text, "" for null, as CSV has it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.charge import (
    KINDS,
    Charge,
    CostError,
    Kind,
    amount,
    check_period,
    currency_code,
    identity,
    word,
)
from tidewatt_coordinator.costs.days import day_ms, day_of, iso, parse_time
from tidewatt_coordinator.costs.focus_columns import SERVICE_CATEGORIES, Version, columns

SOURCE = "focus"
Row = Mapping[str, str]
#: Our own columns: what a Charge knows and FOCUS has no word for.
OURS = ("x_ListCost", "x_MarginalCost", "x_TidewattKey", "x_TidewattSource")
#: What a row is about, whatever it costs by now: a later export of the same month has the same.
IDENTITY = (
    "BillingAccountId", "SubAccountId", "BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ServiceName", "RegionId",
    "AvailabilityZone", "ResourceId", "SkuId", "SkuPriceId", "PricingCategory", "CommitmentDiscountId",
    "CommitmentDiscountStatus", "InvoiceId", "Tags", "x_TidewattKey",
)  # fmt: skip
NEEDED = ("BilledCost", "EffectiveCost", "BillingCurrency", "BillingPeriodStart", "ChargeCategory",
          "ChargePeriodStart", "ChargePeriodEnd", "ServiceName")  # fmt: skip
#: Whom edge charges are from where they don't say it: the fleet's owner pays for them himself.
OWN = "Tidewatt edge"


def charges(files: Iterable[tuple[str, Iterable[Row]]]) -> Iterator[tuple[str, Charge]]:
    """The charges of a provider's rows, each with its batch: its billing account and period.

    `files`: where rows are from, and the rows. They are one set: rows that are alike are counted through all
    of them. CostError names the file and the row for what can't be read.
    """
    seen: Counter[str] = Counter()
    for where, rows in files:
        for number, row in enumerate(rows, start=1):
            place = f"{where}, row {number}"
            if number == 1:
                check_needed(row, where)
            what = identity(*(row.get(name, "") for name in IDENTITY))
            seen[what] += 1
            yield batch(row, place), charge(row, f"{what}-{seen[what]}", place)


def check_needed(row: Row, where: str) -> None:
    """CostError if the columns without which nothing can be said are not there."""
    if missing := [name for name in NEEDED if name not in row]:
        raise CostError(f"{where}: not FOCUS: it has no column {', '.join(missing)}")


def batch(row: Row, where: str) -> str:
    """What a provider always exports as a whole: an account's billing period."""
    period = iso(parse_time(row.get("BillingPeriodStart", ""), f"{where}: BillingPeriodStart"))[:10]
    account = row.get("BillingAccountId", "")
    return word(f"{period}/{_provider(row)[:100]}/{account[:100]}")


def charge(row: Row, key: str, where: str) -> Charge:
    """One row as a charge of source "focus"."""
    begin, end = (parse_time(row.get(name, ""), f"{where}: {name}") for name in NEEDED[5:7])
    check_period(begin, end, where)
    ours = bool(row.get("x_TidewattSource"))
    quantity, unit = _quantity(row, where)
    account = row.get("SubAccountId", "") or ("" if ours else row.get("BillingAccountId", ""))
    return Charge(
        source=SOURCE,
        key=key,
        start_ms=begin,
        end_ms=end,
        provider=word(_provider(row)),
        service=word(row.get("ServiceName")),
        category=word(row.get("ServiceCategory")),
        region=word(row.get("RegionId")),
        account=word(account),
        resource=word(row.get("ResourceId")),
        description=word(row.get("ChargeDescription")),
        tags=_tags(row.get("Tags", ""), where),
        quantity=quantity,
        unit=unit,
        billed=amount(row.get("BilledCost", ""), f"{where}: BilledCost"),
        effective=amount(row.get("EffectiveCost", ""), f"{where}: EffectiveCost"),
        marginal=_maybe(row, "x_MarginalCost", where),
        list_cost=_maybe(row, "x_ListCost" if ours else "ListCost", where),
        currency=currency_code(row.get("BillingCurrency", ""), f"{where}: BillingCurrency"),
        kind=_kind(row.get("ChargeCategory", ""), where),
    )


def header(version: Version) -> list[str]:
    """The columns of our own export."""
    return [*(column.name for column in columns(version)), *OURS]


def row(charge: Charge, version: Version) -> dict[str, str]:
    """A charge as a row of our own export, every column of `header` filled or "" for null."""
    month = day_of(charge.start_ms).replace(day=1)
    following = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
    provider = charge.provider or OWN
    measured = charge.quantity is not None
    paid = max(charge.billed, charge.effective)
    known = {
        "BilledCost": text(charge.billed),
        "BillingAccountId": charge.account or provider,
        "BillingCurrency": charge.currency,
        "BillingPeriodStart": iso(day_ms(month)),
        "BillingPeriodEnd": iso(day_ms(following)),
        "ChargeCategory": charge.kind,
        "ChargeDescription": charge.description,
        "ChargeFrequency": "Usage-Based" if charge.kind == "Usage" else "",
        "ChargePeriodStart": iso(charge.start_ms),
        "ChargePeriodEnd": iso(charge.end_ms),
        "ConsumedQuantity": text(charge.quantity) if measured and charge.kind == "Usage" else "",
        "ConsumedUnit": (charge.unit or "Units") if measured and charge.kind == "Usage" else "",
        "ContractedCost": text(paid),
        "EffectiveCost": text(charge.effective),
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ListCost": text(paid if charge.list_cost is None else charge.list_cost),
        "PricingQuantity": text(charge.quantity) if measured else "",
        "PricingUnit": (charge.unit or "Units") if measured else "",
        "ProviderName": provider,
        "PublisherName": provider,
        "RegionId": charge.region,
        "RegionName": charge.region,
        "ResourceId": charge.resource,
        "ResourceName": charge.resource,
        "ServiceCategory": charge.category if charge.category in SERVICE_CATEGORIES else "Other",
        "ServiceName": charge.service or "Other",
        "ServiceProviderName": provider,
        "SubAccountId": charge.account,
        "Tags": msgspec.json.encode(charge.tags, order="deterministic").decode() if charge.tags else "",
        "x_ListCost": text(charge.list_cost),
        "x_MarginalCost": text(charge.marginal),
        "x_TidewattKey": charge.key,
        "x_TidewattSource": charge.source,
    }
    return {name: known.get(name, "") for name in header(version)}


def text(value: Decimal | None) -> str:
    """A number without an exponent; "" for None."""
    return "" if value is None else format(value, "f")


def _provider(row: Row) -> str:
    return row.get("ServiceProviderName") or row.get("ProviderName") or row.get("InvoiceIssuerName") or ""


def _kind(text: str, where: str) -> Kind:
    try:
        return msgspec.convert(text, Kind)  # type: ignore[no-any-return] # Literal is no type to mypy
    except msgspec.ValidationError as error:
        raise CostError(f"{where}: ChargeCategory {text[:40]!r} is none of {', '.join(KINDS)}") from error


def _maybe(row: Row, name: str, where: str) -> Decimal | None:
    value = row.get(name, "")
    return amount(value, f"{where}: {name}") if value else None


def _quantity(row: Row, where: str) -> tuple[Decimal | None, str]:
    for name in ("Consumed", "Pricing"):
        quantity = _maybe(row, f"{name}Quantity", where)
        if quantity is not None:
            return quantity, word(row.get(f"{name}Unit"))
    return None, ""


def _tags(value: str, where: str) -> dict[str, str]:
    """Tags as a JSON object; a tag that is only a key is written true."""
    if not value:
        return {}
    try:
        found = msgspec.json.decode(value, type=dict[str, str | int | float | bool | None])
    except (msgspec.DecodeError, RecursionError) as error:
        raise CostError(f"{where}: Tags {value[:60]!r} is no JSON object of plain values") from error
    return {word(key): one if isinstance(one, str) else _plain(one) for key, one in found.items()}


def _plain(value: float | bool | None) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()
