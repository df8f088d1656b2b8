"""How often Python looks for objects that only refer to each other."""

from __future__ import annotations

import gc

_NEW_OBJECTS = 20_000


def look_rarely() -> None:
    """Look for cycles after 20,000 new objects instead of 700, for the rest of the process.

    Modules, definitions and expressions are hundreds of thousands of objects that stay. To look
    through them again and again took a sixth of the time of a small run.
    """
    gc.set_threshold(_NEW_OBJECTS)
