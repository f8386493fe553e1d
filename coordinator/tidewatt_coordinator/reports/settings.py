"""The [reports] section of the coordinator's file: when a month's report is sent, and to whom."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_coordinator.alerts.settings import Email, wrong_address

Format = Literal["html", "pdf", "csv", "focus"]


class Reports(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The report of a month, e-mailed in the month after."""

    email: str = ""
    """The name of the [[alerts.email]] whose server sends it; empty: reports aren't sent."""
    to: list[str] = []
    """Addresses; empty: those of the [[alerts.email]]."""
    day: Annotated[int, msgspec.Meta(ge=1, le=28)] = 6
    """Of the month after: clouds correct a month's bill for some days."""
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 7
    """Of that day, by the clock of `zone`."""
    zone: str = "UTC"
    """Such as Europe/Berlin. The report's own days are of UTC, as bills are."""
    formats: list[Format] = msgspec.field(default_factory=lambda: ["html", "pdf"])
    """html, pdf, csv, focus: one attachment each."""


def wrong_reports(reports: Reports, emails: Sequence[Email]) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    try:
        ZoneInfo(reports.zone)
    except (OSError, ValueError, KeyError):  # not found is a KeyError, a folder's name an OSError
        yield f"reports.zone {reports.zone!r} is not a time zone such as Europe/Berlin"
    names = [one.name for one in emails]
    if reports.email and reports.email not in names:
        known = ", ".join(names) or "none"
        yield f"reports.email {reports.email!r} is no [[alerts.email]]; there are: {known}"
    if reports.to and not reports.email:
        yield "reports.to names addresses, but reports.email names no [[alerts.email]] that sends to them"
    if not reports.formats or len(set(reports.formats)) < len(reports.formats):
        yield "reports.formats is empty, or names one twice"
    for address in reports.to:
        yield from wrong_address(address, "reports.to")
