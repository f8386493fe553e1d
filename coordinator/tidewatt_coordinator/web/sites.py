"""The fleet as somebody sees it who is bound to some of its sites."""

from collections.abc import Callable

from tidewatt_coordinator.web.models import FleetNow

#: What is known of the whole fleet only, and so isn't told.
WHOLE_FLEET = {
    "asleep_cost", "asleep_joules", "asleep_seconds", "cost", "costs", "dispatch_reason", "energy_joules",
    "model_error_share", "online", "policies", "requests", "requests_rps", "sleep_saved_cost",
    "sleep_saved_joules", "switches", "unmeasured_seconds", "violating_minutes", "watts",
}  # fmt: skip


def of_sites(now: FleetNow, sees: Callable[[str], bool]) -> FleetNow:
    """Only the devices of the sites that are seen. A device without the label `site` is at none of them."""
    some = [device for device in now.devices if sees(device.labels.get("site", ""))]
    return now.model_copy(update={"devices": some, "known": len(some)})
