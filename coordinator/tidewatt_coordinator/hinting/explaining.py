"""The plan in sentences. Pure."""

from collections.abc import Iterator

from tidewatt_coordinator.hinting.shown import PlannedDevice, Shown
from tidewatt_coordinator.steering.orders import clock

#: Shares below this are told as none.
NOTHING = 5e-4


def explain(shown: Shown, device: str = "", most: int = 20) -> Iterator[str]:
    """Why the plan is as it is: of every group and its `most` busiest devices, or of one device."""
    told = [one for one in shown.devices if device in ("", one.device)]
    groups = {one.group for one in told}
    for group in shown.groups:
        if not device or group.name in groups:
            yield f"{group.name}: {group.reason}"
            if group.assumed_watts:
                yield f"  {group.assumed_watts:g} W of that are assumed: of sleepers that nobody has measured"
            if group.called:
                yield f"  more is needed than is awake: {', '.join(group.called)} to be woken by a neighbour"
            mine = [one for one in told if one.group == group.name]
            for one in sorted(mine, key=lambda one: (-one.share, one.device))[:most]:
                yield _of(one)
    if shown.nodes_reason and not device:
        yield f"cloud: {shown.nodes_reason}"
    if shown.mode == "observe":
        yield "boards are not told: planning.mode is observe"


def _of(one: PlannedDevice) -> str:
    if one.serve_ms is not None:
        return f"  {one.device} sleeps, or is to, and must serve again at {clock(one.serve_ms)}: no requests"
    if one.at is None:
        seen = "not seen anywhere yet"
    elif one.at == one.point:
        seen = "and seen there"
    else:
        seen = f"seen at {one.at}"
    what = "is asked to stand at" if one.follows else "only observes, and is taken as standing at"
    share = f"{one.share:.1%} of the requests" if one.share >= NOTHING else "none of the requests"
    return f"  {one.device} {what} {one.point}, {seen}: {share}, counted on for {one.counted_rps:.0f} rps"
