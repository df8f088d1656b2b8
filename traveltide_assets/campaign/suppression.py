"""The suppression list: customers who must not be contacted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from traveltide_assets.schema.errors import TravelTideError

_USER_ID = re.compile(r"[0-9]{1,18}")


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

    Raises `SuppressionError` for anything else in the file: a list that is only partly understood
    does not protect anybody.
    """
    if file is None:
        return Suppressed(frozenset(), None)
    try:
        content = file.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SuppressionError(
            f"suppression list {file} cannot be read: {error} "
            "(campaign.suppression_file must name a CSV file of user_ids)"
        ) from error
    cells = [line.strip().strip('"') for line in lines]
    first = 1 if cells and cells[0].lower() == "user_id" else 0
    for number, cell in enumerate(cells[first:], first + 1):
        if cell and not _USER_ID.fullmatch(cell):
            raise SuppressionError(
                f"suppression list {file}, line {number}: not a user_id; "
                "the file must have one column, user_id, with a whole number in every line"
            )
    users = frozenset(int(cell) for cell in cells[first:] if cell)
    return Suppressed(users, hashlib.sha256(content).hexdigest())
