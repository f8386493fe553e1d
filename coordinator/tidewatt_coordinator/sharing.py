"""What many devices say alike is kept once: a board's operating points are the same on all of its kind."""

from typing import Any

import msgspec

from tidewatt_wire.messages import Birth

#: So many different values are shared; then it begins anew. Devices that all differ gain nothing anyway.
MOST = 20_000
#: What of a birth is most often as another device said it.
ALIKE = (
    "schema", "version", "board", "control", "labels", "points", "vendor_default", "capabilities",
)  # fmt: skip
#: What is each device's own; it is kept elsewhere.
OWN = ("device", "session", "epoch", "at_ms")


class Shared:
    """Values that have been seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bytes], Any] = {}
        self._births: dict[tuple[int, ...], Birth] = {}
        """By the identities of their parts, which live as long as those of `_seen`."""

    def birth(self, birth: Birth) -> Birth:
        """An equal birth, of parts that are shared with others; whole, if nothing in it is a device's own."""
        if len(self._seen) > MOST:
            self._seen.clear()
            self._births.clear()
        parts = {part: self._one(part, getattr(birth, part)) for part in ALIKE}
        shared = msgspec.structs.replace(birth, **parts)
        if shared.metrics is not msgspec.UNSET or any(getattr(shared, part) for part in OWN):
            return shared
        return self._births.setdefault(tuple(map(id, parts.values())), shared)

    def _one(self, name: str, value: Any) -> Any:
        return self._seen.setdefault((name, msgspec.json.encode(value)), value)
