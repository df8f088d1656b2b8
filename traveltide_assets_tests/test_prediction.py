"""Predicting perks from first sessions: nothing of what follows, and no worse model takes over."""

from __future__ import annotations

import shutil
from pathlib import Path

import ibis
import numpy as np
import onnx
import pandas as pd
import pytest

from traveltide_assets.prediction import early, models, promotion, training
from traveltide_assets.prediction.config import Config as Prediction
from traveltide_assets.prediction.models import KINDS, MAJORITY, METRICS, RULES, Examples
from traveltide_assets.prediction.predictor import Predictor, learn
from traveltide_assets_tests.conftest import BOUNDS, FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.project import Project, failed_checks

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


def made_up(customers: int = 400, seed: int = 3, noise: float = 0.5) -> pd.DataFrame:
    """Early features in which age and nights tell the perk, up to noise."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, customers)
    nights = rng.poisson(4, customers)
    signal = (age > 45).astype(int) + (nights + rng.normal(0, noise, customers) > 4)
    perk = np.array(["bag", "meal", "lounge"], dtype=object)[signal]
    one = pd.DataFrame({"user_id": np.arange(customers) + 1, "perk": perk})
    for feature in early.EARLY:
        one[feature.name] = "usa" if feature.type == "string" else np.nan
    one["age"], one["total_nights"], one["married"] = age, nights, rng.random(customers) < 0.5
    one["ruled"] = np.where(age > 45, "meal", "bag").astype(object)
    rows = [one.assign(**{early.SEEN: n, "total_sessions": n}) for n in (1, 2)]
    return pd.concat(rows).sort_values(["user_id", early.SEEN], ignore_index=True)


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


def test_no_input_tells_how_long_ago_the_sessions_were_or_who_else_there_is() -> None:
    names = {feature.name for feature in early.EARLY}
    assert not names & {"days_since_last_session", "tenure_months", "completed_trips"}
    assert not names & {"recency_score", "frequency_score", "monetary_score"}
    assert {"age", "married", "has_children", "home_country"} <= names
    assert "gender" not in names


def test_all_rows_of_a_customer_are_in_the_same_fold() -> None:
    made = examples(made_up())
    trials, _ = models.cross_validate(made, CONFIG, seed=1)
    for trial in trials:
        inside = set(made.user_id[trial.rows])
        others = np.setdiff1d(np.arange(len(made)), trial.rows)
        assert not inside & set(made.user_id[others])
    rows = np.concatenate([t.rows for t in trials if t.kind == MAJORITY])
    assert sorted(rows) == sorted(range(len(made)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_model_answers_as_the_fitted_one(kind: str) -> None:
    known = made_up()
    made = examples(known)
    fitted = models.fit(kind, made, CONFIG, 1).predict_proba(made.inputs)
    stored = Predictor.from_frame(learn(kind, made, CONFIG, 1, **FACTS).to_frame())
    assert stored is not None
    np.testing.assert_allclose(stored.probabilities(made.inputs), fitted, atol=2e-3)


def test_models_find_what_tells_the_perk_and_importance_names_it() -> None:
    made = examples(made_up())
    trials, folds = models.cross_validate(made, CONFIG, seed=1)
    scores = models.scores(made, trials)
    loss = scores[scores["metric"] == "log_loss"].groupby("model")["mean"].mean()
    assert loss[models.best(scores)] < 0.8 * loss[MAJORITY]
    importance = models.importance(models.best(scores), folds, seed=1)
    assert set(importance.nlargest(2, "mean")["input"]) == {"age", "total_nights"}


def test_the_baseline_of_rules_is_the_strategys_own_answer() -> None:
    known = made_up().assign(ruled=lambda rows: rows["perk"])
    made = examples(known)
    trials, _ = models.cross_validate(made, CONFIG, seed=1)
    right = models.scores(made, trials).set_index(["model", "sessions_seen", "metric"])["mean"]
    assert right[RULES, 1, "macro_f1"] == 1
    assert right[RULES, 1, "log_loss"] < 0.1


def test_a_calibrated_score_has_no_calibration_error_and_a_vain_one_has() -> None:
    label = np.array([0] * 7 + [1] * 3)
    shares = np.tile([0.7, 0.3], (10, 1))
    assert models.calibration_error(models.reliability(label, shares)) == pytest.approx(0)
    vain = np.tile([1.0, 0.0], (10, 1))
    assert models.calibration_error(models.reliability(label, vain)) == pytest.approx(0.3)


def test_the_metrics_are_what_their_definitions_say() -> None:
    label, answer = np.array([0, 1, 2, 2]), np.array([0, 1, 1, -1])
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.9, 0.1, 0.0]])
    measured = models.metrics(label, shares.astype(np.float32), answer)
    assert measured["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert measured["top2_accuracy"] == 0.5
    assert measured["log_loss"] == pytest.approx(-np.log([0.6, 0.7, 0.1, 0.001]).mean())
    assert measured["brier"] == pytest.approx(np.mean([0.26, 0.14, 1.22, 1.82]))


def test_both_of_two_perks_are_the_top_two() -> None:
    label, shares = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    measured = models.metrics(label, shares, shares.argmax(axis=1))
    assert measured["top2_accuracy"] == 1
    assert measured["brier"] == pytest.approx(np.mean([0.02, 1.28, 0.18]))


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


def test_a_perk_that_last_months_model_does_not_know_counts_as_a_miss() -> None:
    known = made_up()
    model = trained(known)
    renamed = known.assign(perk=known["perk"].replace(model.perks[0], "a new perk"))
    learnt = known["user_id"].drop_duplicates().iloc[::2]
    same, other = (training.next_month(model, learnt, rows, CONFIG) for rows in (known, renamed))
    assert (same["customers"].to_numpy() == other["customers"].to_numpy()).all()
    assert set(other["model"]) == {model.kind, models.MAJORITY}

    def loss(rows: pd.DataFrame) -> float:
        wanted = (rows["metric"] == "log_loss") & (rows["model"] == model.kind)
        return float(rows.loc[wanted, "mean"].mean())

    assert loss(other) > loss(same) + 0.5


def test_held_out_customers_are_the_same_every_month_and_never_learnt_from() -> None:
    users = pd.Series(range(1, 5_001))
    out = promotion.held_out(users, 0.2)
    assert 0.17 < out.mean() < 0.23
    shuffled = users.sample(frac=0.5, random_state=1)
    assert (promotion.held_out(shuffled, 0.2) == out[shuffled.index]).all()


def trained(known: pd.DataFrame, kind: str = models.LOGISTIC) -> Predictor:
    inside = known[~promotion.held_out(known["user_id"], 0.2)]
    return learn(kind, examples(inside), CONFIG, 1, **FACTS)


def contest(
    candidate: Predictor, in_service: Predictor | None, known: pd.DataFrame
) -> pd.DataFrame:
    return promotion.compete(candidate, in_service, known, 0.2, 200, seed=1)


def over_all(decision: pd.DataFrame, rival: str) -> pd.Series:
    rows = decision[decision["sessions_seen"] == promotion.ALL]
    return rows.set_index("rival").loc[rival]


def spoilt(known: pd.DataFrame, seed: int = 5) -> pd.DataFrame:
    perk = known.groupby("user_id")["perk"].first().sample(frac=1, random_state=seed)
    mixed = dict(zip(sorted(known["user_id"].unique()), perk, strict=True))
    return known.assign(perk=known["user_id"].map(mixed))


def test_a_model_no_better_than_the_commonest_perk_is_not_promoted() -> None:
    known = spoilt(made_up())
    decision = contest(trained(known), None, known)
    assert not decision["promoted"].any()
    assert over_all(decision, MAJORITY)["verdict"] != promotion.BETTER


def test_the_first_model_that_beats_the_commonest_perk_is_promoted() -> None:
    known = made_up()
    decision = contest(trained(known), None, known)
    assert decision["promoted"].all()
    majority = over_all(decision, MAJORITY)
    assert majority["loss_candidate"] < majority["loss_rival"]


def test_a_model_worse_beyond_noise_is_kept_and_one_as_good_takes_over() -> None:
    known = made_up(1_000)
    good = trained(known)
    half_right = known.where(known["user_id"] % 2 == 0, spoilt(known))
    worse = contest(trained(half_right), good, known)
    assert over_all(worse, MAJORITY)["verdict"] == promotion.BETTER
    assert over_all(worse, promotion.IN_SERVICE)["difference_low"] > 0
    assert not worse["promoted"].any()
    assert contest(trained(made_up(1_000, seed=4)), good, known)["promoted"].all()


def test_the_candidate_meets_every_rival_after_each_number_of_sessions_and_over_all() -> None:
    known = made_up()
    model = trained(known)
    rivals = {promotion.IN_SERVICE, RULES, MAJORITY}
    met = contest(model, model, known)
    assert set(zip(met["sessions_seen"], met["rival"], strict=True)) == {
        (n, rival) for n in (promotion.ALL, 1, 2) for rival in rivals
    }
    itself = met[met["rival"] == promotion.IN_SERVICE]
    assert (itself["difference"] == 0).all()
    assert (itself["f1_candidate"] == itself["f1_rival"]).all()
    assert set(contest(model, None, known)["rival"]) == rivals - {promotion.IN_SERVICE}


def test_rules_that_know_the_perk_beat_the_candidate_and_that_is_told_and_decides_nothing() -> None:
    known = made_up()
    told = contest(trained(known), None, known.assign(ruled=known["perk"]))
    assert (told.loc[told["rival"] == RULES, "f1_rival"] == 1).all()
    assert promotion.beaten_by(told, RULES) == [1, 2]
    assert promotion.beaten_by(told, MAJORITY) == []
    assert told["promoted"].all()


def test_a_candidate_worse_after_one_number_of_sessions_only_takes_over_and_that_is_told() -> None:
    known = made_up(2_000)
    once, odd = known[early.SEEN] == 1, known["user_id"] % 2 == 1
    before = trained(known.where(once, spoilt(known)), models.BOOSTING)
    candidate = trained(known.where(~once | odd, spoilt(known)), models.BOOSTING)
    decision = contest(candidate, before, known)
    assert decision["promoted"].all()
    assert promotion.beaten_by(decision, promotion.IN_SERVICE) == [1]


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
