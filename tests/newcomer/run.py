"""`make newcomer`: a new user's three journeys, typed into a bare Debian 12 or an empty folder, and timed.

In the Debian nothing is but what `mmdebstrap --variant=minbase` brings; the journeys install the rest.
pip's own settings are carried there from this machine's environment and /etc/pip.conf; so is what `--bind`
names.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer
from tests.documents.blocks import ROOT
from tests.newcomer.journeys import script
from tests.ports import free_port

SUITE = "bookworm"
CARRIED = ("PIP_", "UV_", "SSL_CERT", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy")
#: This machine's files that say how the network is reached, if there are any.
FILES = ("etc/pip.conf", "etc/hosts", "etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt")

#: What a user of Debian without privileges finds; sudo adds the rest (tests/newcomer/journeys.py).
USERS = "/usr/local/bin:/usr/bin:/bin"
SAMPLED_S = 5.0
#: Of each journey its seconds, and the mean load of the machine meanwhile, for each processor.
Found = dict[str, tuple[float, float]]


def main() -> int:
    """Run the journeys; 1 if one of them ended early."""
    options = _parser().parse_args()
    found: Found = {}
    with _aws() as endpoint, tempfile.TemporaryDirectory(prefix="newcomer-", dir=options.folder) as name:
        folder = Path(name)
        environment = {key: value for key, value in os.environ.items() if key.startswith(CARRIED)}
        environment |= {
            "AWS_ACCESS_KEY_ID": "newcomer",
            "AWS_SECRET_ACCESS_KEY": "newcomer",  # of nobody: the stand-in asks for none
            "TIDEWATT__LEVERS__S3_LIFECYCLE__ENDPOINT": endpoint,
        }
        ports = {usual: free_port() for usual in ("8080", "8883", "8443")}
        text = script(str(ROOT), ports, _before(), root=not options.python)
        if options.python:
            found, ok = _here(text, folder, environment, options.python)
        else:
            found, ok = _debian(text, folder, environment, options.bind)
        _tell(found, options)  # before a folder of a gigabyte is taken away
    return 0 if ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="type them here with this Python, not in a Debian; no root needed")
    parser.add_argument("--bind", action="append", default=[], help="a folder that the Debian sees, too")
    parser.add_argument("--folder", help="where to make the temporary folder")
    parser.add_argument("--json", type=Path, help="write the times there")
    return parser


def _before() -> dict[str, str]:
    """The second journey begins where the demo ended; the third one's coordinator replaces the second's."""
    return {'pip install "./coordinator': "kill %2 2>/dev/null; cd .."}


@contextmanager
def _aws() -> Iterator[str]:
    """A stand-in for AWS, with a bucket in which an upload was begun long ago."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        s3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="n",
            aws_secret_access_key="n",  # noqa: S106
        )
        s3.create_bucket(Bucket="shop")
        begun = s3.create_multipart_upload(Bucket="shop", Key="big")["UploadId"]
        s3.upload_part(Bucket="shop", Key="big", UploadId=begun, PartNumber=1, Body=b"x" * 5_000_000)
        yield url
    finally:
        server.stop()


def _here(text: str, folder: Path, environment: dict[str, str], python: str) -> tuple[Found, bool]:
    path = f"{Path(shutil.which(python) or python).parent}:{USERS}"
    carried = {"PATH": path, "HOME": str(folder), "PYTHON": python}
    return _timed(["bash", "-c", text], folder, environment | carried)


def _debian(text: str, folder: Path, environment: dict[str, str], bound: list[str]) -> tuple[Found, bool]:
    """In a root made for it, with this machine's network; everything in it ends with the script."""
    root = folder / "root"
    sources = next(
        path
        for path in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources"))
        if path.exists() and path.stat().st_size
    )
    made = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", SUITE]
    subprocess.run([*made, str(root), str(sources)], check=True)
    for name in FILES:
        if Path("/", name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), root / name)
    (root / "root/journeys").write_text(text)
    mounts = [
        "mount -t proc proc {root}/proc",
        "mount --rbind /sys {root}/sys",
        "mount --rbind /dev {root}/dev",
    ]
    for path in [*bound, str(ROOT)]:
        mounts += [f"mkdir -p {{root}}{path}", f"mount --bind -o ro {path} {{root}}{path}"]
    plain = environment | {
        "PATH": USERS,
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    carried = " ".join(f"{key}='{value}'" for key, value in plain.items())
    inside = (
        "git config --global safe.directory '*' 2>/dev/null; apt-get -qq update; cd /root && . /root/journeys"
    )
    command = (
        " && ".join(mounts).format(root=root) + f' && exec chroot {root} env -i {carried} bash -c "{inside}"'
    )
    unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    return _timed([*unshared, "bash", "-c", command], folder, os.environ)


def _timed(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[Found, bool]:
    """What was found of each journey, and whether all were ended."""
    found: Found = {}
    loads = [_load()]
    began = last = 0.0
    process = subprocess.Popen(
        command, cwd=folder, env=dict(environment), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout
    typed = ""
    ended = threading.Event()
    threading.Thread(target=_sample, args=(loads, ended), daemon=True).start()
    for line in process.stdout:
        if not line.startswith("NEWCOMER "):
            print("   ", line.rstrip())
            continue
        _mark, at, kind, what = line.rstrip().split(" ", 3)
        if typed:
            print(f"{float(at) - last:8.1f} s  {typed}", flush=True)
        typed, last = what if kind == "type" else "", float(at)
        if kind == "begin":
            began = float(at)
        elif kind == "end":
            found[what] = float(at) - began, sum(loads) / len(loads)
            began, loads[:] = float(at), [_load()]
    ended.set()
    return found, process.wait() == 0 and len(found) == 3


def _sample(loads: list[float], ended: threading.Event) -> None:
    while not ended.wait(SAMPLED_S):
        loads.append(_load())


def _load() -> float:
    """Who ran or wanted to in the last minute, for each processor."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def _tell(found: Found, options: argparse.Namespace) -> None:
    where = f"Python of {options.python}" if options.python else f"bare Debian {SUITE}, {platform.machine()}"
    print(where)
    for name, (seconds, load) in found.items():
        print(f"  to the {name}: {seconds:.0f} s at a mean load of {load:.1f} for each processor")
    if options.json:
        told = {name: {"seconds": seconds, "load": load} for name, (seconds, load) in found.items()}
        options.json.write_text(json.dumps({"where": where, "journeys": told}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
