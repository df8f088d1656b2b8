"""Predicting perks from first sessions: nothing of what follows, and no worse model takes over."""

from __future__ import annotations

import shutil
from pathlib import Path

import ibis
import numpy as np
import onnx
import pandas as pd

from traveltide_assets.prediction import early, models, promotion, training
from traveltide_assets.prediction.config import Config as Prediction
from traveltide_assets.prediction.models import KINDS, MAJORITY, METRICS, RULES, Examples
from traveltide_assets.prediction.predictor import Predictor, learn
from traveltide_assets_tests.conftest import BOUNDS, FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.support.project import Project, failed_checks

BEFORE = "2023-06"
CANDIDATE, IN_SERVICE = "gold/perk_predictor_candidate", "gold/perk_predictor"
CONFIG = Prediction(**{**FEW_MODELS, "resamples": 200})
FACTS = {"strategy": "kmeans", "month": LAST, "data_version": "x"}


def gold(project: Project) -> dict[str, pd.DataFrame]:
    names = ("users", "sessions", "flights", "hotels")
    return {name: project.frame(f"gold/{name}_final", LAST) for name in names}


def computed(tables: dict[str, pd.DataFrame], n: int) -> pd.DataFrame:
    memory = {name: ibis.memtable(frame) for name, frame in tables.items()}
    found = early.early_features(**memory, month=LAST, n=n, at_least=n)
    return found.order_by("user_id").to_pyarrow().to_pandas()


def examples(known: pd.DataFrame) -> Examples:
    return training.examples_of(known, early.input_names(known), CONFIG)


def test_what_follows_the_nth_session_changes_no_early_feature(sample_project: Project) -> None:
    tables = gold(sample_project)
    ordered = tables["sessions"].sort_values(["user_id", "session_start", "session_id"])
    first = ordered[ordered.groupby("user_id").cumcount() < 3]
    named = set(first["trip_id"].dropna())
    cut = tables | {
        "sessions": first,
        **{n: tables[n][tables[n]["trip_id"].isin(named)] for n in ("flights", "hotels")},
    }
    stored = sample_project.frame("gold/early_features", LAST)
    stored = stored[stored[early.SEEN] == 3].reset_index(drop=True)
    again = computed(cut, 3)[list(stored.columns)]
    pd.testing.assert_frame_equal(again, stored, check_dtype=False)
    assert (stored["total_sessions"] == 3).all()


def test_one_plan_for_all_n_gives_what_one_for_each_gives(sample_project: Project) -> None:
    tables, stored = gold(sample_project), sample_project.frame("gold/early_features", LAST)
    for n, rows in stored.groupby(early.SEEN):
        again = computed(tables, n)[list(stored.columns)]
        ordered = rows.sort_values("user_id", ignore_index=True)
        pd.testing.assert_frame_equal(again, ordered, check_dtype=False)
    assert set(stored[early.SEEN]) == set(range(1, early.MOST_SESSIONS + 1))


def test_the_later_cancellation_of_an_early_trip_is_not_known(sample_project: Project) -> None:
    stored = sample_project.frame("gold/early_features", LAST)
    final = sample_project.frame("gold/user_features", LAST).set_index("user_id")
    once = stored[stored[early.SEEN] == 1].set_index("user_id")
    assert once["cancelled_trips"].sum() == 0
    assert final["cancelled_trips"].sum() > 0


def test_the_tables_hold_every_model_baseline_n_and_metric(sample_project: Project) -> None:
    scores = sample_project.frame("gold/predictor_scores", LAST)
    tried = scores[scores["evaluation"] == training.CROSS_VALIDATION]
    assert set(tried["model"]) == {*KINDS, MAJORITY, RULES}
    assert len(tried) == len({*KINDS, MAJORITY, RULES}) * early.MOST_SESSIONS * len(METRICS)
    leak = scores[scores["evaluation"] == training.LEAK]
    assert set(leak["sessions_seen"]) == {training.FULL_HISTORY}
    confusion = sample_project.frame("gold/predictor_confusion", LAST)
    whole = confusion.groupby(["sessions_seen", "perk"])["share"].sum()
    np.testing.assert_allclose(whole, 1)


def test_the_label_is_told_from_the_features_that_define_it_and_that_is_called_a_leak(
    sample_project: Project,
) -> None:
    scores = sample_project.frame("gold/predictor_scores", LAST)
    f1 = scores[scores["metric"] == "macro_f1"].groupby("evaluation")["mean"].max()
    assert f1[training.LEAK] > f1[training.CROSS_VALIDATION] + 0.1


def test_last_months_model_is_judged_on_this_month_where_there_is_one(
    sample_project: Project,
) -> None:
    def evaluations(month: str) -> set[str]:
        return set(sample_project.frame("gold/predictor_scores", month)["evaluation"])

    assert training.NEXT_MONTH in evaluations(LAST)
    assert training.NEXT_MONTH not in evaluations(BEFORE)


def trained(known: pd.DataFrame, kind: str = models.LOGISTIC) -> Predictor:
    inside = known[~promotion.held_out(known["user_id"], 0.2)]
    return learn(kind, examples(inside), CONFIG, 1, **FACTS)


def test_too_few_customers_give_no_candidate_and_no_failure(scenario_project: Project) -> None:
    month = "2023-05"
    for path in (CANDIDATE, IN_SERVICE, "gold/predictor_scores", "gold/predictor_promotion"):
        assert scenario_project.frame(path, month).empty


def test_in_the_lake_a_worse_candidate_leaves_the_model_in_service(
    sample_project: Project, sample_source: Path, tmp_path: Path
) -> None:
    shutil.copytree(sample_project.lake, tmp_path / "lake")
    project = Project(
        tmp_path, sample_source, partitions=BOUNDS, evidence=QUICK, prediction=FEW_MODELS
    )
    # The sample's earlier month is too small for a model that beats the commonest perk for sure.
    good = project.frame(CANDIDATE, LAST)
    good.to_parquet(project.file(IN_SERVICE, BEFORE))
    known = training.labelled(
        project.frame("gold/early_features", BEFORE),
        project.frame("gold/perk_assignments", BEFORE),
        project.frame("gold/early_rules", BEFORE),
    )
    perks = sorted(known["perk"].unique())
    turned = dict(zip(perks, [*perks[1:], perks[0]], strict=True))
    bad = trained(known.assign(perk=known["perk"].map(turned)))
    bad.to_frame().to_parquet(project.file(CANDIDATE, LAST))
    result = project.materialize_all([IN_SERVICE, "gold/predictor_promotion"], LAST)
    assert result.success
    assert failed_checks(result) == {"gold/predictor_promotion:promotion"}
    evaluations = result.get_asset_check_evaluations()
    facts = next(e.metadata for e in evaluations if e.check_name == "promotion")
    assert facts["verdict_against_model_in_service"].value == promotion.WORSE
    assert facts["worse_than_model_in_service_after"].value == "1, 2, 3, 4, 5 sessions"
    assert facts["worse_than_rules_of_the_strategy_after"].value != "never"
    serving = project.frame(IN_SERVICE, LAST)["model_version"].iloc[0]
    assert serving == good["model_version"].iloc[0] != bad.version


def test_the_same_input_gives_the_same_model(sample_project: Project) -> None:
    before = sample_project.file(CANDIDATE, LAST).read_bytes()
    stored = Predictor.from_frame(sample_project.frame(CANDIDATE, LAST))
    assert stored is not None
    known = training.labelled(
        sample_project.frame("gold/early_features", LAST),
        sample_project.frame("gold/perk_assignments", LAST),
        sample_project.frame("gold/early_rules", LAST),
    )
    config = sample_project.settings.prediction
    inside = known[~promotion.held_out(known["user_id"], config.holdout)]
    made = training.examples_of(inside, early.input_names(known), config)
    again = learn(stored.kind, made, config, sample_project.settings.seed, **FACTS)
    assert again.version == stored.version
    # The converter keeps them in a set, whose order is another in every seventh process or so.
    domains = [opset.domain for opset in onnx.load_model_from_string(stored.onnx).opset_import]
    assert domains == sorted(domains)
    assert sample_project.file(CANDIDATE, LAST).read_bytes() == before
