"""The [costs] sections of the coordinator's file."""

from typing import Annotated, Literal

import msgspec

#: Sources that can be the account of what is paid; the others estimate.
Bill = Literal["focus", "cost_explorer"]
Most = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Days = Annotated[int, msgspec.Meta(ge=1, le=400)]


class Invoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the provider's invoice of a month says, typed from the paper."""

    month: str
    """Such as 2026-10."""
    amount: str
    """Such as "4563.10", in quotes: money is decimal."""
    currency: str = "USD"
    """Of the amounts."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source that computes costs from list prices, over HTTP."""

    url: str = ""
    """Such as http://opencost:9003; empty: it isn't asked."""
    token_file: str = ""
    """A file with a bearer token, if it wants one."""
    currency: str = "USD"
    """It doesn't say in which currency it counts."""
    covers: list[str] = []
    """The bill's services that it estimates, for the comparison with the invoice; empty: all."""
    first_days: Days = 30
    """Days to ask for when there is nothing yet."""


class OpenCost(Estimate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kubernetes workloads, as OpenCost (or Kubecost) allocates them."""

    aggregate: list[str] = msgspec.field(default_factory=lambda: ["namespace"])
    """What costs are allocated to: namespace, controller, label:app..."""


class Prometheus(Estimate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kubernetes nodes, by the price that OpenCost or Kubecost exports."""

    metric: str = "node_total_hourly_cost"
    """A gauge of cost per hour, one series a node."""


class CostExplorer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AWS Cost Explorer. Credentials are found as every AWS tool finds them, never in this file."""

    enabled: bool = False
    """Each call costs $0.01."""
    calls_a_day: Most = 20
    """No more calls on a day (UTC): this is what they can cost at most, in cents."""
    group_by: list[str] = msgspec.field(default_factory=lambda: ["SERVICE", "RECORD_TYPE"])
    """One or two dimensions, or TAG:name, or COST_CATEGORY:name."""
    settle_days: Days = 3
    """AWS changes the latest days until then; they are asked for again."""
    first_days: Days = 30
    """Days to ask for when there is nothing yet."""
    profile: str = ""
    """Of the AWS configuration; empty: the usual one."""
    endpoint: str = ""
    """Another endpoint than AWS's own."""


class AwsBudgets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budgets that are kept in AWS, to be shown beside our own. Asking for them costs nothing."""

    enabled: bool = False
    """Credentials are found as every AWS tool finds them; they need budgets:ViewBudget."""
    account: str = ""
    """Twelve digits of the account whose budgets they are; empty: the one of the credentials."""
    profile: str = ""
    """Of the AWS configuration; empty: the usual one."""
    endpoint: str = ""
    """Another endpoint than AWS's own."""


class Focus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """FOCUS exports that a provider delivers."""

    path: str = ""
    """A folder, a file, or s3://bucket/prefix with CSV or Parquet files; empty: none."""
    profile: str = ""
    """Of the AWS configuration, for s3://; empty: the usual one."""
    endpoint: str = ""
    """Another endpoint than AWS's own."""


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the cloud costs, and who says so."""

    import_every_h: Annotated[float, msgspec.Meta(ge=0, le=168)] = 6.0
    """Hours between two imports of each source by the coordinator; 0: only by `tidewatt costs import`."""
    bill: Bill = "focus"
    """The source whose charges count. The others say parts of the same in other words: they are compared with
    it and never added to it."""
    invoices: list[Invoice] = []
    """Invoices, to compare every source with."""
    focus: Focus = Focus()
    cost_explorer: CostExplorer = msgspec.field(default_factory=CostExplorer)
    aws_budgets: AwsBudgets = AwsBudgets()
    opencost: OpenCost = msgspec.field(default_factory=OpenCost)
    prometheus: Prometheus = Prometheus()
