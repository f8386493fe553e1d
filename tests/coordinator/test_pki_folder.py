"""The CA's folder: who may read it, its list of what was revoked, and the commands that work in it."""

import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from tests.enrolling import Desk, desk
from tests.secured import now
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.pki.certificates import key_pem, new_authority, new_key
from tidewatt_coordinator.pki.folder import Folder, FolderError

__all__ = ["desk"]  # the fixture


def test_the_cas_folder(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "pki"))
    with pytest.raises(FolderError, match="`tidewatt enroll ca` makes a CA"):
        folder.authority()
    ca = new_authority("f", now())
    folder.begin(ca)
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    key = tmp_path / "pki/ca.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert folder.authority().certificate == ca.certificate
    with pytest.raises(FolderError, match="holds a CA already"):
        folder.begin(new_authority("f", now()))
    key.chmod(0o640)
    with pytest.raises(FolderError, match="open to other users: chmod 600"):
        folder.authority()
    key.chmod(0o600)
    key.write_bytes(key_pem(new_key()))
    with pytest.raises(FolderError, match="is not the key of"):
        folder.authority()
    key.write_text("x")
    with pytest.raises(FolderError, match="holds no key that can be read"):
        folder.authority()


def test_root_gives_its_files_to_the_folders_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    tmp_path.chmod(0o755)
    os.chown(tmp_path, 12345, 12345)
    folder = Folder(str(tmp_path / "pki"))
    folder.begin(new_authority("f", now()))
    assert {path.stat().st_uid for path in [tmp_path / "pki", *(tmp_path / "pki").iterdir()]} == {12345}


def test_each_list_begins_later_than_the_one_before_and_outlives_them_all(desk: Desk) -> None:
    lists = []
    for number in range(5):
        desk.pki.shown(f"d{number}")
        desk.pki.revoke(f"d{number}")
        found = desk.pki.folder.revocation_list()
        assert found is not None
        lists.append(found)
    starts = [one.last_update_utc for one in lists]
    assert starts == sorted(set(starts))
    assert starts[-1] <= now(), "a list from the future is not believed"
    assert {one.next_update_utc for one in lists} == {desk.pki.authority.certificate.not_valid_after_utc}
    assert [len(list(one)) for one in lists] == [1, 2, 3, 4, 5]


def test_the_commands(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        f'[ledger]\nurl = "sqlite:///{tmp_path}/l.db"\n'
        f'[enroll]\nfolder = "{tmp_path}/pki"\nnames = ["door.example"]\nlisten = "0.0.0.0:8443"\n'
    )

    def tidewatt(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["enroll", *arguments, "--config", str(file)])
        if done.exception:
            return str(done.exception)
        return done.output

    assert "`tidewatt enroll ca` makes a CA" in tidewatt("token")
    assert "keep a copy of this folder" in tidewatt("ca")
    assert "holds a CA already" in tidewatt("ca")
    assert x509.load_pem_x509_crl((tmp_path / "pki/crl.pem").read_bytes()) is not None
    assert "broker.key" in tidewatt("broker", "broker.example", "192.0.2.7")
    server = x509.load_pem_x509_certificate((tmp_path / "pki/broker.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["broker.example", "192.0.2.7"]
    assert (tmp_path / "pki/broker.key").stat().st_mode & 0o777 == 0o600
    assert "neither a host name nor an address" in tidewatt("broker", "a b")
    assert "coordinator-east.pem" in tidewatt("coordinator", "--name", "coordinator-east")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(tmp_path / "pki/coordinator-east.pem")
    assert "begins with 'coordinator-'" in tidewatt("coordinator", "--name", "east")
    printed = tidewatt("token", "--device", "d1", "--valid", "30m")
    assert printed.startswith("tidewatt-agent enroll https://door.example:8443 --token ")
    token = printed.split()[4]
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("l.db*")), (
        "only its hash"
    )
    assert "is no time between 1m and 30d" in tidewatt("token", "--valid", "1y")
    assert "a name for coordinators" in tidewatt("token", "--device", "coordinator-x")
    listed = tidewatt("list")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["broker.example", "server"],
        ["coordinator-east", "coordinator"],
        ["d1", "token"],
    ]
    assert token not in listed
    assert "revoked certificates: 1" in tidewatt("revoke", "coordinator-east")
    assert "holds nothing that could be revoked" in tidewatt("revoke", "coordinator-east")
