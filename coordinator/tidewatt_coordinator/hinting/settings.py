"""The [planning] section of the coordinator's file. Pure."""

from typing import Annotated, Literal

import msgspec

Minutes = Annotated[float, msgspec.Meta(ge=0, le=1440)]


class Planning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Planning the fleet together: who stands where, and how much cloud to hold."""

    mode: Literal["off", "observe", "hint"] = "off"
    """off; observe: a plan is made and shown, and nobody follows it; hint: boards are hinted to it, and the
    dispatch table gathers the traffic where it plans."""
    hint_s: Annotated[float, msgspec.Meta(ge=120, le=3600)] = 300.0
    """A hint is void after so many seconds, and said anew after half of them. A coordinator that dies is
    followed for so long; a shorter time means more messages: devices x 2 / hint_s a second."""
    spare: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1
    """Boards of each site that stay awake beyond what is needed: for who doesn't come back from its sleep,
    and for demand that nobody foresaw. Whether boards sleep at all is their policy's to say."""
    forecast: str = ""
    """Model that foresees the demand: "shipped", or an ONNX file. Empty: the last minute and what it took
    lately. Needs the package tidewatt-governor[forecast]."""
    zone: str = "UTC"
    """Time zone of the users, for that model's calendar."""
    node_start_min: Minutes = 2.0
    """From the order of a cloud node until it serves."""
    node_up_min: Minutes = 10.0
    """One is kept for so long at the least,"""
    node_down_min: Minutes = 5.0
    """and none takes the place of one that was given back for so long."""
    most_nodes: dict[str, Annotated[int, msgspec.Meta(ge=0, le=100_000)]] = {}
    """Most nodes by pool; a pool that isn't named has no bound."""
