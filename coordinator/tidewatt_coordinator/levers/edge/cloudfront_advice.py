"""Advice on a CloudFront distribution: a flat-rate plan, and caching. Pure; only people apply it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.levers.edge.cloudfront_mix import Mix

#: Origin request policies that let every header of the viewer through, Authorization among them.
ALL_VIEWER = ("216adef6-5c7f-47e4-b989-5492eafa07d3", "b689b0a8-53d0-40ab-baf2-68738e2966ac")
#: AWS's own policy that caches nothing.
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"


def behaviours(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every cache behaviour by its path."""
    yield "*", config["DefaultCacheBehavior"]
    for one in config.get("CacheBehaviors", {}).get("Items", []):
        yield one["PathPattern"], one


def plan_obstacles(config: dict[str, Any]) -> list[str]:
    """What must be changed before a flat-rate plan takes the distribution, one clause each."""
    found = []
    if not config.get("WebACLId"):
        found.append("a web ACL is attached")
    if any("ForwardedValues" in one for _, one in behaviours(config)):
        found.append("legacy forwarded values are replaced by cache policies")
    if any(one.get("RealtimeLogConfigArn") for _, one in behaviours(config)):
        found.append("real-time logs are given up")
    if config.get("ContinuousDeploymentPolicyId"):
        found.append("continuous deployment is given up")
    origins = config.get("Origins", {}).get("Items", [])
    if any(one.get("S3OriginConfig", {}).get("OriginAccessIdentity") for one in origins):
        found.append("origin access identities are replaced by origin access control")
    return found


def cache_advice(config: dict[str, Any], mix: Mix | None, least_hits: float) -> list[str]:
    """What could be cached, and what must not be: one sentence each."""
    told = []
    for path, one in behaviours(config):
        if _leaks(one):
            told.append(
                f"{path}: the viewer's Authorization reaches the origin: unless the cache policy has it in"
                " its key, one viewer's answer may be given to another; cache nothing here"
            )
        elif "ForwardedValues" in one:
            told.append(f"{path}: legacy forwarded values; a cache policy says what is in the key")
        if not one.get("Compress", False):
            told.append(f"{path}: answers are not compressed, and every byte is paid")
    if mix and mix.hits is not None and mix.hits < least_hits:
        told.append(
            f"{1 - mix.hits:.0%} of the requests go on to the origin: longer lifetimes and fewer headers,"
            " cookies and query strings in the key; never for answers to authorised requests"
        )
    return told


def _leaks(behaviour: dict[str, Any]) -> bool:
    """Whether an authorised answer may be cached for others: legacy keys hold what they forward."""
    policy = behaviour.get("CachePolicyId")
    return (
        bool(policy) and policy != CACHING_DISABLED and behaviour.get("OriginRequestPolicyId") in ALL_VIEWER
    )


def compressible(config: dict[str, Any], cost: Decimal) -> tuple[Decimal, Decimal]:
    """What compressing would save of a month's transfer: none, up to half, of what isn't compressed."""
    every = list(behaviours(config))
    raw = sum(not one.get("Compress", False) for _, one in every)
    return Decimal(0), cost * raw / len(every) / 2
