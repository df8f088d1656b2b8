"""What each offer would do to each generated customer: the truth that a simulation plants.

A customer books one trip more in a month with a chance that depends on the offer. One perk is the
one that they want; the others do little. With `traits` it follows from age and children, with
`perks` it is the favourite that the generator planted in their behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

Effect = Literal["none", "traits", "perks"]

WANTED, OTHER = 0.3, 0.03
"""The chance of an extra trip in a month with the perk wanted, and with any other perk."""
_YOUNGER_THAN = 40


def wanted(customers: pd.DataFrame, effect: Effect) -> np.ndarray:
    """The perk that each customer wants.

    `customers` has `age` in years, `has_children`, and `favourite_perk` of the generator.
    """
    if effect != "traits":
        return customers["favourite_perk"].to_numpy(dtype=object)
    return np.select(
        [customers["has_children"], customers["age"] < _YOUNGER_THAN],
        ["free_checked_bag", "free_hotel_night_with_flight"],
        "free_hotel_meal",
    ).astype(object)


def extra_trips(customers: pd.DataFrame, perks: Sequence[str], effect: Effect) -> pd.DataFrame:
    """Customers by perks: the chance of a trip that would not be booked without the perk."""
    if effect == "none":
        return pd.DataFrame(0.0, index=customers["user_id"], columns=list(perks))
    wants = wanted(customers, effect)[:, None] == np.array(perks, dtype=object)
    chances = np.where(wants, WANTED, OTHER)
    return pd.DataFrame(chances, index=customers["user_id"], columns=list(perks))


def of_offer(chances: pd.DataFrame, offered: pd.Series) -> np.ndarray:
    """The chance of an extra trip with the offer of each customer; `offered` is by `user_id`.

    An offer that is no perk does nothing.
    """
    rows = chances.index.get_indexer(offered.index)
    places = chances.columns.get_indexer(offered)
    return np.where(places >= 0, chances.to_numpy()[rows, places], 0.0)
