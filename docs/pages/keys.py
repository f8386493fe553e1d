"""A configuration's keys as data: what each struct's fields say in the source, with type, unit, default."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as kinds

#: What the end of a key's name says about its unit. The longest that fits holds.
UNITS = {
    "_s": "s", "_ms": "ms", "_h": "h", "_days": "days", "_months": "months", "_years": "years",
    "_watts": "W", "watts_budget": "W", "max_watts": "W", "_w": "W", "_c": "°C", "_j": "J", "_mj": "mJ",
    "_mb": "MB", "_gb": "GB", "_rps": "requests/s", "_usd": "USD", "_per_kwh": "money/kWh", "_per_s": "1/s",
    "minutes": "min", "_per_min": "1/min", "_per_hour": "1/h",
    "days": "days", "months": "months", "rps": "requests/s", "gb": "GB", "_percent": "%",
}  # fmt: skip


#: Types that have a name and no bounds.
PLAIN = {
    kinds.StructType: "table", kinds.StrType: "text", kinds.BoolType: "true or false",
    kinds.DecimalType: "number in quotes", kinds.DateType: "date", kinds.DateTimeType: "time",
    kinds.NoneType: "nothing",
}  # fmt: skip


class Key(msgspec.Struct, frozen=True):
    """One key as it is written in the file."""

    name: str
    form: str
    unit: str
    default: str
    about: str
    tables: list[type]
    """The structs that its value holds."""
    many: bool
    """Whether it is written as [[name]]."""


def keys_of(kind: type[msgspec.Struct]) -> Iterator[Key]:
    """A section's keys, in their order."""
    said = sentences(kind)
    struct = kinds.type_info(kind)
    assert isinstance(struct, kinds.StructType)  # noqa: S101 - it was asked of one
    for field in struct.fields:
        named = _named(field.type)
        yield Key(
            field.encode_name,
            named,
            _unit(field.encode_name, named),
            _default(field),
            said.get(field.name, ""),
            list(dict.fromkeys(_structs(field.type))),
            isinstance(_bare(field.type), kinds.ListType),
        )


@functools.cache
def sentences(kind: type) -> dict[str, str]:
    """What stands below each field, its bases' too; where a class says nothing its base's words hold."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__.startswith("tidewatt"):
            found |= {name: text for name, text in _written(one) if text}
    return found


def _written(kind: type) -> Iterator[tuple[str, str]]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - the source of one
    for here, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            yield here.target.id, " ".join(_text(after).split())


def _text(statement: ast.stmt | None) -> str:
    """The text that a statement is; empty where it is something else."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return ""


def _bare(kind: kinds.Type) -> kinds.Type:
    """Without metadata, and without the None of an optional one."""
    while isinstance(kind, kinds.Metadata):
        kind = kind.type
    if isinstance(kind, kinds.UnionType):
        rest = [one for one in kind.types if not isinstance(one, kinds.NoneType)]
        if len(rest) == 1:
            return _bare(rest[0])
    return kind


def _structs(kind: kinds.Type) -> Iterator[type]:
    kind = _bare(kind)
    if isinstance(kind, kinds.StructType):
        yield kind.cls
    elif isinstance(kind, (kinds.ListType, kinds.VarTupleType)):
        yield from _structs(kind.item_type)
    elif isinstance(kind, kinds.DictType):
        yield from _structs(kind.value_type)
    elif isinstance(kind, kinds.UnionType):
        for one in kind.types:
            yield from _structs(one)


def _named(kind: kinds.Type) -> str:
    """A type in a person's words, with its bounds."""
    kind = _bare(kind)
    if isinstance(kind, kinds.LiteralType):
        return " or ".join(f"`{msgspec.json.encode(one).decode()}`" for one in sorted(kind.values, key=str))
    if isinstance(kind, (kinds.ListType, kinds.VarTupleType, kinds.TupleType)):
        item = kind.item_types[0] if isinstance(kind, kinds.TupleType) else kind.item_type
        longest = None if isinstance(kind, kinds.TupleType) else kind.max_length
        return f"list of {_named(item)}" + (f", at most {longest}" if longest else "")
    if isinstance(kind, kinds.DictType):
        return f"table of {_named(kind.value_type)} by name"
    if isinstance(kind, kinds.UnionType):
        return " or ".join(_named(one) for one in kind.types)
    if isinstance(kind, (kinds.IntType, kinds.FloatType)):
        return _number(kind)
    return PLAIN.get(type(kind), type(kind).__name__)


def _number(kind: Any) -> str:
    name = "integer" if isinstance(kind, kinds.IntType) else "number"
    bounds = [
        f"{sign} {value:,}".replace(",", "\u202f")
        for sign, value in ((">", kind.gt), ("≥", kind.ge), ("<", kind.lt), ("≤", kind.le))
        if value is not None
    ]
    return " ".join([name, ", ".join(bounds)]).strip()


def _unit(name: str, named: str) -> str:
    if "number" not in named and "integer" not in named:
        return ""
    fits = [end for end in UNITS if name.endswith(end)]
    return UNITS[max(fits, key=len)] if fits else ""


def _default(field: Any) -> str:
    if field.required:
        return "must be given"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return shown(value)


def shown(value: object) -> str:
    """A value as the file would have it; tables are told in their own sections."""
    if value is None:
        return "absent"
    plain = msgspec.to_builtins(value)
    if isinstance(value, msgspec.Struct) or (
        isinstance(plain, list) and plain and isinstance(plain[0], dict)
    ):
        return "below"
    if isinstance(plain, dict):
        inside = ", ".join(f"{name} = {msgspec.json.encode(one).decode()}" for name, one in plain.items())
        return f"`{{ {inside} }}`" if inside else "`{}`"
    return f"`{msgspec.json.encode(plain).decode()}`"
