"""What a provider's token says, and whether it may be believed. Pure.

The header is only asked which key to take; that key, and our list of algorithms, decide how the signature is
checked. So neither "none" nor a public key used as a shared secret gets anywhere.
"""

from collections.abc import Mapping
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from tidewatt_coordinator.access.roles import ANYWHERE, Actor, Role, highest
from tidewatt_coordinator.access.settings import Oidc

PublicKey = RSAKey | ECKey | OKPKey
#: Seconds by which the provider's clock and ours may differ.
LEEWAY_S = 60
LONGEST = 16_384
#: Keys of a provider that are read; they have two or three.
MOST_KEYS = 100
#: The claims that may name somebody, the best first.
NAMES = ("preferred_username", "email", "name")
#: A site claim that says so binds to none.
ALL_SITES = "*"


class TokenRefusedError(ValueError):
    """The token isn't believed, or says nothing that helps; the sentence says why."""


def read_keys(document: Mapping[str, Any]) -> dict[str, PublicKey]:
    """The keys of a JWK set that verify signatures, by their ids; others are left out."""
    listed = document.get("keys")
    found: dict[str, PublicKey] = {}
    for number, one in enumerate(listed[:MOST_KEYS] if isinstance(listed, list) else []):
        if not isinstance(one, dict) or one.get("use", "sig") != "sig" or one.get("kty") == "oct":
            continue
        try:
            key = JWKRegistry.import_key(one)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, (RSAKey, ECKey, OKPKey)):
            found[str(one.get("kid", f"#{number}"))] = key
    return found


def key_named(token: str) -> str:
    """The id of the key that a token says it is signed with; empty if it names none."""
    if len(token) > LONGEST:
        raise TokenRefusedError("the token is too long")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise TokenRefusedError("this is neither an API key nor a token") from error
    named = header.get("kid", "")
    return named if isinstance(named, str) else ""


def verified(
    token: str, key: PublicKey, *, algorithms: list[str], issuer: str, audience: str, now_s: int
) -> dict[str, Any]:
    """The claims of a token that is signed with this key, by this issuer, for this audience, valid now."""
    try:
        found = jwt.decode(token, key, algorithms=algorithms)
        if found.header.get("crit"):
            raise TokenRefusedError("the token asks for something that isn't known here (crit)")
        asked = jwt.JWTClaimsRegistry(
            now=now_s,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        asked.validate(found.claims)
    except (JoseError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, TokenRefusedError):
            raise
        raise TokenRefusedError(f"the token is not believed: {error}") from error
    return found.claims


def actor_of(claims: Mapping[str, Any], settings: Oidc) -> Actor:
    """Who comes with these claims. TokenRefusedError: with none of our roles, or without a site."""
    roles: list[Role] = [
        settings.roles[one] for one in _texts(claims, settings.role_claim) if one in settings.roles
    ]
    role = highest(roles)
    if role is None:
        raise TokenRefusedError(f"the claim {settings.role_claim!r} names none of the roles that count here")
    sites = ANYWHERE
    if settings.site_claim:
        found = _texts(claims, settings.site_claim)
        if not found:
            raise TokenRefusedError(f"the claim {settings.site_claim!r} names no site")
        sites = ANYWHERE if ALL_SITES in found else tuple(sorted(set(found)))
    name = next((str(claims[one]) for one in NAMES if isinstance(claims.get(one), str)), "")
    return Actor(id=str(claims["sub"])[:255], kind="oidc", role=role, sites=sites, name=name[:255])


def _texts(claims: Mapping[str, Any], path: str) -> list[str]:
    """The texts of a claim. One whose whole name has dots (https://example/roles) comes before a way down."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value.split()
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
