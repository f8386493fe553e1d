"""The configuration's [rest]: what a caller may ask of the REST API."""

from typing import Annotated

import msgspec


class Rest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a caller may ask."""

    requests_per_second: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 50.0
    """Of one caller (an address; of IPv6 a /64), in the long run; 0: no limit."""
    burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 300
    """So many at once: the page with all its parts is about 40."""
    largest_body_kib: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 4096
    """Of a request, in KiB; a simulation's demand by minutes is the largest that is known."""
