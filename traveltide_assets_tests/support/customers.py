"""Feature frames of customers who may be anything: for tests of what must always hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from traveltide_assets.transforms.features.catalogue import CATALOGUE


@st.composite
def customers(draw: st.DrawFn, smallest: int = 1, largest: int = 40) -> pd.DataFrame:
    """Any number of customers, with values at and between thresholds, ties and nulls."""
    size = draw(st.integers(smallest, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    unknown = draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    columns = {f.name: _column(f.type, size, unknown, rng) for f in CATALOGUE}
    return pd.DataFrame({"user_id": rng.permutation(size) + 1, **columns})


def _column(kind: str, size: int, unknown: float, rng: np.random.Generator) -> np.ndarray:
    if kind == "string":
        return rng.choice(["usa", "canada"], size)
    if kind == "boolean":
        return rng.random(size) < 0.3
    values = rng.choice([0, 0.2, 0.4, 0.5, 0.6, 1, 2, 3, 5.25, 2000], size)
    return np.where(rng.random(size) < unknown, np.nan, values)
