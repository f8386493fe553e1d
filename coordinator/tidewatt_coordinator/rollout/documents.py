"""Policy documents: text that people write, to typed rules and a plan, or sentences that help. Pure."""

import hashlib
from collections.abc import Iterator
from zoneinfo import available_timezones

import msgspec

from tidewatt_coordinator.rollout.checks import Path, Problem, dotted, nearest, nulls, problems
from tidewatt_coordinator.rollout.marked import Language, Marked, language_of, read
from tidewatt_coordinator.rollout.terms import Document, PlannedWave
from tidewatt_coordinator.rollout.windows import zone_of
from tidewatt_wire.documents import DocumentError, to_toml
from tidewatt_wire.messages import MaintenanceWindow, Rule
from tidewatt_wire.topics import check_name

#: What the rules may take of a policy set's 256 kB: in a rollout the old ones stand in it, too,
#: and base64 adds a third.
MOST_RULES_BYTES = 80_000


#: What is wrong is told so often; nobody reads on, and a spoiled file has thousands.
MOST_TOLD = 50


class Read(msgspec.Struct, frozen=True):
    """A document as read: its text, its digest, its meaning."""

    text: str
    language: Language
    sha256: str
    document: Document


def parse(text: str, *, name: str, language: Language | None = None) -> Read:
    """Read a document; DocumentError has one sentence with file, line and key for every problem."""
    language = language or language_of(name, text)
    marked = read(text, language, name=name)
    plain = nulls(marked.document, Document)
    found = list(problems(plain, Document))
    if not found:
        document = msgspec.convert(plain, Document)
        found = list(_senseless(document))
        if not found:
            return Read(text, language, hashlib.sha256(text.encode()).hexdigest(), document)
    raise DocumentError("\n".join(_sentences(found, marked, name)))


def to_text(document: Document) -> str:
    """The document as TOML, without what would be so anyway; null is the word none."""
    return to_toml(_without_defaults(document))


def _sentences(found: list[Problem], marked: Marked, name: str) -> list[str]:
    placed = sorted((marked.line_of(path), sentence) for path, sentence in found)
    told = [f"{name}:{line}: {sentence}" for line, sentence in placed[:MOST_TOLD]]
    more = len(placed) - len(told)
    return [*told, f"{name}: and {more} more"] if more else told


def _without_defaults(value: msgspec.Struct) -> dict[str, object]:
    # What a key would be anyway is left out, so null appears only where it was chosen.
    table: dict[str, object] = {}
    for field in msgspec.structs.fields(type(value)):
        item = getattr(value, field.name)
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if default is msgspec.NODEFAULT or item != default:
            table[field.encode_name] = _plain(item)
    return table


def _plain(item: object) -> object:
    if item is None:
        return "none"
    if isinstance(item, msgspec.Struct):
        return _without_defaults(item)
    if isinstance(item, list):
        return [_plain(one) for one in item]
    return msgspec.to_builtins(item)


def _senseless(document: Document) -> Iterator[Problem]:
    """What is well formed and can't be meant."""
    if document.not_before and document.not_after and document.not_before >= document.not_after:
        yield ("not_after",), "not_after is not later than not_before, so the rules would never hold"
    plan = document.rollout
    if plan.not_before and plan.not_after and plan.not_before >= plan.not_after:
        yield ("rollout", "not_after"), "rollout.not_after is not later than rollout.not_before"
    if plan.longest_soak_s < plan.soak_s:
        yield ("rollout", "longest_soak_s"), "rollout.longest_soak_s is less than rollout.soak_s"
    yield from _zones(document)
    yield from _names(document.rules)
    yield from _unreachable(document.rules)
    yield from _idle_waves(plan.waves)
    size = len(msgspec.json.encode(document.rules))
    if size > MOST_RULES_BYTES:
        yield (
            ("rules",),
            f"the rules are {size} bytes on the wire; at most {MOST_RULES_BYTES} fit a policy set",
        )


def _zones(document: Document) -> Iterator[Problem]:
    windows: list[tuple[Path, MaintenanceWindow | None]] = [(("rollout", "window"), document.rollout.window)]
    for number, rule in enumerate(document.rules):
        path: Path = ("rules", number, "policy")
        windows.append(((*path, "maintenance"), rule.policy.maintenance))
        windows += [((*path, "quiet_hours", i), one) for i, one in enumerate(rule.policy.quiet_hours)]
    for path, window in windows:
        if window and zone_of(window.zone) is None:
            hint = nearest(window.zone, available_timezones())
            yield (
                (*path, "zone"),
                f"{dotted((*path, 'zone'))}: no time zone {window.zone!r} is known; {hint[:80]}",
            )


def _names(rules: list[Rule]) -> Iterator[Problem]:
    for number, rule in enumerate(rules):
        for key, names in (("devices", rule.devices), ("sites", rule.sites)):
            for index, one in enumerate(names):
                path: Path = ("rules", number, key, index)
                try:
                    check_name(one, f"rules[{number + 1}].{key}[{index + 1}]")
                except ValueError as error:
                    yield path, str(error)
                if one in names[:index]:
                    yield path, f"{one!r} stands in rules[{number + 1}].{key} twice"


def _unreachable(rules: list[Rule]) -> Iterator[Problem]:
    for number, rule in enumerate(rules):
        path: Path = ("rules", number)
        if rule.sites and "site" in rule.match and rule.match["site"] not in rule.sites:
            yield path, f"rule {number + 1} fits no device: match and sites name different sites"
        for earlier, other in enumerate(rules[:number]):
            if not covers(other, rule):
                continue
            what = "selects the same devices as" if covers(rule, other) else "can never be reached, after"
            yield path, f"rule {number + 1} {what} rule {earlier + 1}, which comes first and holds"
            break


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether every device that `narrow` fits is one that `wide` fits."""
    sites = narrow.sites or ([narrow.match["site"]] if "site" in narrow.match else [])
    own = dict(narrow.match)
    if len(sites) == 1:
        own["site"] = sites[0]
    return (
        wide.match.items() <= own.items()
        and (not wide.sites or (bool(sites) and set(sites) <= set(wide.sites)))
        and (not wide.devices or (bool(narrow.devices) and set(narrow.devices) <= set(wide.devices)))
    )


def _idle_waves(waves: list[PlannedWave]) -> Iterator[Problem]:
    for number, wave in enumerate(waves):
        path: Path = ("rollout", "waves", number)
        for earlier, other in enumerate(waves[:number]):
            if other.percent >= wave.percent and other.match.items() <= wave.match.items():
                yield path, f"wave {number + 1} reaches nobody whom wave {earlier + 1} hasn't reached"
                break
    last = waves[-1]
    if last.match or last.percent < 100:  # noqa: PLR2004 - percent
        yield (
            ("rollout", "waves", len(waves) - 1),
            f"wave {len(waves)} is the last and doesn't reach all; add one with percent = 100 and no match",
        )
