"""A board's profile may be a file."""

from pathlib import Path

import pytest

from tidewatt_agent.config import Board, Config, parse_config
from tidewatt_agent.recognise import BoardIdentity
from tidewatt_agent.setup import profile_of
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.documents import DocumentError, to_toml


def test_it_is_read_from_the_file_that_the_configuration_names(profile: BoardProfile, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(profile).replace("idle_watts = 4.8", "idle_watts = 5.9"))
    config = parse_config(f'[board]\nprofile = "{path}"\n', name="agent.toml")
    found = profile_of(config, BoardIdentity())
    assert found
    assert found.point("25W").idle_watts == 5.9


def test_what_is_wrong_with_it_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(FileNotFoundError):
        profile_of(Config(board=Board(profile=str(path))), BoardIdentity())
    path.write_text("names = 1")
    with pytest.raises(DocumentError, match=r"mine.toml: unknown key 'names'; did you mean 'name'\?"):
        profile_of(Config(board=Board(profile=str(path))), BoardIdentity())
    with pytest.raises(DocumentError, match=r"there are auto, orin-nano-super, or name a file that ends in"):
        parse_config('[board]\nprofile = "mine"\n', name="agent.toml")
