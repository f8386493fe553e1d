"""What the ledger measured of the edge's promise: of all boards together, by bucket."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from sqlalchemy import Engine, func, select

from tidewatt_coordinator.ledger.tables import device_bucket
from tidewatt_coordinator.sla.evidence import Evidence
from tidewatt_coordinator.sla.judging import Measure
from tidewatt_coordinator.sla.objectives import Metric, Service
from tidewatt_coordinator.sla.verdict import Series


def by_bucket(services: Sequence[Service], bucket_ms: int) -> list[Service]:
    """The services, those of the ledger with steps no shorter than its buckets."""
    return [replace(one, step_s=max(one.step_s, bucket_ms / 1000)) if one.ledger else one for one in services]


def measuring(evidence: Evidence, database: Engine, bucket_ms: int) -> Measure:
    """Prometheus' metrics, and the ledger's for services that want them."""

    def measure(service: Service, until_ms: int) -> Mapping[Metric, Series]:
        found = dict(evidence.measured(service, until_ms))
        if service.ledger:
            from_ms = until_ms - round(service.window_s * 1000)
            found |= edge(database, bucket_ms, from_ms, until_ms)
        return found

    return measure


def edge(database: Engine, bucket_ms: int, from_ms: int, until_ms: int) -> dict[Metric, Series]:
    """The boards' promise and rate by the end of the bucket; buckets that have not ended are left out.

    Within a bucket, from each board's first report in it to its last. A bucket in which nothing was judged
    has no value.
    """
    table = device_bucket.c
    lived = table.last_ms - table.first_ms
    violating = table.violating_ms_greatest - table.violating_ms_least
    unjudged = table.unjudged_ms_greatest - table.unjudged_ms_least
    requests = table.requests_greatest - table.requests_least
    sums = select(
        table.bucket_ms,
        func.sum(lived - unjudged),
        func.sum(violating),
        func.sum(requests),
        func.max(table.last_ms) - func.min(table.first_ms),
    ).where(table.bucket_ms >= from_ms, table.bucket_ms <= until_ms - bucket_ms)
    promise: dict[int, float] = {}
    rates: dict[int, float] = {}
    with database.connect() as connection:
        for begin_ms, judged, broken, served, span_ms in connection.execute(sums.group_by(table.bucket_ms)):
            if judged > 0:
                promise[int(begin_ms) + bucket_ms] = 1.0 - min(1.0, int(broken) / int(judged))
            if span_ms > 0:
                rates[int(begin_ms) + bucket_ms] = int(served) / int(span_ms) * 1000.0
    return {"promise": promise, "throughput_rps": rates}
