"""The `tidewatt` commands' table of contents: name, where it is, what it is for.

A sentence stands here again so that `tidewatt --help` imports none of them; a test holds both together.
"""

from tidewatt_coordinator.command.lazy import Entry

COMMANDS = {
    "access": Entry("access.cli:app", "Who may do what over REST and on the page."),
    "alerts": Entry("alerts.cli:app", "What people are told of: budgets, anomalies, overdue boards."),
    "anomalies": Entry("anomalies.cli:app", "Days that cost more than such days do."),
    "audit": Entry("audit.cli:app", "Who changed what, when and why: a chain that shows if it was bent."),
    "budget": Entry("budgets.cli:app", "Monthly budgets: what is spent of them, and what will be."),
    "carbon": Entry("carbon.cli:app", "The carbon of the fleet's electricity."),
    "chaos": Entry("chaos.cli:app", "Game days: simulated failures and what they cost."),
    "config": Entry("command.configuring:app", "Show or validate the configuration, or print the default."),
    "cost": Entry("questions.cli:app", "What a request costs, and why; what was wasted and what saved."),
    "costs": Entry("costs.cli:app", "What the cloud and the edge cost, and whether that is the bill."),
    "discovery": Entry("observing.cli:app", "Where Prometheus finds the agents."),
    "dispatch": Entry("steering.cli:app", "The routing weights: look at them, and hold them for a while."),
    "doctor": Entry(
        "doctor.cli:doctor",
        "Say what keeps the coordinator from its work, and what to do; exit code 1 if anything does.",
    ),
    "enroll": Entry("pki.cli:app", "Certificates for devices: the fleet's CA, tokens, revocation."),
    "fleet": Entry("watching.cli:app", "The devices as they stand: list them, look at one, watch them."),
    "freeze": Entry(
        "proposals.cli:freeze",
        "Stop all changes of settings at once, but for those that are being taken back.",
    ),
    "keys": Entry("keys.cli:app", "The keys that policy sets are signed with."),
    "ledger": Entry("ledger.cli:app", "What the ledger keeps."),
    "model": Entry("models.cli:app", "The forecast models that devices can have."),
    "plan": Entry("hinting.cli:app", "The fleet's plan: who stands where, who serves how much."),
    "policy": Entry("rollout.cli:app", "Write, roll out and watch the fleet's policy."),
    "prices": Entry("prices.cli:app", "The price book: dated tables of what cloud services cost."),
    "recommend": Entry("proposals.cli:app", "What could be cheaper: look, approve, apply, take back."),
    "report": Entry(
        "reports.cli:report",
        "Write a month's report: totals, trend, movers, savings, carbon, budgets and anomalies.",
    ),
    "run": Entry(
        "command.running:run",
        "Run a fleet of simulated boards through a real day of traffic, every process a real one.",
    ),
    "serve": Entry("command.running:serve", "Be the coordinator, until stopped."),
    "simulate": Entry("simulate.cli:app", "What a change would cost and keep, on demand as it was."),
    "tariff": Entry("electricity.cli:app", "Electricity tariffs."),
    "validate": Entry(
        "gate.cli:validate",
        "Hold the last hours or days against targets: exit code 0 all kept, 1 one broken, 4 one unknown.",
    ),
    "train": Entry(
        "command.running:train",
        "Train a forecasting model from a history of traffic; needs the wheel's extra `train`.",
    ),
    "unfreeze": Entry("proposals.cli:unfreeze", "Let changes go on."),
}
