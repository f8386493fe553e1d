"""Who serves how much: the cheapest split, moved towards a calm one as far as that costs next to nothing.

Calm is when nobody raises itself for want of room that others have. A board at its strongest has nowhere to
go: it may be filled with what is to be ready for. What is spare lies with the others, which would go up.
"""

from collections.abc import Sequence

import msgspec

#: Who can serve this share of what the strongest can is one of them: a switch costs it some of its minute.
NEARLY = 0.9
#: A need of this share of what there is, or less, is none: parts of next to nothing have no number.
NOTHING = 1e-12


class Server(msgspec.Struct, frozen=True):
    """What a device can serve in the coming minute, and what each request costs there, in joules."""

    capacity_rps: float
    joules_per_request: float
    idle_watts: float


def split(servers: Sequence[Server], expected_rps: float, need_rps: float, dearer: float) -> list[float]:
    """Shares that sum to 1 (to 0 where nobody can serve), in their order.

    No device is given more than it can serve of `need_rps`, unless all together can't. `dearer`: the
    share of the fleet's watts that may be spent on calm.
    """
    total = sum(one.capacity_rps for one in servers)
    if total <= 0.0:
        return [0.0] * len(servers)
    even = [one.capacity_rps / total for one in servers]
    if need_rps <= NOTHING * total or need_rps >= total:
        return even
    cheap, even = _cheapest(servers, need_rps), _calm(servers, need_rps)
    allowed_w = dearer * sum(one.idle_watts for one in servers)
    price = [one.joules_per_request for one in servers]
    base_w = expected_rps * sum(joules * share for joules, share in zip(price, cheap, strict=True))
    more_w = expected_rps * sum(joules * share for joules, share in zip(price, even, strict=True)) - base_w
    allowed_w += dearer * base_w
    towards = 1.0 if more_w <= allowed_w else allowed_w / more_w
    return [towards * level + (1.0 - towards) * low for level, low in zip(even, cheap, strict=True)]


def _calm(servers: Sequence[Server], need_rps: float) -> list[float]:
    """The strongest carry of the need what they can, the others the rest in proportion to what they can.

    What is spare then lies with those that would raise themselves for want of it. The strongest would not.
    """
    most = NEARLY * max(one.capacity_rps for one in servers)
    strong = sum(one.capacity_rps for one in servers if one.capacity_rps >= most)
    weak = sum(one.capacity_rps for one in servers if one.capacity_rps < most)
    if weak <= 0.0:
        return [one.capacity_rps / strong for one in servers]
    carried = min(strong, need_rps)
    use, rest = carried / strong / need_rps, (need_rps - carried) / weak / need_rps
    return [one.capacity_rps * (use if one.capacity_rps >= most else rest) for one in servers]


def _cheapest(servers: Sequence[Server], need_rps: float) -> list[float]:
    """Filled in the order of joules per request; those of one price in proportion to their capacity."""
    shares = [0.0] * len(servers)
    left = need_rps
    for price in sorted({one.joules_per_request for one in servers}):
        tier = [index for index, one in enumerate(servers) if one.joules_per_request == price]
        capacity = sum(servers[index].capacity_rps for index in tier)
        here = min(left, capacity)
        for index in tier if capacity > 0.0 else ():
            shares[index] = here / need_rps * (servers[index].capacity_rps / capacity)
        left -= here
    return shares
