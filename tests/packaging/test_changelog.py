"""Fragments of the change log: what is refused, and what a release makes of them."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "packaging"))
from changelog import KINDS, fragments, released, section, wrong  # noqa: E402


def test_ours_are_well_formed() -> None:
    assert all(one.kind in KINDS for one in fragments(ROOT / "changes"))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.new.md", "It is.", "NAME.KIND.md"),
        ("x.md", "It is.", "NAME.KIND.md"),
        ("X.added.md", "It is.", "NAME.KIND.md"),
        ("x.added.md", " \n", "says nothing"),
        ("x.added.md", "no end", "sentence"),
        ("x.added.md", "# Heading\nIt is.", "paragraph"),
        ("x.added.md", "- It is.", "paragraph"),
        ("x.added.md", "See [it](it.md).", "link"),
        ("x.added.md", "x" * 121 + ".", "longer"),
    ],
)
def test_each_mistake_is_named(name: str, text: str, why: str) -> None:
    assert any(why in sentence for sentence in wrong(name, text))


def test_a_release_collects_them_above_the_others(tmp_path: Path) -> None:
    (tmp_path / "b.fixed.md").write_text("B is mended.\nIt was wrong.\n")
    (tmp_path / "a.added.md").write_text("A is there.\n")
    (tmp_path / "README.md").write_text("not a fragment")
    new = section(fragments(tmp_path), "0.2.0", "2027-01-31")
    log = released("# Changes\n\nAbout.\n\n## 0.1.0 (2026-11-21)\n\nFirst.\n", new)
    assert log == (
        "# Changes\n\nAbout.\n\n## 0.2.0 (2027-01-31)\n\n### Added\n\n- A is there.\n\n### Fixed\n\n"
        "- B is mended.\n  It was wrong.\n\n## 0.1.0 (2026-11-21)\n\nFirst.\n"
    )


def test_one_that_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.added.md").write_text("no end")
    with pytest.raises(ValueError, match="x.added.md: it doesn't end"):
        fragments(tmp_path)
