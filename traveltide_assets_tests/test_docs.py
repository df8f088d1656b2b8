"""The README says what the catalogues say."""

from __future__ import annotations

from pathlib import Path

from traveltide_assets.docs import render

README = Path(__file__).parents[1] / "README.md"


def test_the_tables_of_the_readme_are_those_of_the_catalogues() -> None:
    text = README.read_text(encoding="utf-8")
    assert render(text) == text, "run `make docs`"
