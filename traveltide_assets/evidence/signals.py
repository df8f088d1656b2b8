"""How many customers signal each perk strongly, and which perks say the same."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.segmentation.scaling import numeric, standardised

_STRONG_SD = 1.0


def perk_signals(features: pd.DataFrame, perks: Sequence[Perk]) -> pd.DataFrame:
    """One row per perk: how many customers signal it strongly, and the most similar other perk.

    A perk is compared only with perks of its own programs, because only these are alternatives.
    """
    deviations = standardised(numeric(features))
    index = pd.DataFrame({perk.id: perk.index_of(deviations) for perk in perks})
    correlation = index.corr(method="spearman").fillna(0.0)
    rows = []
    for perk in perks:
        rivals = [p.id for p in perks if p is not perk and set(p.programs) & set(perk.programs)]
        others = correlation.loc[rivals, perk.id]
        twin = others.abs().idxmax() if len(others) else None
        strong = index[perk.id] >= _STRONG_SD
        rows.append(
            {
                "perk": perk.id,
                "strong_customers": int(strong.sum()),
                "strong_share": float(strong.mean()),
                "most_redundant_with": twin,
                "rank_correlation": float(others[twin]) if twin else float("nan"),
            }
        )
    return pd.DataFrame(rows)
