"""Models that the operator adds: described as they are, in chunks that make them up again."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.models.folder import LARGEST_BYTES, ModelError, ModelFolder, describe
from tidewatt_wire.messages import MODEL_CHUNK_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "some.onnx"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [1, MODEL_CHUNK_BYTES, MODEL_CHUNK_BYTES + 1, 3 * MODEL_CHUNK_BYTES])
def test_chunks_make_up_the_model(folder: ModelFolder, tmp_path: Path, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    model = folder.add(file(tmp_path, content), "spring")
    (offered,) = folder.offered()
    assert offered.model == model == describe("spring", content)
    chunks = [offered.chunk(index) for index in range(model.chunks)]
    assert b"".join(chunks) == content
    assert all(0 < len(chunk) <= MODEL_CHUNK_BYTES for chunk in chunks)
    assert offered.chunk(model.chunks) == b""


def test_what_was_replaced_or_removed_is_to_be_cleared_away(folder: ModelFolder, tmp_path: Path) -> None:
    first = folder.add(file(tmp_path, b"first"), "spring")
    second = folder.add(file(tmp_path, b"second"), "spring")
    assert [one.model for one in folder.offered()] == [second]
    assert folder.gone() == [first]
    folder.add(file(tmp_path, b"first"), "again")
    assert folder.gone() == [], "it is offered once more"
    folder.remove("spring")
    assert [model.sha256 for model in folder.gone()] == [second.sha256]


def test_what_can_not_be_offered(folder: ModelFolder, tmp_path: Path) -> None:
    for name in ("", "a/b", "shipped"):
        with pytest.raises(ModelError, match="can't be a model's name"):
            folder.add(file(tmp_path, b"x"), name)
    for content in (b"", b"x" * (LARGEST_BYTES + 1)):
        with pytest.raises(ModelError, match="a device takes one of up to 16777216"):
            folder.add(file(tmp_path, content), "spring")
    with pytest.raises(ModelError, match="there is no model 'spring'; there are: none"):
        folder.remove("spring")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text("")
    file(tmp_path, b"model")

    def told(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["model", *arguments, "--config", "c.toml"], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert "5 bytes" in told("add", "some.onnx", "--name", "spring")
    assert told("list").startswith("spring  5  ")
    told("remove", "spring")
    assert told("list") == ""
