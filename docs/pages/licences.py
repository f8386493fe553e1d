"""Whose the shipped data are: each file of the data folders, by its place below the repository."""

from collections.abc import Iterator

import msgspec

from pages.place import ROOT

OURS = "Apache-2.0"
#: Folders in which every file is data that somebody else may own.
FOLDERS = (
    "coordinator/tidewatt_coordinator/data",
    "governor/tidewatt_governor/data",
    "agent/tidewatt_agent/data",
)
COORDINATOR, GOVERNOR, AGENT = FOLDERS
CODE = (".py", ".pyc")


class Licence(msgspec.Struct, frozen=True):
    """What a file may be used under, and whom it comes from."""

    licence: str
    owner: str


SAID = Licence(OURS, "Tidewatt: each figure says what it is")
FACTS = Licence(OURS, "facts, compiled for Tidewatt")
#: Files, or folders that end with a slash; the longest that fits holds.
LICENCES = {
    f"{COORDINATOR}/prices/": FACTS,
    f"{COORDINATOR}/prices/aws-ec2.csv": Licence(
        OURS, "facts of AWS's price list, by way of the Karpenter provider for AWS (Apache-2.0)"
    ),
    f"{COORDINATOR}/tariffs/": Licence(OURS, "Tidewatt: an assumption"),
    f"{COORDINATOR}/carbon/average.csv": Licence(
        "CC BY 4.0", "Our World in Data, from Ember and the Energy Institute"
    ),
    f"{COORDINATOR}/cloudfront-locations.toml": Licence(OURS, "facts, compiled for Tidewatt"),
    f"{COORDINATOR}/scenarios/": Licence(OURS, "Tidewatt: each figure says what it is"),
    f"{GOVERNOR}/orin-nano-super.toml": Licence(OURS, "Tidewatt: each figure says what it is"),
    f"{GOVERNOR}/models/": Licence(OURS, "Tidewatt: learned from the series that its card names"),
    f"{GOVERNOR}/traces/mongo-app1-day.csv": Licence("MIT", "Microsoft Corporation"),
    f"{GOVERNOR}/traces/NOTICE": Licence("MIT", "Microsoft Corporation"),
    f"{AGENT}/": Licence(OURS, "Tidewatt"),
}


def shipped() -> Iterator[tuple[str, Licence]]:
    """Every data file with its licence, by name; LookupError for one that nobody has looked at."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = str(path.relative_to(ROOT))
            if path.is_file() and path.suffix not in CODE:
                yield name, licence_of(name)


def licence_of(name: str) -> Licence:
    """Of one file."""
    fits = [place for place in LICENCES if name == place or (place.endswith("/") and name.startswith(place))]
    if not fits:
        raise LookupError(f"{name}: docs/pages/licences.py doesn't say whose it is")
    return LICENCES[max(fits, key=len)]
