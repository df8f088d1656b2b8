"""Rule segments: everybody in exactly one, thresholds as declared, clear refusals."""

from __future__ import annotations

import pandas as pd

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.segmentation.rule_groups import RuleStrategy, load_rules
from traveltide_assets.segmentation.strategy import History
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(FOLDER / "perks.toml")
STRATEGIES = {
    name: load_rules(FOLDER / f"{name}.toml", PERKS) for name in ("hierarchical", "personas")
}


def segment(conditions: str, name: str = "Some", perk: str = "free_hotel_meal") -> str:
    return (
        f'[[segment]]\nname = "{name}"\nperk = "{perk}"\ndescription = "Some"\n'
        f"conditions = [{conditions}]\n"
    )


def decide(strategy: RuleStrategy, features: pd.DataFrame) -> pd.DataFrame:
    return strategy.fit(History(features)).assign(features)


def real(project: Project, name: str) -> pd.DataFrame:
    features = project.frame("gold/user_features", LAST)
    return decide(STRATEGIES[name], features).merge(features, on="user_id", validate="one_to_one")


def test_a_third_of_the_real_customers_are_families(real_project: Project) -> None:
    assigned = real(real_project, "hierarchical")
    shares = assigned["segment"].value_counts(normalize=True)
    assert round(shares["Families"], 4) == 0.3264
    assert len(shares) == 6
    assert shares.min() > 0.04


def test_real_dreamers_have_no_trip_behind_or_before_them(real_project: Project) -> None:
    assigned = real(real_project, "personas")
    dreamers = assigned[assigned["segment"] == "Dreamers"]
    assert len(dreamers) == 556
    assert not dreamers[["completed_trips", "upcoming_trips"]].any(axis=None)
    assert assigned["segment"].nunique() == 5


def test_real_empty_nesters_have_no_children_and_adventurers_all(real_project: Project) -> None:
    children = real(real_project, "personas").groupby("segment")["has_children"].mean()
    assert children["Exploring Empty-Nesters"] == 0
    assert children["Family Adventurers"] == 1
