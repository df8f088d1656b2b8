"""docs/reference/ says what the code declares."""

from __future__ import annotations

from tools.reference import FOLDER, render


def test_the_pages_of_the_reference_are_those_the_code_renders() -> None:
    on_disk = {page.name: page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md")}
    assert on_disk == render(), "run `make docs`"
