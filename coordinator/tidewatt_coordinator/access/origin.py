"""Whether a browser's request was made by our own page. Pure.

Browsers add cookies to whatever any page asks of us; so a change by cookie must come from ours. They say
where from in Sec-Fetch-Site or Origin, which no page can forge; one that says neither is not believed.
"""

from collections.abc import Mapping

from tidewatt_coordinator.access.caller import Caller

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def foreign(method: str, headers: Mapping[str, str], caller: Caller, public_url: str) -> str:
    """Why a request is not of our own page, in a sentence; empty if it is, or if it changes nothing."""
    if method in SAFE:
        return ""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return f"the request was made by another page (Sec-Fetch-Site: {site})"
    if origin is not None:
        ours = {caller.origin, public_url.rstrip("/").lower()} - {""}
        return "" if origin.lower() in ours else f"the request was made by another page (Origin: {origin})"
    return "" if site else "the browser doesn't say which page made the request (no Origin)"
