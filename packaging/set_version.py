"""Which release this is, everywhere from one file: `set_version.py [X.Y.Z]`.

VERSION says it. Without an argument the other places are written from it; with one, VERSION first, and
Debian's changelog gets an entry. Afterwards `make docs` writes the pages of the manual.
"""

import re
import sys
from datetime import datetime, timezone

from release.tree import ROOT, WHEELS, moment, version

IMAGE = r"(?<=tidewatt-coordinator:)\d+\.\d+\.\d+"
TAG = r"(?m)(?<=^    newTag: )\S+"
#: What names the release: file, and a pattern around the version.
PLACES = {
    **{f"{wheel}/pyproject.toml": r'(?m)(?<=^version = ")[^"]+(?=")' for wheel in WHEELS},
    "README.md": r"(?<=tidewatt-agent_)[^_]+(?=_arm64\.deb)",
    "docs/operate.md": r"(?<=tidewatt-coordinator_)[^_]+(?=_amd64\.deb)",
    "docs/router.md": r"(?<=tidewatt-router_)[^_]+(?=_amd64\.deb)",
    "agent/tidewatt_agent/version.py": r'(?m)(?<=^VERSION = ")[^"]+(?=")',
    "docs/deploy.md": IMAGE,
    "packaging/compose/compose.yaml": IMAGE,
    "packaging/container/Dockerfile": rf"{IMAGE}|(?m:(?<=^ARG VERSION=)\S+)",
    "packaging/kubernetes/base/kustomization.yaml": TAG,
    "packaging/kubernetes/example/kustomization.yaml": TAG,
}
PINS = r'(?<="tidewatt-)(\w+)==[^"]+(?=")'
RELEASE = re.compile(r"\d+\.\d+\.\d+")
ENTRY = """\
tidewatt ({version}) unstable; urgency=medium

  * Release {version}.

 -- Tidewatt <packages@tidewatt.invalid>  {date}

"""


def main() -> None:
    """Write the version wherever it stands."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else version()
    if not RELEASE.fullmatch(wanted):
        sys.exit(f"set_version: {wanted!r} is not like 1.2.3")
    (ROOT / "VERSION").write_text(f"{wanted}\n")
    for name, text in written(wanted).items():
        (ROOT / name).write_text(text, "utf-8")


def written(wanted: str) -> dict[str, str]:
    """Each file that names the version, as it must be."""
    found = {}
    for name, pattern in PLACES.items():
        text, count = re.subn(pattern, wanted, (ROOT / name).read_text("utf-8"))
        if not count:
            sys.exit(f"set_version: {name} doesn't name the version any more")
        found[name] = re.sub(PINS, rf"\1=={wanted}", text)
    name = "packaging/deb/changelog"
    changelog = (ROOT / name).read_text("utf-8")
    if not changelog.startswith(f"tidewatt ({wanted}) "):
        date = datetime.fromtimestamp(moment(), timezone.utc).strftime("%a, %d %b %Y %H:%M:%S +0000")
        changelog = ENTRY.format(version=wanted, date=date) + changelog
    found[name] = changelog
    return found


if __name__ == "__main__":
    main()
