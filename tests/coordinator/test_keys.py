"""Signing keys: made once, rotated with an overlap, never readable by others, and published with."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.sealing import FLEETS_KEY
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.keys.folder import KeyFolder, SigningKeyError
from tidewatt_wire.signing import open_envelope, seal


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


def test_the_first_key_is_made_for_its_owner_only(folder: KeyFolder, tmp_path: Path) -> None:
    assert (folder.signers(), folder.told(), folder.listed()) == ([], [], [])
    made = folder.new()
    (file,) = (tmp_path / "keys").iterdir()
    assert file.name == f"{made.id}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    (read,) = folder.signers()
    assert open_envelope(seal(b"x", [read]), [made.trusted]) == b"x"
    assert folder.told() == [], "a fleet that never rotated trusts what is configured"
    with pytest.raises(SigningKeyError, match=f"there is a key already, {made.id}; `tidewatt keys rotate`"):
        folder.new()


def test_a_rotation_is_an_overlap(folder: KeyFolder) -> None:
    old = folder.new()
    new = folder.rotate()
    assert {key.id for key in folder.signers()} == {old.id, new.id}
    assert {key.id for key in folder.told()} == {old.id, new.id}
    with pytest.raises(SigningKeyError, match="a rotation is under way"):
        folder.rotate()
    assert folder.retire(old.id).id == new.id
    assert [key.id for key in folder.signers()] == [new.id]
    assert folder.told() == [new.trusted], "from now on every set says which are left"
    assert {(one.id, one.signs) for one in folder.listed()} == {(old.id, False), (new.id, True)}


def test_what_can_not_be_asked(folder: KeyFolder) -> None:
    with pytest.raises(SigningKeyError, match="there is no key to rotate; `tidewatt keys new`"):
        folder.rotate()
    with pytest.raises(SigningKeyError, match="no key 'x' signs; there are: none"):
        folder.retire("x")
    only = folder.new()
    with pytest.raises(SigningKeyError, match="is the only key: without one no policy can be published"):
        folder.retire(only.id)


def test_a_bad_key_is_one_sentence(folder: KeyFolder, tmp_path: Path) -> None:
    made = folder.new()
    file = tmp_path / "keys" / f"{made.id}.pem"
    file.chmod(0o640)
    with pytest.raises(SigningKeyError, match=r"others may read this private key; chmod 600"):
        folder.signers()
    file.chmod(0o600)
    file.write_text("no key")
    with pytest.raises(SigningKeyError, match="no private key in PEM"):
        folder.signers()
    other = generate_private_key(SECP256R1())
    file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SigningKeyError, match="not an Ed25519 key"):
        folder.signers()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text('[policy_keys]\nfolder = "k"\n')

    def told(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["keys", *arguments, "--config", "c.toml"], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert "`tidewatt keys new` makes the first" in told("list")
    assert 'policy_keys = ["' in told("new")
    (old,) = KeyFolder(tmp_path / "k").signers()
    assert f"tidewatt keys retire {old.id}" in told("rotate")
    assert told("list").count("signs") == 2
    (left,) = (key for key in KeyFolder(tmp_path / "k").signers() if key.id != old.id)
    assert left.trusted.public in told("retire", old.id)
    assert "retired" in told("list")
    assert FLEETS_KEY.id not in told("list")
