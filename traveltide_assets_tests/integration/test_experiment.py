"""The experiment: a fair draw, a plan that keeps its word, and a readout that does not cry wolf."""

from __future__ import annotations

import datetime as dt
import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from traveltide_assets.campaign import mailing
from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.experiment import assignment, judging, readout
from traveltide_assets.experiment.assignment import CONTROL, EVERYBODY, PERSONALISED
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.experiment.metrics import BY_NAME
from traveltide_assets.report import FILE
from traveltide_assets_tests.conftest import BOUNDS, LAST, QUICK
from traveltide_assets_tests.integration.test_decision_checks import check, damage
from traveltide_assets_tests.support.project import Project, failed_checks, failure, owned

PERKS = load_perks(FOLDER / "perks.toml")
ASSETS = (
    "gold/experiment_assignment",
    "gold/experiment_plan",
    "gold/experiment_readout",
    "gold/experiment_looks",
    "gold/offers",
    "gold/budget_curve",
    "gold/campaign",
    "gold/campaign_changes",
    "gold/report",
)


def overall(table: pd.DataFrame, metric: str) -> pd.Series:
    return table.set_index(["metric", "segment"]).loc[(metric, EVERYBODY)]


def test_arms_that_differ_in_a_feature_are_found(sample_project: Project) -> None:
    features = sample_project.frame("gold/user_features", LAST)
    arms = sample_project.frame("gold/experiment_assignment", LAST)
    fair = assignment.balance(arms, features)
    assert fair.p_value > 0.001
    assert fair.features["p_holm"].min() > 0.01
    old = features.set_index("user_id")["age"][arms["user_id"]].to_numpy() > 40
    unfair = assignment.balance(arms.assign(arm=np.where(old, PERSONALISED, CONTROL)), features)
    assert unfair.features.index[0] == "age"
    assert unfair.p_value < 1e-6
    assert "age" in unfair.beyond(0.1)
    assert unfair.features.loc["age", "p_holm"] < 1e-6


def test_false_alarms_are_as_rare_as_the_level_says(sample_project: Project) -> None:
    # The customers of the sample, all treated alike, split with 200 salts; benchmarks has more.
    assigned = sample_project.frame("gold/perk_assignments", LAST)
    trips = sample_project.frame("gold/user_features", LAST).set_index("user_id")
    after = pd.DataFrame({"bookings": trips["upcoming_trips"] + trips["cancelled_trips"]})
    after["cancellations"] = trips["cancelled_trips"] > 0
    before = pd.DataFrame({"bookings": trips["completed_trips"]})
    salts, alarms, family = 200, {"p_value": 0, "cuped_p_value": 0, "rate": 0}, 0
    gc.freeze()
    for number in range(salts):
        config = Experiment(salt=f"salt {number}")
        table = readout.compare(assignment.assign(assigned, config), after, before, config)
        bookings = overall(table, "bookings")
        for name in ("p_value", "cuped_p_value"):
            alarms[name] += bookings[name] <= 0.05
        alarms["rate"] += overall(table, "cancellations")["p_value"] <= 0.05
        family += (table.loc[table["role"] == "goal", "p_holm"] <= 0.05).any()
    gc.unfreeze()
    most = binom.isf(0.001, salts, 0.05)
    assert max(alarms.values()) <= most, alarms
    assert family <= most
    assert alarms["p_value"] >= binom.ppf(0.001, salts, 0.05)


def started(project: Project, place: Path, **config: Any) -> Project:
    """The sample with an experiment that starts in its last month."""
    for layer in ("gold", "silver", "bronze"):
        shutil.copytree(project.lake / layer, place / "lake" / layer)
    experiment = {"start": dt.date(2023, 7, 1), "weeks": 3, **config}
    return owned(
        Project(place, place / "source", partitions=BOUNDS, evidence=QUICK, experiment=experiment)
    )


def test_without_a_start_the_pipeline_goes_on_and_says_that_nothing_was_started(
    sample_project: Project,
) -> None:
    assert sample_project.frame("gold/experiment_readout", LAST).empty
    assert len(sample_project.frame("gold/experiment_plan", LAST)) >= 10
    report = sample_project.lake / "gold/report" / f"month={LAST}" / FILE
    assert "No experiment has been started" in report.read_text("utf-8")
    campaign = sample_project.frame("gold/campaign", LAST)
    assert set(campaign["perk"]) <= {perk.id for perk in PERKS}


def test_a_started_experiment_is_mailed_and_read(sample_project: Project, tmp_path: Path) -> None:
    project = started(sample_project, tmp_path)
    result = project.materialize_all(ASSETS[:-1], "2023-06")
    assert result.success, failure(result)
    arms = project.frame("gold/experiment_assignment", "2023-06").set_index("user_id")
    campaign = project.frame("gold/campaign", "2023-06").set_index("user_id")
    assert (campaign["perk"][arms.index] == arms["offer"]).all()
    assert "control_offer" in set(arms["offer"])
    assert not campaign["holdout"][arms.index].any()
    assert "control_offer.csv" in mailing.files(project.frame("gold/campaign", "2023-06"))

    result = project.materialize_all(ASSETS, LAST)
    assert result.success, failure(result)
    assert not {name for name in failed_checks(result) if "peeking" in name}
    read = project.frame("gold/experiment_readout", LAST)
    assert set(read["metric"]) == {name for name, metric in BY_NAME.items() if metric.measured}
    row = overall(read, "sessions")
    assert row["customers_personalised"] + row["customers_control"] == len(arms)
    silver = pd.concat(
        project.frame("silver/sessions_processed", month) for month in ("2023-06", LAST)
    )
    inside = silver[
        (silver["session_start"] >= "2023-07-01")
        & (silver["session_start"] < "2023-07-22")
        & ~silver["cancellation"]
    ]
    counts = inside.groupby("user_id").size().reindex(arms.index, fill_value=0)
    means = counts.groupby(arms["arm"]).mean()
    assert row["personalised"] == pytest.approx(means[PERSONALISED])
    assert row["control"] == pytest.approx(means[CONTROL])
    report = (project.lake / "gold/report" / f"month={LAST}" / FILE).read_text("utf-8")
    assert "Read from 2023-07-01 to 2023-07-21, the planned end." in report


def test_a_peek_and_an_undecided_first_month_warn(sample_project: Project, tmp_path: Path) -> None:
    peek = started(sample_project, tmp_path / "peek", weeks=8)
    result = peek.materialize_all(ASSETS[:4], LAST)
    assert result.success, failure(result)
    assert "gold/experiment_readout:no_peeking" in failed_checks(result)
    read = peek.frame("gold/experiment_readout", LAST)
    assert read["peek"].all()
    assert read["in_words"].str.startswith("Too early to decide.").all()

    late = started(sample_project, tmp_path / "late", start=dt.date(2023, 6, 1))
    result = late.materialize_all(ASSETS[:4], LAST)
    assert result.success, failure(result)
    assert "gold/experiment_readout:readable" in failed_checks(result)
    assert late.frame("gold/experiment_readout", LAST).empty


def test_uploaded_outcomes_are_read(sample_project: Project, tmp_path: Path) -> None:
    arms = sample_project.frame("gold/experiment_assignment", "2023-06")
    signed = (arms["arm"] == PERSONALISED) | (arms.index % 2 == 0)
    file = tmp_path / "outcomes.csv"
    arms[["user_id"]].assign(sign_ups=signed.astype(int)).to_csv(file, index=False)
    project = started(sample_project, tmp_path, outcomes_file=file)
    result = project.materialize_all(ASSETS[:4], LAST)
    assert result.success, failure(result)
    row = overall(project.frame("gold/experiment_readout", LAST), "sign_ups")
    assert row["verdict"] == judging.BETTER
    assert row["test"] == "chi-squared"


def test_a_split_that_is_none_stops_the_campaign(sample_project: Project, tmp_path: Path) -> None:
    project = started(sample_project, tmp_path)
    damage(
        project,
        "gold/experiment_assignment",
        lambda frame: frame[(frame["arm"] == CONTROL) | (frame.index % 3 == 0)],
    )
    found = check(project, "gold/experiment_assignment")["gold/experiment_assignment:sample_ratio"]
    assert not found.passed
    assert found.blocking


def test_a_customer_who_changes_the_half_is_found(sample_project: Project, tmp_path: Path) -> None:
    project = started(sample_project, tmp_path)
    other = {PERSONALISED: CONTROL, CONTROL: PERSONALISED}
    before = project.frame("gold/experiment_assignment", "2023-06")["user_id"]
    damage(
        project,
        "gold/experiment_assignment",
        lambda f: f.assign(
            arm=f["arm"].astype(str).where(f["user_id"] != before.iloc[0], f["arm"].map(other))
        ),
    )
    found = check(project, "gold/experiment_assignment")["gold/experiment_assignment:sticky"]
    assert not found.passed
    assert found.metadata["customers_in_the_other_half"].value == 1
