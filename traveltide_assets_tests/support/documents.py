"""The pages of the repository: their links, and the commands they tell a reader to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANES = ("fast", "slow", "servers", "months", "s3", "postgres", "deployment", "spark")
"""Where blocks are run: `fast` and `slow` need nothing, the others a server of that kind."""
COMMANDS = ("bash", "console", "python", "sh", "shell")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)")
_RUN = re.compile(r"<!-- run: (?P<lane>\w+)(?:, in the background until (?P<url>\S+) answers)? -->")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>\S.*) -->")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\((?P<target>[^()\s]+)(?: \"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+?)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. `mark` is the comment right before it, if there is one."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def lane(self) -> str | None:
        """The lane it is run in; None if its mark says why it is not run, or says nothing."""
        found = _RUN.fullmatch(self.mark)
        return found["lane"] if found else None

    @property
    def awaited(self) -> str | None:
        """The address that answers once the block's command is up: the command does not end."""
        found = _RUN.fullmatch(self.mark)
        return found["url"] if found else None

    @property
    def reason(self) -> str | None:
        """Why it is not run, if its mark says so."""
        found = _NOT_RUN.fullmatch(self.mark)
        return found["reason"] if found else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def pages() -> tuple[str, ...]:
    """Every Markdown page of the repository, README.md first: readers begin there."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    names = sorted(page.relative_to(ROOT).as_posix() for page in found)
    return tuple(sorted(names, key=lambda name: name != "README.md"))


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    mark, inside, start = "", None, 0
    body: list[str] = []
    for number, line in enumerate(_lines(page), 1):
        fence = _FENCE.match(line)
        if inside is None:
            if fence:
                inside, start, body = fence, number, []
            elif line.strip():
                mark = line.strip() if line.strip().startswith("<!--") else ""
        elif line.strip() == "```":
            yield Block(page, start, inside["language"], "\n".join(body), mark)
            mark, inside = "", None
        else:
            body.append(line.removeprefix(inside["indent"]))


def blocks_of(lane: str) -> dict[str, list[Block]]:
    """The blocks of a lane by page, in the order of reading."""
    found = {page: [b for b in blocks(page) if b.lane == lane] for page in pages()}
    return {page: inside for page, inside in found.items() if inside}


def prose(page: str) -> list[str]:
    """The lines outside fenced blocks, without code in a line; the others are empty."""
    lines, inside = [], False
    for line in _lines(page):
        if _FENCE.match(line):
            inside = not inside
            lines.append("")
        else:
            lines.append("" if inside else re.sub(r"`[^`]*`", "", line))
    return lines


def links(page: str) -> Iterator[tuple[int, str]]:
    """The relative links of a page, pictures too, with the number of their line."""
    text = "\n".join(prose(page))
    for found in _LINK.finditer(text):
        if not re.match(r"[a-z]+:", found["target"]):
            yield text.count("\n", 0, found.start()) + 1, found["target"]


@cache
def anchors(page: str) -> frozenset[str]:
    """What a link to a heading of the page may end with, as forges make it."""
    found: set[str] = set()
    inside = False
    for line in _lines(page):
        if _FENCE.match(line):
            inside = not inside
        heading = None if inside else _HEADING.match(line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading["text"])
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            times = sum(1 for known in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known))
            found.add(f"{anchor}-{times}" if times else anchor)
    return frozenset(found)


@cache
def _lines(page: str) -> tuple[str, ...]:
    return tuple((ROOT / page).read_text(encoding="utf-8").splitlines())
