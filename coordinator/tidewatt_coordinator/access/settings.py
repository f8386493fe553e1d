"""[access] and [web] of the configuration. Pure."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from tidewatt_coordinator.access.roles import Role

#: What a provider may sign with: nothing with a shared secret, as who can check that can forge it.
ASYMMETRIC = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip


class Oidc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider of OpenID Connect, any that has a discovery document."""

    discovery: str = ""
    """https://.../.well-known/openid-configuration; empty means none."""
    client_id: str = ""
    """Ours at the provider, for logins on the page; empty means that only API calls bring its tokens."""
    client_secret_file: str = ""
    """File with our secret there; empty for a public client, which PKCE alone protects."""
    audience: str = ""
    """What a token of an API call must be meant for; empty means client_id."""
    algorithms: list[str] = msgspec.field(default_factory=lambda: ["RS256", "PS256", "ES256", "EdDSA"])
    """What tokens may be signed with; no other is even tried."""
    role_claim: str = "roles"
    """The claim that says what somebody may; a dot goes down: realm_access.roles."""
    roles: dict[str, Role] = {}
    """From the claim's values to roles; who has none of them gets in nowhere."""
    site_claim: str = ""
    """The claim with the sites that somebody is bound to; empty means that nobody is."""
    scopes: list[str] = msgspec.field(default_factory=lambda: ["openid", "profile"])
    """What the login asks for."""


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may do what over REST and on the page."""

    anonymous: Literal["none", "viewer"] = "none"
    """What somebody may without showing anything."""
    anonymous_anywhere: bool = False
    """Whether that holds on an address which other machines can reach, too."""
    metrics: Literal["key", "open"] = "key"
    """Whether /metrics asks for a viewer's key. It tells what every device does and costs, and Prometheus can
    send one (authorization.credentials_file)."""
    idle_s: Annotated[float, msgspec.Meta(ge=60, le=604_800)] = 3600.0
    """A session on the page ends after this many seconds without a request."""
    session_s: Annotated[float, msgspec.Meta(ge=60, le=2_592_000)] = 43_200.0
    """And after this many in any case."""
    oidc: Oidc = msgspec.field(default_factory=Oidc)


class Web(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How coordinator.listen is served."""

    tls_certificate: str = ""
    """PEM file of the certificate and its chain; empty means plain HTTP, on one machine or by a proxy."""
    tls_key: str = ""
    """Its key, closed to other users; empty means that it is in the certificate's file."""
    trusted_proxies: list[str] = []
    """Addresses or networks (10.0.0.0/8) of proxies whose X-Forwarded-For, -Proto and -Host are believed."""
    public_url: str = ""
    """https://tidewatt.example, as browsers see it; logins by a provider come back there."""


def wrong_access(access: Access, web: Web, host: str) -> Iterator[str]:
    """What is wrong with both, a sentence each; `host`: where the coordinator listens."""
    yield from _wrong_web(web)
    shown = not is_loopback(host) or web.trusted_proxies or web.public_url
    if access.anonymous == "viewer" and shown and not access.anonymous_anywhere:
        yield (
            'access.anonymous = "viewer" would show the fleet to everybody who reaches this address: '
            "listen on 127.0.0.1 without a proxy, or set access.anonymous_anywhere = true if that is meant"
        )
    yield from _wrong_oidc(access.oidc, web)


def _wrong_web(web: Web) -> Iterator[str]:
    if web.tls_key and not web.tls_certificate:
        yield "web.tls_key is set, but web.tls_certificate isn't"
    for one in web.trusted_proxies:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            yield f"web.trusted_proxies: {one!r} is no address and no network such as 10.0.0.0/8"
    if web.public_url:
        url = urlsplit(web.public_url)
        bare = url.path in ("", "/") and not (url.query or url.fragment or "@" in url.netloc)
        if url.scheme not in ("http", "https") or not url.hostname or not bare:
            yield f"web.public_url {web.public_url!r} is not https://host or https://host:port"


def _wrong_oidc(oidc: Oidc, web: Web) -> Iterator[str]:
    for one in oidc.algorithms:
        if one not in ASYMMETRIC:
            yield f"access.oidc.algorithms: {one!r} is none of {', '.join(ASYMMETRIC)}"
    if not oidc.discovery:
        if oidc.client_id or oidc.roles:
            yield "access.oidc.discovery is empty: no provider can be asked"
        return
    if not safe_url(oidc.discovery):
        yield f"access.oidc.discovery {oidc.discovery!r} is not https://"
    if not oidc.algorithms:
        yield "access.oidc.algorithms is empty: no token could be believed"
    if not oidc.roles:
        yield "access.oidc.roles is empty: nobody could do anything"
    if not (oidc.audience or oidc.client_id):
        yield "access.oidc.audience is empty: tokens that are meant for others would be taken"
    if oidc.client_id and not web.public_url:
        yield "access.oidc.client_id needs web.public_url: where the provider sends people back to"


def safe_url(url: str) -> bool:
    """Whether nobody can listen in on the way: https://, or this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
