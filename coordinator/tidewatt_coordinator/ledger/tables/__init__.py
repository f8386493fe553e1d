"""What the ledger stores. Made and changed only by the migrations; a test holds the two together."""

from tidewatt_coordinator.ledger.tables.access import access_key, access_login, access_session
from tidewatt_coordinator.ledger.tables.alarms import alert, alert_delivery
from tidewatt_coordinator.ledger.tables.audit import audit_entry, audit_head
from tidewatt_coordinator.ledger.tables.columns import NEVER_MS, metadata
from tidewatt_coordinator.ledger.tables.edge import (
    edge_day,
    edge_day_mark,
    edge_month,
    edge_settled,
    edge_site_hour,
)
from tidewatt_coordinator.ledger.tables.levers import answered, lever_freeze, proposal, proposal_event
from tidewatt_coordinator.ledger.tables.money import (
    OF_CLOUD,
    OVER_DAYS,
    carbon_intensity,
    change,
    charge,
    cloud_budget,
    cost_call,
    cost_import,
    report_sent,
)
from tidewatt_coordinator.ledger.tables.policy import (
    enroll_token,
    issued_certificate,
    lease,
    policy_document,
    policy_event,
    policy_standing,
)
from tidewatt_coordinator.ledger.tables.reported import (
    asleep_day,
    asleep_life,
    device_bucket,
    device_life,
    device_site,
    known_device,
    ledger_fact,
    mode_bucket,
    quarantine,
)
from tidewatt_coordinator.ledger.tables.rolled import (
    compared_day,
    compared_life,
    day_use,
    day_version,
    hour_use,
    hour_version,
    site_day,
)
from tidewatt_coordinator.ledger.tables.traffic import dispatch_order, dispatch_state, plan_state

__all__ = [
    "NEVER_MS",
    "OF_CLOUD",
    "OVER_DAYS",
    "access_key",
    "access_login",
    "access_session",
    "alert",
    "alert_delivery",
    "answered",
    "asleep_day",
    "asleep_life",
    "audit_entry",
    "audit_head",
    "carbon_intensity",
    "change",
    "charge",
    "cloud_budget",
    "compared_day",
    "compared_life",
    "cost_call",
    "cost_import",
    "day_use",
    "day_version",
    "device_bucket",
    "device_life",
    "device_site",
    "dispatch_order",
    "dispatch_state",
    "edge_day",
    "edge_day_mark",
    "edge_month",
    "edge_settled",
    "edge_site_hour",
    "enroll_token",
    "hour_use",
    "hour_version",
    "issued_certificate",
    "known_device",
    "lease",
    "ledger_fact",
    "lever_freeze",
    "metadata",
    "mode_bucket",
    "plan_state",
    "policy_document",
    "policy_event",
    "policy_standing",
    "proposal",
    "proposal_event",
    "quarantine",
    "report_sent",
    "site_day",
]
