"""Dead links in the Markdown files: every relative link must lead to a file, every anchor to a heading."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(file: Path) -> set[str]:
    """The anchors of a Markdown file, as forges make them."""
    headings = HEADING.findall(file.read_text("utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(file: Path) -> list[str]:
    """One sentence for each link of `file` that leads nowhere. Links to other sites are not followed."""
    found = []
    for target in LINK.findall(file.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = (file.parent / path).resolve() if path else file
        if not place.exists():
            found.append(f"{file.relative_to(ROOT)}: {target} leads nowhere")
        elif anchor and place.suffix == ".md" and anchor not in anchors(place):
            found.append(f"{file.relative_to(ROOT)}: {target}: there is no such heading")
    return found


def main() -> None:
    """Check every Markdown file that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    dead = [sentence for name in listed.stdout.splitlines() for sentence in dead_links(ROOT / name)]
    for sentence in dead:
        print(sentence, file=sys.stderr)  # noqa: T201 - a command
    sys.exit(1 if dead else 0)


if __name__ == "__main__":
    main()
