"""Bills of materials (CycloneDX 1.6, JSON) of wheels, Debian packages and the image, from the locks.

A component is one locked version of one package, with the SHA-256 of each of its files that may be installed;
a Debian package holds those of its own lock, a wheel names those of run.txt that it needs.
"""

import importlib.metadata
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.contents import ARTEFACTS, SERVERS
from release.locks import Locked, licence, licences, locked
from release.tree import WHEELS, moment, stop, version

SPACE = uuid.UUID("6f1c1a52-6a8b-5d0e-9a53-0d1f4a0c7b11")


def boms(architectures: Iterable[str]) -> Iterator[tuple[str, str]]:
    """File name and JSON of each artefact's bill; ends the program at one that isn't valid."""
    for wheel in WHEELS:
        name = f"tidewatt-{wheel}"
        purl = PackageURL("pypi", name=name, version=version())
        yield f"tidewatt_{wheel}-{version()}.cdx.json", _json(name, purl, _of_wheel(name))
    for package, about in ARTEFACTS.items():
        held = [(one, about.pythons) for one in locked(about.lock, about.pythons, only=about.only)]
        for arch in sorted({*architectures} & {*about.architectures}):
            purl = PackageURL(
                about.kind, "tidewatt", package.removesuffix("-image"), version(), {"arch": arch}
            )
            inside = [_ours(f"tidewatt-{wheel}") for wheel in about.wheels]
            others = [_component(one) for one, _ in held]
            yield f"{package}_{version()}_{arch}.cdx.json", _json(package, purl, [*inside, *others])


def _of_wheel(name: str) -> list[Component]:
    ours, others = _needed(name)
    held = locked("run", SERVERS)
    return [*map(_ours, sorted(ours - {name})), *(_component(one) for one in held if one.name in others)]


def _needed(name: str) -> tuple[set[str], set[str]]:
    """What a wheel needs, directly or not, without its extras: ours, and what the lock holds of others."""
    known = {one.name for one in locked("run", SERVERS)}
    ours, others, open_ = set[str](), set[str](), [name]
    while open_:
        current = open_.pop()
        if current in ours | others:
            continue
        (ours if current.startswith("tidewatt-") else others).add(current)
        open_ += _requires(current, known)
    return ours, others


def _requires(name: str, known: set[str]) -> Iterator[str]:
    try:
        wanted = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return  # of another Python than this one: it needs nothing that others don't
    for line in wanted:
        one = Requirement(line)
        needed = canonicalize_name(one.name)
        if (needed.startswith("tidewatt-") and "extra" not in str(one.marker)) or (
            needed in known and ("extra" not in str(one.marker) or needed == "psycopg-binary")
        ):
            yield needed


def _ours(name: str) -> Component:
    return Component(
        name=name,
        version=version(),
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}@{version()}",
        purl=PackageURL("pypi", name=name, version=version()),
        licenses=[LicenseExpression("Apache-2.0")],
    )


def _component(one: Locked) -> Component:
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{one.name}@{one.version}",
        purl=PackageURL("pypi", name=one.name, version=one.version),
        licenses=[LicenseExpression(licence(one.name, licences()))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in one.hashes],
        properties=[Property(name="tidewatt:python", value=python) for python in one.pythons],
    )


def _json(name: str, purl: PackageURL, components: list[Component]) -> str:
    """The bill: the same bytes for the same sources."""
    whole = Component(
        name=name,
        version=version(),
        type=ComponentType.APPLICATION,
        bom_ref=str(purl),
        purl=purl,
        licenses=[LicenseExpression("Apache-2.0")],
    )
    at = datetime.fromtimestamp(moment(), timezone.utc)
    bom = Bom(
        serial_number=uuid.uuid5(SPACE, f"{purl} {moment()}"),
        metadata=BomMetaData(component=whole, timestamp=at),
        components=components,
    )
    bom.register_dependency(whole, components)
    text = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    if wrong := wrong_bom(text):
        stop(f"the bill of {name} is not valid: {wrong}")
    return text


def wrong_bom(text: str) -> str:
    """What CycloneDX's own schema has against a bill, in a sentence; empty if nothing."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(found) if found else ""
