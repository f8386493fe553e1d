"""Write the bills of materials of all artefacts: `build_sbom.py [--arch arm64] [--out DIR]`."""

import argparse
from pathlib import Path

from release.bom import boms
from release.bundle import PLATFORMS
from release.tree import ROOT, freeze


def main() -> None:
    """Write them, each valid by CycloneDX's schema, and say how many components they name."""
    parser = argparse.ArgumentParser(description="Write CycloneDX bills of materials.")
    parser.add_argument("--arch", nargs="+", choices=sorted(PLATFORMS), default=sorted(PLATFORMS))
    parser.add_argument("--out", type=Path, default=ROOT / "build/sbom", help="default: build/sbom")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    freeze()
    for name, text in boms(options.arch):
        (options.out / name).write_text(text, "utf-8")
        count = text.count('"bom-ref"') - 1
        print(f"{name}: {count} components")


if __name__ == "__main__":
    main()
