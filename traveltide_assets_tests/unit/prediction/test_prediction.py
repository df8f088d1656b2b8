"""Predicting perks from first sessions: nothing of what follows, and no worse model takes over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.prediction import early, models, promotion, training
from traveltide_assets.prediction.config import Config as Prediction
from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES, Examples
from traveltide_assets.prediction.predictor import Predictor, learn
from traveltide_assets_tests.conftest import FEW_MODELS, LAST

CONFIG = Prediction(**{**FEW_MODELS, "resamples": 200})
FACTS = {"strategy": "kmeans", "month": LAST, "data_version": "x"}


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
