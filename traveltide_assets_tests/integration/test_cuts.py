"""What is known as of the cuts and followed them, and the two halves of the sessions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from traveltide_assets.catalogue.perks import NO_OUTCOME, load_perks
from traveltide_assets.lake.release import Releases
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.schema.months import end_of, shift
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets_tests.conftest import BOUNDS, FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.support.project import Project, succeed

CUTS = ["2023-03"]
PERKS = load_perks(Settings().perks_file)


def test_the_cuts_lie_one_month_before_each_other_and_are_all_tried(
    sample_project: Project,
) -> None:
    for path in ("gold/cut_features", "gold/cut_outcomes"):
        assert sorted(sample_project.frame(path, LAST)["cut"].unique()) == CUTS
    tried = sample_project.frame("gold/perks_tried", LAST)
    assert sorted(tried["cut"].unique()) == [*CUTS, "2023-04"]
    by_cut = sample_project.frame("gold/perk_evidence_by_cut", LAST)
    told = set(by_cut["perk"])
    # Nothing is measured of perks that no behaviour speaks to.
    mute = {perk.id for perk in PERKS if perk.outcome == NO_OUTCOME}
    assert set(tried["perk"]) == told | (mute & set(tried["perk"]))
    counted = tried[tried["perk"].isin(told)].groupby(["strategy", "perk", "cut"]).size()
    shown = by_cut.set_index(["strategy", "perk", "cut"])["customers"]
    assert shown.sort_index().equals(counted.astype("int64").rename("customers").sort_index())


def test_a_cut_sees_the_sessions_before_it_and_its_window_those_of_three_months(
    sample_project: Project,
) -> None:
    sessions = sample_project.frame("gold/sessions_final", LAST)
    browsing = sessions[~sessions["cancellation"]]
    features = sample_project.frame("gold/cut_features", LAST)
    outcomes = sample_project.frame("gold/cut_outcomes", LAST)
    for cut in CUTS:
        known = features[features["cut"] == cut].set_index("user_id")
        before = sessions[sessions["session_start"] < end_of(cut)]
        counted = before.groupby("user_id").size().reindex(known.index)
        assert (known["total_sessions"] == counted).all()
        then = browsing["session_start"].between(end_of(cut), end_of(shift(cut, 3)), "left")
        after = outcomes[outcomes["cut"] == cut].set_index("user_id")
        expected = browsing[then].groupby("user_id").size().reindex(after.index, fill_value=0)
        assert (after["browsing_without_booking_opportunities"] == expected).all()
        assert known.index.isin(after.index).all()


def test_the_halves_hold_every_session_once(sample_project: Project) -> None:
    halves = sample_project.frame("gold/half_features", LAST)
    whole = sample_project.frame("gold/user_features", LAST).set_index("user_id")
    for name in ("total_sessions", "cancellation_sessions", "total_trips", "cancelled_trips"):
        summed = halves.groupby("user_id")[name].sum().reindex(whole.index)
        assert (summed == whole[name]).all(), name
    halves["sessions"] = halves["total_sessions"] - halves["cancellation_sessions"]
    browsing = halves.pivot_table(index="user_id", columns="half", values="sessions")
    assert (browsing["odd"] - browsing["even"]).isin([0, 1]).all()


def test_traits_are_the_same_in_both_halves(sample_project: Project) -> None:
    halves = sample_project.frame("gold/half_features", LAST).set_index(["half", "user_id"])
    traits = [feature.name for feature in CATALOGUE if feature.name in ("age", "has_children")]
    pd.testing.assert_frame_equal(halves.loc["odd", traits], halves.loc["even", traits])


def test_a_short_history_has_fewer_cuts_and_says_so(
    tmp_path: Path, sample_project: Project
) -> None:
    shutil.copytree(sample_project.lake, tmp_path / "lake")
    evidence = QUICK | {"months": 6, "cuts": 3}
    project = Project(
        tmp_path, sample_project.source, partitions=BOUNDS, evidence=evidence, prediction=FEW_MODELS
    )
    paths = ["earlier_features", "perk_outcomes", "cut_features", "cut_outcomes"]
    result = project.materialize_all(
        [
            f"gold/{name}"
            for name in (*paths, "perk_evidence", "perk_evidence_by_cut", "perks_tried")
        ],
        LAST,
    )
    succeed(result)
    assert list(project.frame("gold/perks_tried", LAST)["cut"].unique()) == ["2023-01"]
    check = next(each for each in result.get_asset_check_evaluations() if each.check_name == "cuts")
    assert not check.passed


def test_once_a_month_was_mailed_only_the_holdout_counts(
    tmp_path: Path, sample_project: Project
) -> None:
    shutil.copytree(sample_project.lake, tmp_path / "lake")
    project = Project(
        tmp_path, sample_project.source, partitions=BOUNDS, evidence=QUICK, prediction=FEW_MODELS
    )
    releases = Releases(Folder(project.lake))
    releases.mark_mailed(releases.current("2023-06"))
    names = ["mailed_customers", "earlier_features", "perk_outcomes", "cut_outcomes"]
    before = {name: project.frame(f"gold/{name}", LAST) for name in names}
    succeed(project.materialize_all([f"gold/{name}" for name in names], LAST))
    mailed = project.frame("gold/mailed_customers", LAST)
    campaign = project.frame("gold/campaign", "2023-06")
    assert set(mailed["user_id"]) == set(campaign.loc[~campaign["holdout"], "user_id"])
    for name in ("earlier_features", "perk_outcomes"):
        after = project.frame(f"gold/{name}", LAST)
        users = before[name]["user_id"]
        assert set(after["user_id"]) == set(users[~users.isin(mailed["user_id"])])
        assert 0 < len(after) < len(users)
    # What followed the earlier cuts had ended before the mailing.
    pd.testing.assert_frame_equal(project.frame("gold/cut_outcomes", LAST), before["cut_outcomes"])
