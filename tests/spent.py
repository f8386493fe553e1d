"""What the tests of drivers share that look at what was spent."""

from datetime import datetime, timezone
from decimal import Decimal

from tidewatt_coordinator.levers.driver import Context
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.questions.rows import Cost

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
TODAY = NOW.date()
CONTEXT = Context(now_ms=NOW_MS, spending={"AWS Lambda": Decimal(300)})
EC2 = "Amazon Elastic Compute Cloud - Compute"
BOOK = load_book()


def cost(*key: str, effective: float | str, currency: str = "USD") -> Cost:
    amount = Decimal(str(effective))
    return Cost(key=key, currency=currency, billed=amount, effective=amount, marginal=None)
