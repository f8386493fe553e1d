"""Make a signed apt repository of packages: `APT_KEY=ID build_apt_repo.py [--debs DIR] [--out DIR]`.

    pool/main/t/tidewatt/*.deb
    dists/stable/{InRelease,Release,Release.gpg}, main/binary-ARCH/{Packages,Packages.xz}, each by hash, too
    tidewatt.asc                     the key's public half, for signed-by

APT_KEY names a key that gpg of the caller has: no key is made or kept here. What was in the folder's pool
stays, so that a release is added to those before it.
"""

import argparse
import hashlib
import lzma
import os
import shutil
import subprocess
from pathlib import Path

from release.tree import ROOT, freeze, run, stop

SUITE, COMPONENT = "stable", "main"
POOL = f"pool/{COMPONENT}/t/tidewatt"
NEEDED = {"apt-ftparchive": "apt-utils", "gpg": "gnupg"}


def main() -> None:
    """Make it, or say in a sentence why not."""
    parser = argparse.ArgumentParser(description="Make a signed apt repository.")
    parser.add_argument("--debs", type=Path, default=ROOT / "build/deb", help="default: build/deb")
    parser.add_argument("--out", type=Path, default=ROOT / "build/apt", help="default: build/apt")
    options = parser.parse_args()
    key = os.environ.get("APT_KEY", "")
    if not key:
        stop("APT_KEY is empty: name the gpg key to sign with, by its fingerprint (gpg --list-secret-keys)")
    if subprocess.run(
        ["gpg", "--batch", "--list-secret-keys", key], capture_output=True, check=False
    ).returncode:
        stop(f"gpg has no secret key {key!r}: gpg --list-secret-keys shows those it has")
    debs = sorted(options.debs.glob("*.deb"))
    if not debs:
        stop(f"{options.debs} holds no package: make deb")
    for program, package in NEEDED.items():
        if not shutil.which(program):
            stop(f"{program} is missing: apt install {package}")
    freeze()
    pool = options.out / POOL
    pool.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        _add(deb, pool)
    architectures = sorted({path.stem.rpartition("_")[2] for path in pool.glob("*.deb")})
    for arch in architectures:
        _index(options.out, arch)
    _sign(options.out, architectures, key)
    print(f"{options.out}: {len(list(pool.glob('*.deb')))} packages for {', '.join(architectures)}")


def _add(deb: Path, pool: Path) -> None:
    """A package that was released stays what it was: apt's caches and people's records hold its hash."""
    place = pool / deb.name
    if place.exists() and place.read_bytes() != deb.read_bytes():
        stop(f"{place} is there with other bytes: a changed package needs a version of its own")
    shutil.copyfile(deb, place)


def _index(out: Path, arch: str) -> None:
    folder = out / f"dists/{SUITE}/{COMPONENT}/binary-{arch}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listed = run("apt-ftparchive", "--arch", arch, "packages", POOL, folder=out).encode()
    for name, content in (("Packages", listed), ("Packages.xz", lzma.compress(listed))):
        (folder / name).write_bytes(content)
        # So that whoever reads while a new release is put in place finds the files that his Release names.
        by_hash = folder / "by-hash/SHA256" / hashlib.sha256(content).hexdigest()
        by_hash.parent.mkdir(parents=True, exist_ok=True)
        by_hash.write_bytes(content)


def _sign(out: Path, architectures: list[str], key: str) -> None:
    folder = out / f"dists/{SUITE}"
    for name in ("Release", "InRelease", "Release.gpg"):
        (folder / name).unlink(missing_ok=True)
    about = {
        "Origin": "Tidewatt",
        "Label": "Tidewatt",
        "Suite": SUITE,
        "Codename": SUITE,
        "Components": COMPONENT,
        "Architectures": " ".join(architectures),
        "Acquire-By-Hash": "yes",
    }
    options = [
        part for name, value in about.items() for part in ("-o", f"APT::FTPArchive::Release::{name}={value}")
    ]
    (folder / "Release").write_text(run("apt-ftparchive", *options, "release", folder))
    signing = ["gpg", "--batch", "--yes", "--local-user", key, "--digest-algo", "SHA256"]
    run(*signing, "--clearsign", "--output", folder / "InRelease", folder / "Release")
    run(*signing, "--armor", "--detach-sign", "--output", folder / "Release.gpg", folder / "Release")
    run("gpg", "--batch", "--yes", "--armor", "--output", out / "tidewatt.asc", "--export", key)


if __name__ == "__main__":
    main()
