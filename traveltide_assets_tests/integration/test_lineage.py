"""Column lineage: read off the expressions, and true of them."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.segmentation.registry import build_strategies, names
from traveltide_assets.segmentation.scaling import ALL_NUMERIC
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project


@pytest.mark.parametrize("name", names())
def test_a_strategy_looks_at_no_other_features_than_it_names(
    name: str, sample_project: Project
) -> None:
    everything = Settings(policy={"forbidden_features": []})
    strategy = build_strategies(everything, load_perks(everything.perks_file))[name]
    history = History(
        sample_project.frame("gold/user_features", LAST),
        sample_project.frame("gold/earlier_features", LAST),
        sample_project.frame("gold/perk_outcomes", LAST),
    )
    other = set(ALL_NUMERIC) - strategy.inputs
    assert strategy.inputs
    assert other

    def without(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**dict.fromkeys(other, 0))

    assert history.earlier is not None
    blind = replace(history, features=without(history.features), earlier=without(history.earlier))
    pd.testing.assert_frame_equal(
        strategy.fit(blind).assign(blind.features),
        strategy.fit(history).assign(history.features),
    )


def values(rows: pd.DataFrame, column: str) -> set[str]:
    """What a column holds, be it as numbers that may be missing or not."""
    return {str(value) for value in rows[column].dropna().convert_dtypes()}


def test_columns_that_are_handed_on_hold_what_they_are_said_to(sample_project: Project) -> None:
    month, held = "2023-06", 0
    for spec in sample_project.definitions.resolve_all_asset_specs():
        if "dagster/column_lineage" not in spec.metadata:
            continue
        rows = sample_project.frame(spec.key.to_user_string(), month)
        for column, deps in spec.metadata["dagster/column_lineage"].deps_by_column.items():
            (dep, *others) = deps
            if others or dep.column_name != column or dep.asset_key.path[0] != "gold":
                continue
            source = sample_project.frame(dep.asset_key.to_user_string(), month)
            assert values(rows, column) <= values(source, column), (spec.key, column)
            held += len(rows) > 0
    assert held > 25
