"""What the ledger stores. Made and changed only by the migrations; a test holds the two together."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, text

from tidewatt_coordinator.ledger.arithmetic import COUNTERS

metadata = MetaData()


#: "Nothing is waiting to be rolled up": later than any time.
NEVER_MS = 2**62


def _key() -> list[Column[Any]]:
    # Time first: what comes in lies together at the end of the table, which makes a merge four times as
    # fast as by device, and what is old can be dropped by its partition.
    return [
        Column("bucket_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("device", String(63), primary_key=True),
        Column("epoch", String(64), primary_key=True),
    ]


def _whole(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _span(*counters: str) -> list[Column[int]]:
    """The columns of a Span: its times, then least and greatest of every counter."""
    return _whole(
        "first_ms",
        "last_ms",
        *(f"{counter}_{end}" for counter in counters for end in ("least", "greatest")),
    )


#: One row per device, epoch and bucket.
device_bucket = Table("device_bucket", metadata, *_key(), *_span(*COUNTERS), sqlite_with_rowid=False)

#: The same for the time spent in each power mode.
mode_bucket = Table(
    "mode_bucket",
    metadata,
    *_key(),
    Column("mode", String(63), primary_key=True),
    *_span("mode_ms"),
    sqlite_with_rowid=False,
)

#: One row per device and epoch: its greatest counters; since when its buckets have changed after they
#: were rolled up last (`dirty_ms`), or compared with fixed modes (`compare_ms`); and where rolling up can
#: begin again: an hour that has reports, and the counters at its start. An hour of -1 means from the first
#: report on.
device_life = Table(
    "device_life",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    *_whole("dirty_ms", "last_ms", *(f"{counter}_greatest" for counter in COUNTERS)),
    Column("resume_ms", BigInteger, nullable=False, server_default=text("-1")),
    *(
        Column(f"{counter}_resume", BigInteger, nullable=False, server_default=text("0"))
        for counter in COUNTERS
    ),
    Column("compare_ms", BigInteger, nullable=False, server_default=text(str(NEVER_MS))),
    Index("ix_device_life_dirty_ms", "dirty_ms"),
    Index("ix_device_life_compare_ms", "compare_ms"),
    sqlite_with_rowid=False,
)

#: The greatest time and energy asleep of a life, and of each of its days: of lives that sleep alone.
asleep_life = Table(
    "asleep_life",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    *_whole("asleep_mj", "asleep_ms"),
    sqlite_with_rowid=False,
)
asleep_day = Table(
    "asleep_day",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False, index=True),
    *_whole("asleep_mj", "asleep_ms"),
    sqlite_with_rowid=False,
)

#: What a device used in an hour: differences of counters, that sum to the counters themselves.
hour_use = Table(
    "hour_use",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    *_whole(*COUNTERS),
    sqlite_with_rowid=False,
)

#: The same for a day (UTC), and the site that the device stood at. `first_hour_ms` is the first hour of it
#: that has reports (-1 for none), the `_at` columns the counters at that hour's start.
day_use = Table(
    "day_use",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("site", String(200), nullable=False),
    *_whole(*COUNTERS, "first_hour_ms", *(f"{counter}_at" for counter in COUNTERS)),
    sqlite_with_rowid=False,
)

#: The sum of `day_use` over a site's devices.
site_day = Table(
    "site_day",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("site", String(200), primary_key=True),
    *_whole(*COUNTERS),
    sqlite_with_rowid=False,
)

#: How often a day was rolled up: by it who keeps a copy of the hours sees which days are new.
day_version = Table(
    "day_version",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

#: How often an hour was rolled up anew: by it who reckons with hours sees which are new.
hour_version = Table(
    "hour_version",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

#: The days whose edge charges are kept: of which hours, the sum of these hours' versions, under which terms
#: (a hash), and how often they were worked out.
edge_settled = Table(
    "edge_settled",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    *_whole("from_ms", "until_ms", "versions", "times"),
    Column("terms", String(64), nullable=False),
)

#: A site's energy in an hour of such a day, and what it paid for it, in 10^-12 of the currency: with whole
#: numbers the database can add up.
edge_site_hour = Table(
    "edge_site_hour",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("site", String(200), primary_key=True),
    Column("currency", String(3), nullable=False),
    *_whole("energy_mj", "cost_e12"),
    sqlite_with_rowid=False,
)

#: The months of a site's clock whose demand charges are kept, and how often their days had been worked out.
edge_month = Table(
    "edge_month",
    metadata,
    Column("month_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("site", String(200), primary_key=True),
    *_whole("times"),
)

#: What fixed modes would have used (`name`, as in compared.py), summed over the lives of a day.
compared_day = Table(
    "compared_day",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(80), primary_key=True),
    *_whole("lives", "energy_mj", "violating_ms", "lived_ms"),
    sqlite_with_rowid=False,
)

#: One life's part of that, as JSON, and the counters of the day's last report, where the next one begins.
compared_life = Table(
    "compared_life",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("epoch", String(64), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("parts", Text, nullable=False),
    Column("knot", Text, nullable=False),
    sqlite_with_rowid=False,
)

#: How the scheduled import of each source of costs stands.
cost_import = Table(
    "cost_import",
    metadata,
    Column("source", String(20), primary_key=True),
    *_whole("tried_ms", "succeeded_ms", "failures", "charges"),
    Column("error", Text, nullable=False),
)

#: Where each device stands now.
device_site = Table(
    "device_site",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("site", String(200), nullable=False),
)

#: Reports that can't be true, each once, with the reason.
quarantine = Table(
    "quarantine",
    metadata,
    Column("device", String(63), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("came_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("code", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
)

#: Facts that hold for the whole ledger, such as its bucket length.
ledger_fact = Table(
    "ledger_fact",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
)

#: A promise of one certificate, by the hash of its token; it is used at most once.
enroll_token = Table(
    "enroll_token",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("device", String(63)),
    Column("made_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("used_by", String(63)),
)

#: Every certificate that the fleet's CA gave out; the serial number in hexadecimal digits.
issued_certificate = Table(
    "issued_certificate",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("name", String(255), nullable=False, index=True),
    Column("kind", String(15), nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

#: Policy documents as people wrote them, each once, with who put it in force or on its way first.
policy_document = Table(
    "policy_document",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("language", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

#: What each fleet's operator wants: a rollout.standing.Standing as JSON. `version` rises with every write.
policy_standing = Table(
    "policy_standing",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("standing", Text, nullable=False),
)

#: What happened to it, by whom and why; `fencing` is the lease's number where the coordinator did it.
policy_event = Table(
    "policy_event",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("what", String(20), nullable=False),
    Column("author", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", String(64), nullable=False),
    Column("fencing", BigInteger, nullable=False),
)

#: Who of several coordinators advances rollouts and publishes.
lease = Table(
    "lease",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

#: The devices as last heard of, for commands that run while no coordinator does.
known_device = Table(
    "known_device",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("device", String(63), primary_key=True),
    Column("status", String(10), nullable=False),
    Column("labels", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("ack", String(20), nullable=False),
    Column("code", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("skew_ms", BigInteger, nullable=True),
    Column("seen_ms", BigInteger, nullable=False),
)

#: A charge that spans days, and one of the cloud: in the very words of their indexes, else SQLite doesn't use
#: those. The edge's charges are a thousand times as many.
OVER_DAYS = "start_ms / 86400000 <> (end_ms - 1) / 86400000"
OF_CLOUD = "source <> 'edge'"

#: What something costs, a costs.charge.Charge: money and quantities as decimal text, tags as JSON. `batch`
#: names what a source always says as a whole, and replaces as a whole, at `taken_ms`.
charge = Table(
    "charge",
    metadata,
    Column("source", String(20), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("batch", String(300), nullable=False),
    Column("taken_ms", BigInteger, nullable=False),
    Column("start_ms", BigInteger, nullable=False, index=True),
    Column("end_ms", BigInteger, nullable=False),
    *(
        Column(name, Text, nullable=False)
        for name in ("provider", "service", "category", "region", "account", "resource", "description")
    ),
    Column("tags", Text, nullable=False),
    Column("quantity", Text),
    Column("unit", Text, nullable=False),
    Column("billed", Text, nullable=False),
    Column("effective", Text, nullable=False),
    Column("marginal", Text),
    Column("list_cost", Text),
    Column("currency", String(3), nullable=False),
    Column("kind", String(10), nullable=False),
    Index("ix_charge_batch", "source", "batch"),
    Index(
        "ix_charge_cloud", "source", "start_ms", sqlite_where=text(OF_CLOUD), postgresql_where=text(OF_CLOUD)
    ),
    Index("ix_charge_over_days", "start_ms", sqlite_where=text(OVER_DAYS), postgresql_where=text(OVER_DAYS)),
)

#: How often a source that costs money for each call was asked on a day of UTC.
cost_call = Table(
    "cost_call",
    metadata,
    Column("source", String(20), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("calls", BigInteger, nullable=False),
)

#: Budgets that a cloud told of: of each month what it told last, a costs.awsbudgets.CloudBudget as JSON.
cloud_budget = Table(
    "cloud_budget",
    metadata,
    Column("month", String(7), primary_key=True),
    Column("account", String(20), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("told", Text, nullable=False),
)

#: What a zone's electricity emitted per kWh, as one source told it; `kind` is average or marginal.
carbon_intensity = Table(
    "carbon_intensity",
    metadata,
    Column("zone", String(63), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("source", String(20), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("grams_per_kwh", String(40), nullable=False),
    Column("estimated", Integer, nullable=False),
)

#: Alerts, each episode a row: an alerts.episodes.Standing, details as JSON.
alert = Table(
    "alert",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("episode", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("summary", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("acked_ms", BigInteger),
    Column("acked_by", Text, nullable=False),
    Column("note", Text, nullable=False),
)

#: What is to be told to a target, and was: `step` orders what one episode tells, `due_ms` and `done_ms`
#: are real time; `payload` is the wire's Alert.
alert_delivery = Table(
    "alert_delivery",
    metadata,
    Column("event", String(32), primary_key=True),
    Column("target", String(63), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("episode", BigInteger, nullable=False),
    Column("step", Integer, nullable=False),
    Column("payload", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("done_ms", BigInteger),
    Column("error", Text, nullable=False),
    Index("ix_alert_delivery_waiting", "fleet", "done_ms", "due_ms"),
)

#: The edge's charges by day and site, summed over its devices: each sum in units, millionths, and millionths
#: of these. `marginal`: each one's quantity at its price of one more; `counted`: how many have a quantity,
#: `priced`: how many a price with it.
edge_day = Table(
    "edge_day",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("day_ms", BigInteger, nullable=False, index=True),
    *(
        Column(name, Text, nullable=False)
        for name in ("provider", "service", "category", "region", "account", "description")
    ),
    Column("tags", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("currency", String(3), nullable=False),
    *_whole(
        "counted",
        "priced",
        *(f"{name}_{part}" for name in ("billed", "effective", "quantity", "marginal") for part in range(3)),
    ),
)

#: Which of these days must be summed anew: `version` rises with every change, `summed` is the one that was.
edge_day_mark = Table(
    "edge_day_mark",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    *_whole("version", "summed"),
)

#: A change that was to save money, a questions.changes.Change: when it began and was in force whole, what it
#: touched (JSON), and the saving that was predicted, as decimal text: per month, or as a share.
change = Table(
    "change",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("what", Text, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("undone_ms", BigInteger),
    Column("selector", Text, nullable=False),
    Column("predicted_per_month", Text),
    Column("predicted_share", Text),
    Column("currency", String(3), nullable=False),
    Column("evidence", Text, nullable=False),
)

#: The report of a month as it was e-mailed. `due_ms` (real time): until then whoever tries holds it, or
#: nobody is to try again.
report_sent = Table(
    "report_sent",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("due_ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("error", Text, nullable=False),
)

#: What was ordered of the routing weights, a steering.orders.Order as JSON; what changes of it has a column.
dispatch_order = Table(
    "dispatch_order",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("ended_by", Text, nullable=False),
    Column("in_force_ms", BigInteger),
    Column("content", Text, nullable=False),
    Index("ix_dispatch_order_until", "fleet", "until_ms"),
)

#: The last dispatch table with all that it was made of: a steering.book.Kept as JSON.
dispatch_state = Table(
    "dispatch_state",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
)

#: The last plan of the fleet: a hinting.shown.Shown as JSON.
plan_state = Table(
    "plan_state",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("minute", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
)

#: A proposed change with its journal's last word, a proposals.state.Proposal as JSON; what is looked for has
#: a #: column. `same`: the digest of what it would do; `begun_ms`: when it was first sent.
proposal = Table(
    "proposal",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("fleet", String(63), nullable=False),
    Column("same", String(64), nullable=False),
    Column("driver", String(63), nullable=False),
    Column("target", Text, nullable=False),
    Column("service", String(255), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("begun_ms", BigInteger),
    Column("version", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Index("ix_proposal_stage", "fleet", "stage"),
    Index("ix_proposal_same", "fleet", "same", "made_ms"),
    Index("ix_proposal_service", "fleet", "service", "made_ms"),
)

#: Every stage that a proposal came to, with who, why, and the lease's number.
proposal_event = Table(
    "proposal_event",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
)

#: The global stop: while a fleet has a row, nothing is applied.
lever_freeze = Table(
    "lever_freeze",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

#: What requests with an idempotency key were answered; `asked` is the digest of the request.
answered = Table(
    "answered",
    metadata,
    Column("fleet", String(63), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("asked", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
