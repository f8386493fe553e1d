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


class Shared:
    """Values that have been seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bytes], Any] = {}

    def birth(self, birth: Birth) -> Birth:
        """An equal birth, of parts that are shared with others."""
        return msgspec.structs.replace(
            birth, **{part: self._one(part, getattr(birth, part)) for part in ALIKE}
        )

    def _one(self, name: str, value: Any) -> Any:
        if len(self._seen) > MOST:
            self._seen.clear()
        return self._seen.setdefault((name, msgspec.json.encode(value)), value)
