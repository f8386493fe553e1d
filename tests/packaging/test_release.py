"""What a release is made of: one version, the same bytes twice, bills of materials, notices."""

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from importlib.metadata import packages_distributions
from importlib.metadata import version as installed
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "packaging"))
import set_version  # noqa: E402
from build_deb import PACKAGES, coordinator_config  # noqa: E402
from release.bom import boms, wrong_bom  # noqa: E402
from release.contents import ARTEFACTS, JETPACK, SERVERS  # noqa: E402
from release.locks import licences, locked, parse_lock  # noqa: E402
from release.notices import named  # noqa: E402
from release.tree import WHEELS, version  # noqa: E402

from tidewatt_coordinator.config import Config, parse_config  # noqa: E402

#: Licences that ask more of whom we hand a package to than naming and leaving as it is.
STRONG = re.compile(r"\b(A?GPL|SSPL|BUSL|CC-BY-NC)")


def test_every_place_that_names_the_version_agrees_with_the_one_file() -> None:
    for name, text in set_version.written(version()).items():
        assert (ROOT / name).read_text("utf-8") == text, f"{name}: python packaging/set_version.py"
    assert {installed(f"tidewatt-{wheel}") for wheel in WHEELS} == {version()}
    for page in (ROOT / "packaging/deb").glob("*.[18]"):
        assert f'"Tidewatt {version()}"' in page.read_text("utf-8").splitlines()[0]


def test_another_version_changes_every_place_and_the_changelog() -> None:
    found = set_version.written("7.8.9")
    assert found["packaging/deb/changelog"].startswith("tidewatt (7.8.9) unstable")
    for wheel in WHEELS:
        assert 'version = "7.8.9"' in found[f"{wheel}/pyproject.toml"]
        assert version() not in re.findall(r'"tidewatt-\w+==([^"]+)"', found[f"{wheel}/pyproject.toml"])
    assert "tidewatt-agent_7.8.9_arm64.deb" in found["README.md"]
    shipped = ["README.md", "docs", "packaging", *WHEELS]
    listed = subprocess.run(
        ["git", "ls-files", "--", *shipped], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # The pages of the manual are written anew by `make docs`; the changelog remembers.
    left = [name for name in listed.stdout.split() if Path(name).suffix not in {".1", ".8", ".json", ".gz"}]
    old = re.compile(rf"(?<![\d.]){re.escape(version())}(?![\d.])")
    texts = {name: found.get(name) or (ROOT / name).read_text("utf-8", "replace") for name in left}
    named = [name for name, text in texts.items() if old.search(text)]
    assert named == ["packaging/deb/changelog"], "put them into set_version.PLACES"


@pytest.mark.skipif(sys.platform != "linux", reason="packages are built on Linux")
def test_wheels_and_sdists_are_the_same_bytes_twice_and_bear_the_licence(tmp_path: Path) -> None:
    made = []
    for name, umask in (("first", 0o022), ("second", 0o077)):
        program = [sys.executable, str(ROOT / "packaging/build_wheels.py"), "--out", str(tmp_path / name)]
        subprocess.run(
            program,
            check=True,
            capture_output=True,
            env=os.environ | {"SOURCE_DATE_EPOCH": "1790000000"},
            umask=umask,
        )
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert len(made[0]) == 2 * len(WHEELS)
    assert made[0] == made[1]
    for path in (tmp_path / "first").iterdir():
        if path.suffix == ".whl":
            held = zipfile.ZipFile(path)
            (licence,) = [name for name in held.namelist() if name.endswith("licenses/LICENSE")]
            assert held.read(licence) == (ROOT / "LICENSE").read_bytes()
        else:
            with tarfile.open(path) as archive:
                (member,) = [one for one in archive if one.name.endswith("/LICENSE")]
                inside = archive.extractfile(member)
                assert inside is not None
                assert inside.read() == (ROOT / "LICENSE").read_bytes()


def test_every_bill_is_valid_and_names_what_the_lock_holds() -> None:
    bills = dict(boms(["arm64"]))
    name, text = next(boms(["arm64"]))
    assert bills[name] == text, "the same bytes twice"
    assert len(bills) == len(WHEELS) + len(ARTEFACTS)
    bill = json.loads(bills[f"tidewatt-agent_{version()}_arm64.cdx.json"])
    held = {one["name"] for one in bill["components"]}
    assert {"tidewatt-wire", "tidewatt-governor", "tidewatt-agent"} < held
    assert {one.name for one in locked("device", JETPACK)} < held
    others = [one for one in bill["components"] if not one["name"].startswith("tidewatt-")]
    assert all(one["hashes"] and one["licenses"] and one["purl"] for one in others)
    image = json.loads(bills[f"tidewatt-coordinator-image_{version()}_arm64.cdx.json"])
    assert image["metadata"]["component"]["purl"].startswith("pkg:docker/tidewatt/tidewatt-coordinator@")
    assert {"boto3", "matplotlib", "fpdf2", "tzdata"} < {one["name"] for one in image["components"]}
    wheel = json.loads(bills[f"tidewatt_wire-{version()}.cdx.json"])
    assert {"cryptography", "msgspec", "cffi"} <= {one["name"] for one in wheel["components"]}
    assert "fastapi" not in {one["name"] for one in wheel["components"]}


def test_a_release_has_what_the_documents_install_for_its_machine() -> None:
    """Both architectures of what runs beside a fleet; of what runs on a Jetson its own."""
    texts = [path.read_text("utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    named_ = {
        found.groups() for text in texts for found in re.finditer(r"\./(tidewatt-\w+)_[^_]+_(\w+)\.deb", text)
    }
    assert {package for package, _ in named_} == {"tidewatt-agent", "tidewatt-coordinator", "tidewatt-router"}
    for package, arch in named_:
        assert arch in ARTEFACTS[package].architectures
    for package in ("tidewatt-coordinator", "tidewatt-router", "tidewatt-coordinator-image"):
        assert ARTEFACTS[package].architectures == ("amd64", "arm64")
    assert {name for name, about in ARTEFACTS.items() if about.kind == "deb"} == {*PACKAGES}


def test_a_bill_that_is_wrong_is_called_so() -> None:
    _, first = next(boms(["arm64"]))
    assert wrong_bom(first) == ""
    assert wrong_bom(first.replace('"library"', '"librarry"')) != ""


def test_a_lock_is_read_for_each_python() -> None:
    text = "numpy==1.0 ; python_full_version < '3.11' \\\n    --hash=sha256:" + "a" * 64
    text += "\nnumpy==2.0 ; python_full_version >= '3.11' --hash=sha256:" + "b" * 64 + "\n# none\n"
    text += "pywin==3.0 ; sys_platform == 'win32' --hash=sha256:" + "c" * 64
    old, new, windows = parse_lock(text, SERVERS)
    assert (old.version, old.pythons, old.hashes) == ("1.0", ("3.10",), ("a" * 64,))
    assert (new.version, new.pythons) == ("2.0", ("3.11", "3.12", "3.13"))
    assert windows.pythons == ()


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_what_is_bundled_has_a_licence_that_lets_us(artefact: str) -> None:
    found = named(artefact)
    assert found
    assert [str(one) for one in found if STRONG.search(one.licence.replace("LGPL", ""))] == []
    assert "jetson-stats" not in {one.name for one in found}


def test_no_licence_is_listed_for_what_nobody_bundles() -> None:
    used = {one.name for artefact in ARTEFACTS for one in named(artefact)}
    assert set(licences()) == used


def test_the_packaged_configuration_is_the_shipped_one_with_absolute_paths() -> None:
    config = parse_config(coordinator_config(), name="coordinator.toml")
    assert config.enroll.folder == "/var/lib/tidewatt-coordinator/pki"
    assert config.ledger.url == "sqlite:////var/lib/tidewatt-coordinator/tidewatt.db"
    assert config.policy_keys.folder.startswith("/var/lib/tidewatt-coordinator/")
    assert config.models.folder.startswith("/var/lib/tidewatt-coordinator/")
    assert config.broker == Config().broker


#: What is asked for only where it is there, or comes with another package of ours.
OPTIONAL = {"jtop", "numpy", "onnxruntime", "tomli", "torch", "onnx", "lightgbm", "matplotlib", "fpdf"}


def brought_by(package: str) -> list[str]:
    """Who has files of it; Python 3.10 asks for a list that not everybody writes."""
    return [
        str(one.metadata["Name"])
        for one in metadata.distributions()
        if any(file.parts[0] == package for file in one.files or ())
    ]


@pytest.mark.parametrize("artefact", ["tidewatt-agent", "tidewatt-router", "tidewatt-coordinator"])
def test_what_our_code_imports_is_carried_for_every_python(artefact: str) -> None:
    """Development has packages that a board hasn't: an import that works here may be missing there."""
    about = ARTEFACTS[artefact]
    imported = set[str]()
    for wheel in about.wheels:
        for path in (ROOT / wheel).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    imported |= {one.name.partition(".")[0] for one in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.partition(".")[0])
    ours_apart = {name for name in imported if "tidewatt" not in name}
    foreign = ours_apart - sys.stdlib_module_names - OPTIONAL - {"tomllib"}  # of 3.11 and newer
    distributions = packages_distributions()
    for python in about.pythons:
        held = {one.name for one in locked(about.lock, about.pythons) if python in one.pythons}
        missing = {
            name
            for name in foreign
            if not held & {canonicalize_name(one) for one in distributions.get(name) or brought_by(name)}
        }
        assert missing == set(), f"Python {python}"
