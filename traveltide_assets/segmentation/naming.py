"""Names of segments, made from their most unusual features, because cluster numbers can change."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from traveltide_assets.transforms.features.catalogue import CATALOGUE

LABELS = {feature.name: feature.label for feature in CATALOGUE}
_NOTABLE_SD = 0.5
_NAMED_FEATURES = 2


def names(profile: pd.DataFrame) -> list[str]:
    """A name for each segment (row) from its deviations (SD); longer if two would be equal."""
    ranked = [
        row.abs().sort_values(ascending=False, kind="stable").index for _, row in profile.iterrows()
    ]
    short = [
        _name(row, order[:_NAMED_FEATURES], _NOTABLE_SD)
        for (_, row), order in zip(profile.iterrows(), ranked, strict=True)
    ]
    return [
        name if short.count(name) == 1 else _name(row, order[: _NAMED_FEATURES + 1], threshold=0.0)
        for name, (_, row), order in zip(short, profile.iterrows(), ranked, strict=True)
    ]


def numbered(given: list[str]) -> list[str]:
    """The names, with a number added to those that occur several times."""
    return [
        name if given.count(name) == 1 else f"{name} {given[: i + 1].count(name)}"
        for i, name in enumerate(given)
    ]


def _name(deviation: pd.Series, features: Sequence[str], threshold: float) -> str:
    parts = [
        f"{'high' if deviation[feature] > 0 else 'low'} {LABELS[feature]}"
        for feature in features
        if abs(deviation[feature]) >= threshold
    ]
    return ", ".join(parts).capitalize() or "Close to average"
