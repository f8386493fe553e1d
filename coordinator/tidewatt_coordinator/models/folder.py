"""The forecast models that the operator added: files in a folder, offered to devices in chunks."""

import hashlib
import re
from pathlib import Path

import msgspec

from tidewatt_wire.messages import MODEL_CHUNK_BYTES, Model
from tidewatt_wire.topics import NAME_PATTERN

LARGEST_BYTES = 16 * 1024 * 1024
_SUFFIX, _GONE = ".onnx", ".gone"


class ModelError(ValueError):
    """A model can't be offered; the sentence says why."""


class Offered(msgspec.Struct, frozen=True):
    """A model with its bytes."""

    model: Model
    content: bytes

    def chunk(self, index: int) -> bytes:
        """The chunk of that index, 0 to `model.chunks` - 1."""
        return self.content[index * MODEL_CHUNK_BYTES : (index + 1) * MODEL_CHUNK_BYTES]


class ModelFolder:
    """NAME.onnx files. A removed one leaves SHA256.gone behind: its chunks are to be cleared away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[tuple[str, int, int], Offered] = {}

    def offered(self) -> list[Offered]:
        """The models that are there, by name; a file is read again only when it has changed."""
        found = {}
        for path in sorted(self._path.glob(f"*{_SUFFIX}")):
            status = path.stat()
            key = (path.stem, status.st_mtime_ns, status.st_size)
            found[key] = self._read.get(key) or _read(path)
        self._read = found
        return list(found.values())

    def gone(self) -> list[Model]:
        """Those whose chunks the broker may still hold."""
        held = {one.model.sha256 for one in self.offered()}
        found = [msgspec.json.decode(path.read_bytes(), type=Model) for path in self._path.glob(f"*{_GONE}")]
        return [model for model in found if model.sha256 not in held]

    def add(self, file: Path, name: str) -> Model:
        """Offer a file's model under that name, in place of the one of that name."""
        if not re.fullmatch(NAME_PATTERN, name) or name == "shipped":
            raise ModelError(
                f"{name!r} can't be a model's name: letters, digits, '.', '_', '-'; not 'shipped'"
            )
        content = file.read_bytes()
        model = describe(name, content)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path / f"{name}{_SUFFIX}"
        if path.exists():
            self._mark_gone(path)
        beside = path.with_suffix(".new")
        beside.write_bytes(content)
        beside.replace(path)
        return model

    def remove(self, name: str) -> Model:
        """Offer it no longer."""
        path = self._path / f"{name}{_SUFFIX}"
        if not path.exists():
            names = ", ".join(sorted(one.stem for one in self._path.glob(f"*{_SUFFIX}")))
            raise ModelError(f"there is no model {name!r}; there are: {names or 'none'}")
        model = self._mark_gone(path)
        path.unlink()
        return model

    def _mark_gone(self, path: Path) -> Model:
        model = describe(path.stem, path.read_bytes())
        (self._path / f"{model.sha256}{_GONE}").write_bytes(msgspec.json.encode(model))
        return model


def _read(path: Path) -> Offered:
    content = path.read_bytes()
    return Offered(describe(path.stem, content), content)


def describe(name: str, content: bytes) -> Model:
    """What a policy set says of a model; ModelError if it is empty or too large."""
    if not 0 < len(content) <= LARGEST_BYTES:
        raise ModelError(
            f"model {name!r} has {len(content)} bytes; a device takes one of up to {LARGEST_BYTES}"
        )
    chunks = -(-len(content) // MODEL_CHUNK_BYTES)
    return Model(name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content), chunks=chunks)
