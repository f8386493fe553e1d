"""What no single key of [costs] shows to be wrong, known at the start, not at the month's end. Pure."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from tidewatt_coordinator.costs.charge import CostError, amount, currency_code
from tidewatt_coordinator.costs.costexplorer import group_definitions
from tidewatt_coordinator.costs.days import day_of, month
from tidewatt_coordinator.costs.settings import Costs, Invoice

ACCOUNT_DIGITS = 12


def wrong_costs(costs: Costs) -> Iterator[str]:
    """One sentence each."""
    yield from _wrong_invoices(costs.invoices)
    for name, one in (("opencost", costs.opencost), ("prometheus", costs.prometheus)):
        place = urlsplit(one.url)
        if one.url and (place.scheme not in ("http", "https") or not place.hostname):
            yield f"costs.{name}.url {one.url!r} is not an http:// or https:// address"
        yield from wrong_currency(one.currency, f"costs.{name}.currency")
    if costs.cost_explorer.enabled:
        try:
            group_definitions(costs.cost_explorer.group_by)
        except CostError as error:
            yield str(error)
    account = costs.aws_budgets.account
    if account and not (account.isascii() and account.isdigit() and len(account) == ACCOUNT_DIGITS):
        yield f"costs.aws_budgets.account {account!r} has not the {ACCOUNT_DIGITS} digits of an AWS account"


def wrong_currency(code: str, where: str) -> Iterator[str]:
    """A sentence unless it is a code as charges bear it."""
    try:
        right = currency_code(code, where)
    except CostError as error:
        yield str(error)
    else:
        if right != code:
            yield f"{where}: {code!r} is written {right}"


def _wrong_invoices(invoices: list[Invoice]) -> Iterator[str]:
    seen: dict[tuple[str, str], int] = {}
    for number, one in enumerate(invoices):
        where = f"costs.invoices[{number}]"
        try:
            first = day_of(month(one.month, f"{where}.month").start_ms)
            currency = currency_code(one.currency, f"{where}.currency")
            amount(one.amount, f"{where}.amount")
        except CostError as error:
            yield str(error)
            continue
        other = seen.setdefault((f"{first:%Y-%m}", currency), number)
        if other != number:
            both = f"costs.invoices[{other}] ({invoices[other].amount}) and {where} ({one.amount})"
            yield f"{both} are both of {first:%Y-%m} in {currency}: write their sum, or only the right one"
