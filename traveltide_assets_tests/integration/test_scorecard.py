"""All strategies on one yardstick."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from traveltide_assets.campaign import steady
from traveltide_assets_tests.conftest import BOUNDS, FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.support.project import Project, failed_checks

# The text up to the name of the perk.
KEPT = steady.KEPT.partition("{")[0]


def own_perk(given: pd.DataFrame) -> pd.Series:
    """The perk that the strategy gave each customer, whether or not another one was kept."""
    return given["perk"].where(~given["steadiness"].str.startswith(KEPT), given["runner_up"])


def test_every_strategy_is_on_the_scorecard_and_covers_the_cohort(sample_project: Project) -> None:
    card = sample_project.frame("gold/segmentation_scorecard", LAST).set_index("strategy")
    assert list(card.index) == sorted(sample_project.strategies)
    assert (card["coverage"] == 1).all()
    assert (card["segments"] > 1).all()
    assert card["recommended"].sum() <= 1


def test_rules_are_the_same_with_another_seed_and_nearly_so_on_bootstrap_draws(
    sample_project: Project,
) -> None:
    card = sample_project.frame("gold/segmentation_scorecard", LAST).set_index("strategy")
    for strategy in ("six_groups", "five_personas"):
        assert card.loc[strategy, "stability_seed"] == 1
        assert card.loc[strategy, "stability_bootstrap"] > 0.9


def test_persistence_compares_with_the_month_before(sample_project: Project) -> None:
    now = sample_project.frame("gold/segments/five_personas", LAST)
    before = sample_project.frame("gold/segments/five_personas", "2023-06")
    both = now.merge(before, on="user_id")
    card = sample_project.frame("gold/segmentation_scorecard", LAST).set_index("strategy")
    expected = (both["segment_x"] == both["segment_y"]).mean()
    assert card.loc["five_personas", "persistence"] == pytest.approx(expected)
    first = sample_project.frame("gold/segmentation_scorecard", "2023-06")
    assert first["persistence"].isna().all()


def test_perks_kept_and_reliability_are_on_the_scorecard(sample_project: Project) -> None:
    now = sample_project.frame("gold/segments/kmeans", LAST)
    before = sample_project.frame("gold/segments/kmeans", "2023-06")
    both = now.merge(before, on="user_id")
    card = sample_project.frame("gold/segmentation_scorecard", LAST).set_index("strategy")
    expected = (both["perk_x"] == both["perk_y"]).mean()
    assert card.loc["kmeans", "perk_persistence"] == pytest.approx(expected)
    # Its segments are made of totals of what few sessions show; the rules also look at the profile.
    assert card.loc["kmeans", "reliability_ari"] < card.loc["six_groups", "reliability_ari"]
    assert card["reliability_kappa"].between(-1, 1).all()
    tried = sample_project.frame("gold/perks_tried", LAST)
    own = tried[tried["strategy"] == "kmeans"]
    known = now[now["user_id"].isin(own["user_id"])]
    pairs = set(zip(own["user_id"], own["perk"], strict=True))
    never = [pair not in pairs for pair in zip(known["user_id"], known["perk"], strict=True)]
    assert card.loc["kmeans", "untried_share"] == pytest.approx(sum(never) / len(never))


def test_the_decision_is_handed_on_from_month_to_month(sample_project: Project) -> None:
    first = sample_project.frame("gold/strategy_decision", "2023-06")
    assert first["in_service"].isna().all()
    now = sample_project.frame("gold/strategy_decision", LAST)
    assert set(now["in_service"]) == set(first.loc[first["decides"], "strategy"])
    given = sample_project.frame("gold/perk_assignments", LAST)
    assert set(given["strategy"]) == set(now.loc[now["decides"], "strategy"])
    decided = sample_project.frame("gold/decided_segments", LAST)
    assert list(decided["user_id"]) == list(given["user_id"])
    assert list(decided["perk"]) == list(own_perk(given))


def test_agreement_holds_every_pair_once_within_its_bounds(sample_project: Project) -> None:
    pairs = sample_project.frame("gold/strategy_agreement", LAST)
    strategies = len(sample_project.strategies)
    assert len(pairs) == strategies * (strategies - 1) / 2
    assert pairs["same_perk_share"].between(0, 1).all()
    assert pairs["normalized_mutual_information"].between(0, 1).all()
    assert pairs["adjusted_rand_index"].between(-0.5, 1).all()


def test_the_recommended_strategy_is_worth_most_and_decides(
    real_project: Project,
) -> None:
    card = real_project.frame("gold/segmentation_scorecard", LAST).set_index("strategy")
    recommended = card.index[card["recommended"]]
    assert list(recommended) == [card["worth"].idxmax()]
    assert card.loc[recommended, "supported_perks"].item() > 0
    given = real_project.frame("gold/perk_assignments", LAST)["strategy"]
    assert set(given) == set(recommended)


def test_dbscan_puts_nearly_everybody_in_one_cluster_and_the_trial_shows_it(
    real_project: Project,
) -> None:
    tried = real_project.frame("gold/dbscan_trial", LAST)
    assert ((tried["clusters"] == 1) | (tried["largest_share"] > 0.6)).all()


@pytest.mark.parametrize("strategy", ["five_personas", "perk_affinity", "propensity"])
def test_which_strategy_decides_is_configuration(
    tmp_path: Path, sample_project: Project, strategy: Any
) -> None:
    shutil.copytree(sample_project.lake, tmp_path / "lake")
    source = sample_project.source
    project = Project(tmp_path, source, partitions=BOUNDS, strategy=strategy)
    given = ["gold/decided_segments", "gold/perk_assignments"]
    assert project.materialize_all(given, LAST).success
    assignments = project.frame("gold/perk_assignments", LAST)
    customers = project.frame(f"gold/segments/{strategy}", LAST)
    assert (assignments["strategy"] == strategy).all()
    both = assignments.merge(customers, on="user_id", validate="one_to_one")
    assert len(both) == len(customers)
    assert list(own_perk(both.rename(columns={"perk_x": "perk"}))) == list(both["perk_y"])
    assert (both["runner_up"] != both["perk_x"]).all()


def test_a_month_without_a_past_gets_perks_and_no_verdicts(
    tmp_path: Path, sample_source: Path
) -> None:
    bounds = {"first": "2023-01", "last": "2023-03"}
    cohort = {"min_sessions": 3}
    quick = {"evidence": QUICK, "prediction": FEW_MODELS}
    project = Project(tmp_path, sample_source, partitions=bounds, cohort=cohort, **quick)
    assert project.ingest("2023-01", "2023-03").success
    result = project.decide("2023-03")
    assert result.success
    assert "gold/segments/propensity:coverage" in failed_checks(result)
    assert len(project.frame("gold/perk_assignments", "2023-03")) > 100
    card = project.frame("gold/segmentation_scorecard", "2023-03").set_index("strategy")
    assert card.loc["propensity", "coverage"] == 0
    assert not card["recommended"].any()
