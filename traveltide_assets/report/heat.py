"""Tables of shares whose cells are shaded by their value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeatRow:
    """A row of a table of shares: its name, and a text and a shade (0 to 1) per cell."""

    name: str
    cells: tuple[tuple[str, float], ...]
