"""The link's and the spool's metric families."""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tidewatt_agent.link import Link


def link_families(link: Link) -> Iterator[Metric]:
    """Whether broker and coordinator are there, and what waits for them."""
    outbox = link.outbox
    yield GaugeMetricFamily("tidewatt_link_connected", "1 while the broker is connected", link.connected)
    yield CounterMetricFamily(
        "tidewatt_link_unasked",
        "Messages that the broker sent on topics that nobody here subscribed to; dropped",
        link.unasked,
    )
    expires = GaugeMetricFamily(
        "tidewatt_link_certificate_expires_seconds",
        "Seconds until the certificate that is shown to the broker ends; negative: it has",
    )
    if (ends_s := link.certificate_ends_s) is not None:
        expires.add_metric([], ends_s - time.time())  # TLS lives in real time, whatever the board's is
    yield expires
    if link.coordinators.online is not None:
        yield GaugeMetricFamily(
            "tidewatt_agent_coordinator_online",
            "1 while a coordinator is there, by its own word or the broker's; absent while that isn't known",
            link.coordinators.online,
        )
    waiting = GaugeMetricFamily(
        "tidewatt_reports_waiting", "Reports that wait to be sent, by where they wait", labels=["where"]
    )
    waiting.add_metric(["memory"], outbox.fresh)
    if outbox.spools:
        waiting.add_metric(["spool"], outbox.stored)
    yield waiting
    yield CounterMetricFamily(
        "tidewatt_reports_thinned",
        "Reports given up for room; their totals are in later ones",
        outbox.thinned,
    )
    if not outbox.spools:
        return
    yield CounterMetricFamily(
        "tidewatt_reports_replayed", "Reports sent from the spool and acknowledged", outbox.replayed
    )
    yield GaugeMetricFamily("tidewatt_spool_bytes", "The spool's file, as far as it is in use", outbox.size)
    yield GaugeMetricFamily(
        "tidewatt_spool_failing",
        "1 while the spool can't be used and reports wait in memory; the log says why",
        outbox.trouble is not None,
    )
