"""Charges, budgets that clouds told of, carbon, changes that were to save, reports that were sent."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from tidewatt_coordinator.ledger.tables.columns import metadata, whole

#: How the scheduled import of each source of costs stands.
cost_import = Table(
    "cost_import",
    metadata,
    Column("source", String(20), primary_key=True),
    *whole("tried_ms", "succeeded_ms", "failures", "charges"),
    Column("error", Text, nullable=False),
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
