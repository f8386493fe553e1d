"""What is asked for. Pure data."""

import msgspec


class RequestClass(msgspec.Struct, frozen=True):
    """Requests that are alike: one promise, one region, one size."""

    name: str
    rate_rps: float
    """As last measured."""
    limit_s: float | None = None
    """The latency that is promised, in seconds. None: any will do."""
    percentile: float = 0.95
    """The share of requests that must keep the limit."""
    region: str = ""
    """Where it comes from; empty: from anywhere, any backend may serve it."""
    egress_bytes: float = 0.0
    """Of one answer."""
    forecast_rps: float | None = None
    """The upper forecast until the next table. None: there is none."""
    age_s: float = 0.0
    """Seconds since `rate_rps` was measured."""
    shed_price: float = 1.0
    """What one refused request costs. The lowest price is shed first."""

    def __post_init__(self) -> None:
        if not 0.0 < self.percentile < 1.0:
            raise ValueError(
                f"the percentile of class {self.name} must lie between 0 and 1, not {self.percentile}"
            )
