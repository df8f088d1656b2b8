"""The suppression list: customers who must not be contacted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.text_file import UnreadableText, read_text

_USER_ID = re.compile(r"[0-9]{1,18}")
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "blank"}


class SuppressionError(TravelTideError, ValueError):
    """The suppression list is not valid. The message names the file and the line."""


@dataclass(frozen=True)
class Suppressed:
    """The suppressed customers, and the SHA-256 of the file. Empty and None without a file."""

    users: frozenset[int]
    digest: str | None

    def with_others(self, users: Iterable[int]) -> Suppressed:
        """The list with more customers who must not be contacted. The digest stays the file's."""
        return replace(self, users=self.users.union(users))


def read_suppressed(file: Path | None) -> Suppressed:
    """The customers in a CSV file with a single column, `user_id`. The header is optional.

    A list of nobody is the header alone. Raises `SuppressionError` for an empty file and for
    anything else in it: a list that is only partly understood does not protect anybody.
    """
    if file is None:
        return Suppressed(frozenset(), None)
    try:
        read = read_text(file)
    except UnreadableText as error:
        raise SuppressionError(
            f"suppression list: {error} "
            "(campaign.suppression_file must name a CSV file of user_ids)"
        ) from error
    cells = [line.strip().strip('"') for line in read.text.splitlines()]
    if not any(cells):
        raise SuppressionError(
            f"suppression list {file} is empty: a list of nobody has one line, user_id. Without a "
            "list, unset campaign.suppression_file"
        )
    first = 1 if cells[0].lower() == "user_id" else 0
    for number, cell in enumerate(cells[first:], first + 1):
        if cell and not _USER_ID.fullmatch(cell):
            raise SuppressionError(
                f"suppression list {file}, line {number}: not a user_id{_sign(cell)}; "
                "the file must have one column, user_id, with a whole number in every line"
            )
    return Suppressed(frozenset(int(cell) for cell in cells[first:] if cell), read.digest)


def _sign(cell: str) -> str:
    """What is in a line, in words, without quoting it: it may be somebody's address."""
    found = [name for sign, name in _SEPARATORS.items() if sign in cell]
    return f" (there is a {found[0]} in the line)" if found else ""
