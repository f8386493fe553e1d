"""Athena: advice on the bytes that queries scan, which are what it costs."""

from collections.abc import Iterator
from datetime import date
from statistics import fmean

from tidewatt_coordinator.levers.advice import Advice, Told
from tidewatt_coordinator.levers.aws.client import Aws, aws
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.driver import Setting
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, exact, shares

TERABYTE, MEGABYTE = 2**40, 2**20
#: Formats that a query reads whole, whatever it asks for.
ROWS = ("TextInputFormat", "json", "Json", "OpenCSV", "Regex", "Grok", "LazySimple", "Avro")
#: What is billed: failed queries are not, cancelled ones are for what they had scanned.
BILLED = ("SUCCEEDED", "CANCELED")
SHOWN = 5


class AthenaDriver(Advice):
    """See levers/advice.py."""

    name = "athena"
    service = "Amazon Athena"
    calls = (
        "athena:GetWorkGroup", "athena:ListWorkGroups", "cloudwatch:GetMetricData", "glue:GetDatabases",
        "glue:GetTables",
    )  # fmt: skip

    def look(self, now_ms: int) -> Iterator[Setting]:
        """Every workgroup, with its days' bytes and queries, and the catalogue's tables kept by rows."""
        rows, whole = self._tables()
        with aws("athena", self.settings) as athena, aws("cloudwatch", self.settings) as watch:
            for name in _workgroups(athena):
                told = athena.call("GetWorkGroup", WorkGroup=name)["WorkGroup"].get("Configuration", {})
                asked = {
                    f"{stat} {state}": Series(
                        "AWS/Athena",
                        "ProcessedBytes",
                        (("QueryState", state), ("QueryType", "DML"), ("WorkGroup", name)),
                        stat,
                    )
                    for state in BILLED
                    for stat in ("Sum", "SampleCount")
                }
                found = series(watch, asked, now_ms=now_ms, days=self.settings.days)
                yield self.setting(
                    f"athena://{name}",
                    scanned=_added(found, "Sum"),
                    queries=_added(found, "SampleCount"),
                    bounded=bool(told.get("BytesScannedCutoffPerQuery")),
                    rows=rows,
                    whole=whole,
                )

    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """Columns and partitions, where tables lack them."""
        facts = one.facts
        if not facts["scanned"] or not (facts["rows"] or facts["whole"]):
            return
        found = self.price("aws-other", "athena-scanned", day)
        least = float(found.price.limits["minimum_mb"]) * MEGABYTE
        billed = [
            max(size, count * least) for size, count in zip(facts["scanned"], facts["queries"], strict=True)
        ]
        cost = exact(fmean(billed) / TERABYTE) * DAYS_PER_MONTH * found.price.marginal()
        evidence = [
            (
                f"{sum(facts['scanned']) / TERABYTE:.3g} TiB read by {sum(facts['queries']):.0f} queries in"
                f" {len(billed)} days; each is billed for {least / MEGABYTE:.0f} MiB at least"
            ),
            f"saves between {self.settings.saves[0]:.0%} and {self.settings.saves[1]:.0%} of it: assumed",
        ]
        for what, names in (("kept by rows", facts["rows"]), ("without partitions", facts["whole"])):
            if names:
                evidence.append(f"{len(names)} tables {what}, such as {', '.join(names[:SHOWN])}")
        if not facts["bounded"]:
            evidence.append("the workgroup bounds no query: BytesScannedCutoffPerQuery would")
        yield Told(
            what=f"keep what {one.target} scans in partitions, as Parquet or ORC",
            saving=shares(cost, self.settings.saves, found.table.currency),
            spending=cost,
            evidence=evidence,
            risk="low",
        )

    def _tables(self) -> tuple[list[str], list[str]]:
        rows, whole = [], []
        with aws("glue", self.settings) as glue:
            bases = [base["Name"] for page in glue.pages("GetDatabases") for base in page["DatabaseList"]]
            for base in bases:
                for page in glue.pages("GetTables", DatabaseName=base):
                    for table in page["TableList"]:
                        kept = table.get("StorageDescriptor", {})
                        form = kept.get("InputFormat", "") + kept.get("SerdeInfo", {}).get(
                            "SerializationLibrary", ""
                        )
                        if any(one in form for one in ROWS):
                            rows.append(f"{base}.{table['Name']}")
                        if form and not table.get("PartitionKeys"):
                            whole.append(f"{base}.{table['Name']}")
        return sorted(rows), sorted(whole)


def _workgroups(athena: Aws) -> Iterator[str]:
    # botocore has no paginator for it.
    token: dict[str, str] = {}
    while True:
        page = athena.call("ListWorkGroups", **token)
        yield from (one["Name"] for one in page["WorkGroups"])
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _added(found: dict[str, list[float]], stat: str) -> list[float]:
    some = [values for name, values in found.items() if name.startswith(stat) and values]
    return [sum(each) for each in zip(*some, strict=True)]
