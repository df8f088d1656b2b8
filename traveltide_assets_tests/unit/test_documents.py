"""Every page leads where it says it does, and says of every command how it is tested."""

from __future__ import annotations

import posixpath
import re

import pytest

from traveltide_assets_tests.support.documents import (
    COMMANDS,
    LANES,
    ROOT,
    anchors,
    blocks,
    links,
    pages,
    prose,
)


@pytest.mark.parametrize("page", pages())
def test_every_relative_link_of_a_page_leads_somewhere(page: str) -> None:
    missing = []
    for line, link in links(page):
        target, _, anchor = link.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        place = place if target else page
        if not (ROOT / place).exists() or (anchor and anchor not in anchors(place)):
            missing.append(f"{page}:{line}: {link}")
    assert not missing


@pytest.mark.parametrize("page", pages())
def test_every_command_of_a_page_says_where_it_is_run_or_why_not(page: str) -> None:
    unmarked = [
        f"{block}: {block.mark or 'no mark'}"
        for block in blocks(page)
        if block.language in COMMANDS and block.lane not in LANES and not block.reason
    ]
    assert not unmarked


@pytest.mark.parametrize("page", pages())
def test_no_command_hides_in_a_block_without_a_language(page: str) -> None:
    assert not [str(block) for block in blocks(page) if not block.language]
    lines = prose(page)
    indented = [
        f"{page}:{number + 1}"
        for number, line in enumerate(lines)
        # Within a list, what is indented belongs to an item.
        if line.startswith("    ") and not _in_a_list(lines, number)
    ]
    assert not indented


def _in_a_list(lines: list[str], number: int) -> bool:
    for line in reversed(lines[:number]):
        if line.strip() and not line.startswith(" "):
            return bool(re.match(r"[-*]|\d+\.", line))
    return False


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = {"README.md"}, ["README.md"]
    while todo:
        page = todo.pop()
        for _, link in links(page):
            target = link.partition("#")[0]
            place = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
            if target.endswith(".md") and place not in reached and (ROOT / place).exists():
                reached.add(place)
                todo.append(place)
    assert not set(pages()) - reached


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
