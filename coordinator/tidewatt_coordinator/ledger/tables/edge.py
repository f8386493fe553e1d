"""What the edge was charged, and which of it must be reckoned anew."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from tidewatt_coordinator.ledger.tables.columns import metadata, whole

#: The days whose edge charges are kept: of which hours, the sum of these hours' versions, under which terms
#: (a hash), and how often they were worked out.
edge_settled = Table(
    "edge_settled",
    metadata,
    Column("day_ms", BigInteger, primary_key=True, autoincrement=False),
    *whole("from_ms", "until_ms", "versions", "times"),
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
    *whole("energy_mj", "cost_e12"),
    sqlite_with_rowid=False,
)

#: The months of a site's clock whose demand charges are kept, and how often their days had been worked out.
edge_month = Table(
    "edge_month",
    metadata,
    Column("month_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("site", String(200), primary_key=True),
    *whole("times"),
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
    *whole(
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
    *whole("version", "summed"),
)
