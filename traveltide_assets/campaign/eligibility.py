"""Who may be offered which perk, by the conditions that the perk catalogue gives."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.catalogue.rule_conditions import values_of


def features_needed(perks: Iterable[Perk]) -> frozenset[str]:
    """The features that any condition names."""
    return frozenset(condition.feature for perk in perks for condition in perk.eligible)


def eligible(features: pd.DataFrame, perks: Iterable[Perk]) -> pd.DataFrame:
    """Whether each customer (row, as in `features`) meets all conditions of each perk (column).

    It depends on the customer alone. An undefined feature meets no comparison.
    """
    found = {}
    for perk in perks:
        met = np.ones(len(features), dtype=bool)
        for condition in perk.eligible:
            met &= condition.holds(values_of(features, condition.feature))
        found[perk.id] = met
    return pd.DataFrame(found, index=features.index)
