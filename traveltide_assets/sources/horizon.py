"""The months and the cohort's start that a source's sessions suggest, where no setting does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from traveltide_assets.schema.months import shift, start_of

# A wrong clock dates a session years away. Between real sessions there is no such gap.
_LONGEST_GAP = 12
# Of the median month's sessions. The last month of an export may hold a day or two.
_SMALLEST_LAST_SHARE = 0.01
# As long as the window of the program's brief, 2023-01-04 to 2023-07.
_WINDOW_MONTHS = 7
_SHORTEST_WINDOW = 3


class Horizon(BaseModel):
    """First and last month of a source's sessions, and the start of the sessions that count."""

    model_config = ConfigDict(frozen=True)
    first: str
    last: str
    active_since: dt.date


def horizon_of(
    sessions: Mapping[str, int], start: dt.date, first: str = "", last: str = "9999-12"
) -> Horizon | None:
    """The horizon of the sessions by month, from `first` to `last`; None without any session.

    It is the block of months with the most sessions, where a gap of more than a year ends a block
    and stray sessions at the end do not count. `start` stays the cohort's start if the source
    covers it; otherwise sessions of the last seven months count, as in the program's brief.
    """
    counted = {
        month: rows for month, rows in sorted(sessions.items()) if rows and first <= month <= last
    }
    if not counted:
        return None
    from statistics import median  # Slow to import, and most processes only read a horizon.

    blocks: list[dict[str, int]] = []
    for month, rows in counted.items():
        if blocks and month <= shift(max(blocks[-1]), _LONGEST_GAP + 1):
            blocks[-1][month] = rows
        else:
            blocks.append({month: rows})
    block = max(blocks, key=lambda each: sum(each.values()))
    enough = _SMALLEST_LAST_SHARE * median(block.values())
    first, last = min(block), max(month for month, rows in block.items() if rows >= enough)
    covered = first <= f"{start:%Y-%m}" <= shift(last, 1 - _SHORTEST_WINDOW)
    begin = start if covered else start_of(max(first, shift(last, 1 - _WINDOW_MONTHS))).date()
    return Horizon(first=first, last=last, active_since=begin)
