"""What the pages tell a reader to type works, in the order in which they tell it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from traveltide_assets_tests.support.documents import blocks_of
from traveltide_assets_tests.support.newcomer import Newcomer

README = "README.md"
FAST, SLOW = blocks_of("fast"), blocks_of("slow")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Somebody who has done what the README says: all other pages start from there."""
    somebody = Newcomer(tmp_path_factory.mktemp("newcomer"))
    try:
        yield somebody
    finally:
        somebody.stop()


@pytest.fixture(scope="module")
def printed(newcomer: Newcomer) -> list[str]:
    """What the commands of the README print."""
    return newcomer.follow(FAST[README])


def test_the_readme_leads_a_newcomer_to_a_result(newcomer: Newcomer, printed: list[str]) -> None:
    result = printed[0]
    echoed, summary = result.split("\n", 1)
    assert echoed == ".venv/bin/traveltide run"
    assert summary.startswith("Generated data, not real customers (the sample")
    for line in ("Cohort of 2023-07", "Checks:", "lake-sample/releases/month=2023-07"):
        assert line in result
    report = (newcomer.folder / "report.html").read_text()
    assert report.startswith("<!DOCTYPE html>")
    assert report.partition("<body>")[2].strip().startswith('<aside class="notice"')
    assert list((newcomer.folder / "lake/gold/perk_assignments").glob("month=*/*.parquet"))


@pytest.mark.parametrize("page", [page for page in FAST if page != README])
def test_the_commands_of_a_page_work(page: str, newcomer: Newcomer, printed: list[str]) -> None:
    assert all(newcomer.follow(FAST[page])[-1:])
    assert printed


@pytest.mark.parametrize("page", list(SLOW))
def test_the_long_commands_of_a_page_work(
    page: str, newcomer: Newcomer, printed: list[str]
) -> None:
    newcomer.follow(SLOW[page])
    assert printed
