"""A month decided by the learnt policy: its perks, reasons, offers and release; and without one."""

from __future__ import annotations

import hashlib
import shutil

import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.experiment.assignment import PERSONALISED
from traveltide_assets.experiment.tables import LEARNED_POLICY
from traveltide_assets_tests.support import scenario
from traveltide_assets_tests.support.project import Project, failed_checks, owned, succeed

BEFORE = "2023-04"
BAG, MEAL = "free_checked_bag", "free_hotel_meal"
CHOSEN = ("gold/strategy_decision", "gold/segmentation_scorecard", "gold/strategy_agreement")
DECIDED = ("gold/decided_segments", "gold/perk_assignments", "gold/offers", "gold/campaign")
BESIDE = ("gold/campaign_changes", "gold/experiment_assignment", "gold/budget_curve")
PREDICTED = (
    *(
        "gold/early_rules",
        "gold/perk_predictor",
        "gold/predictor_promotion",
        "gold/promotion_lifts",
    ),
    *("gold/perk_predictor_candidate", "gold/predictor_lifts", "gold/predictor_scores"),
    *("gold/predictor_importance", "gold/predictor_confusion", "gold/predictor_reliability"),
)


@pytest.fixture(scope="module")
def learning(scenario_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The scenario with a policy in service: bags for frequent visitors, nothing for the others."""
    folder = tmp_path_factory.mktemp("learning")
    for name in ("lake", "source"):
        shutil.copytree(scenario_project.folder / name, folder / name)
    campaign = {"holdout_share": 0.0}
    settings = scenario.settings(strategy="learned", campaign=campaign)
    project = owned(Project(folder, folder / "source", **settings))
    rows = pd.DataFrame(
        {
            "perk": [BAG, MEAL],
            "feature": "total_sessions",
            "mean": 2.5,
            "spread": 1.0,
            "points": [8.0, -1.0],
            "base": [0.0, -20.0],
            "usual": 50.0,
            "reward": "revenue",
            "customers": 900,
            "learned_in": BEFORE,
            "policy_version": "0123456789ab",
        }
    )
    place = project.file(LEARNED_POLICY.path, BEFORE)
    place.parent.mkdir(parents=True, exist_ok=True)
    rows[list(LEARNED_POLICY.column_names)].to_parquet(place, index=False)
    return project


def test_the_policy_in_service_decides_says_why_and_gives_the_same_bytes_again(
    scenario_project: Project, learning: Project
) -> None:
    tables = (*CHOSEN, *DECIDED, *BESIDE, *PREDICTED, "gold/report")
    result = learning.materialize_all(tables, scenario.MONTH)
    succeed(result)
    assert not {name for name in failed_checks(result) if "perk_assignments" in name}
    assigned = learning.frame("gold/perk_assignments", scenario.MONTH).set_index("user_id")
    visits = learning.frame("gold/user_features", scenario.MONTH).set_index("user_id")
    expected = (visits["total_sessions"] - 2.5) * 8
    assert (assigned["perk"] == BAG).all()
    assert set(assigned["strategy"]) == {"learned"}
    assert set(assigned["model_version"]) == {"0123456789ab"}
    user = expected.idxmax()
    assert assigned.loc[user, "deciding_features"].startswith(f"{expected[user]:+,.2f} USD of")
    assert assigned.loc[user, "deciding_features"].endswith("speaking for it: total_sessions")
    earlier = scenario_project.frame("gold/perk_assignments", scenario.MONTH).set_index("user_id")
    assert (assigned["segment"] == earlier["segment"]).all()

    offers = learning.frame("gold/offers", scenario.MONTH).set_index("user_id")
    ours = offers[offers["arm"] == PERSONALISED]
    worth = expected.loc[ours.index] > 0
    assert 0 < worth.sum() < len(worth)
    assert (ours.loc[worth, "offer"] == BAG).all()
    assert (ours.loc[~worth, "offer"] == NO_OFFER).all()
    decision = learning.frame("gold/strategy_decision", scenario.MONTH)
    assert decision["because"].str.startswith("the learned policy of 2023-04 gives").all()
    report = learning.file("gold/report", scenario.MONTH).with_name("report.html")
    assert "The learned policy" in report.read_text("utf-8")

    def hashes() -> list[str]:
        files = [learning.file(table, scenario.MONTH) for table in DECIDED]
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

    before = hashes()
    succeed(learning.materialize_all((*DECIDED, *BESIDE), scenario.MONTH))
    assert hashes() == before


def test_until_one_is_promoted_what_is_recommended_decides_and_says_so(
    scenario_project: Project, learning: Project
) -> None:
    shutil.rmtree(learning.lake / LEARNED_POLICY.path)
    succeed(learning.materialize_all((*CHOSEN, *DECIDED[:2]), scenario.MONTH))
    table = "gold/perk_assignments"
    now = learning.frame(table, scenario.MONTH)
    pd.testing.assert_frame_equal(now, scenario_project.frame(table, scenario.MONTH))
    decision = learning.frame("gold/strategy_decision", scenario.MONTH)
    assert decision["because"].str.startswith("no learned policy has been promoted yet").all()
