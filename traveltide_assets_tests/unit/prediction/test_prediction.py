"""What newcomers will do: foretold only beyond noise, and no worse model takes over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.prediction import (
    behaviour_model,
    early,
    models,
    newcomer_lifts,
    promotion,
    training,
)
from traveltide_assets.prediction.config import Config as Prediction
from traveltide_assets.prediction.models import KINDS, MAJORITY, RULES, Examples
from traveltide_assets.prediction.newcomer_lifts import ALL, ALL_PERKS
from traveltide_assets.prediction.predictor import Predictor, history_graph, learn, reason, speaking
from traveltide_assets.transforms.outcomes import OUTCOMES
from traveltide_assets_tests.conftest import FEW_MODELS, LAST

CONFIG = Prediction(**{**FEW_MODELS, "resamples": 200})
FACTS = {"strategy": "kmeans", "month": LAST, "data_version": "x"}
PERKS = tuple(
    Perk(
        id=name,
        title=name,
        audience="some",
        headline="A perk.",
        outcome=outcome,
        features={"age": 1.0},
    )
    for name, outcome in (
        ("meal", "nights_per_stay"),
        ("bag", "bags_per_flight"),
        ("lounge", "short_solo_share"),
    )
)


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
    rows = [one.assign(**{early.SEEN: n, "total_sessions": n}) for n in (0, 1, 2)]
    return pd.concat(rows).sort_values(["user_id", early.SEEN], ignore_index=True)


def followed(known: pd.DataFrame, strength: float = 1.0, seed: int = 9) -> pd.DataFrame:
    """Later behaviour: the old stay longer and the young take more bags, the stronger the more."""
    rng = np.random.default_rng(seed)
    table = known[["user_id", early.SEEN]].copy()
    old = np.sign(known["age"].to_numpy() - 48)
    for outcome in OUTCOMES:
        table[f"{outcome.name}_amount"] = 0.0
        table[f"{outcome.name}_opportunities"] = 0
    for name, sign in (("nights_per_stay", 1), ("bags_per_flight", -1), ("short_solo_share", 0)):
        chances = rng.integers(0, 4, len(table))
        table[f"{name}_opportunities"] = chances
        table[f"{name}_amount"] = rng.poisson(chances * (2 + strength * sign * old)).astype(float)
    sides = [table.assign(after_cut=side) for side in (False, True)]
    return pd.concat(sides, ignore_index=True)


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
    stored = Predictor.from_frame(trained(known, kind=kind, everybody=True).to_frame())
    assert stored is not None
    np.testing.assert_allclose(stored.history_shares(made.inputs), fitted, atol=2e-3)


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
    renamed = known.assign(perk=known["perk"].replace(model.history_perks[0], "a new perk"))
    learnt = known["user_id"].drop_duplicates().iloc[::2]
    same, other = (training.next_month(model, learnt, rows, CONFIG) for rows in (known, renamed))
    assert (same["customers"].to_numpy() == other["customers"].to_numpy()).all()
    assert set(other["model"]) == {model.history_kind, models.MAJORITY}

    def loss(rows: pd.DataFrame) -> float:
        wanted = (rows["metric"] == "log_loss") & (rows["model"] == model.history_kind)
        return float(rows.loc[wanted, "mean"].mean())

    assert loss(other) > loss(same) + 0.5


def test_held_out_customers_are_the_same_every_month_and_never_learnt_from() -> None:
    users = pd.Series(range(1, 5_001))
    out = promotion.held_out(users, 0.2)
    assert 0.17 < out.mean() < 0.23
    shuffled = users.sample(frac=0.5, random_state=1)
    assert (promotion.held_out(shuffled, 0.2) == out[shuffled.index]).all()


def trained(
    known: pd.DataFrame,
    later: pd.DataFrame | None = None,
    kind: str = models.LOGISTIC,
    everybody: bool = False,
) -> Predictor:
    inside = known if everybody else known[~promotion.held_out(known["user_id"], CONFIG.holdout)]
    later = followed(known) if later is None else later
    names = early.input_names(known)
    observed = newcomer_lifts.known_by_n(inside, newcomer_lifts.whole(later), names, PERKS)
    model = behaviour_model.fit(behaviour_model.PROFILE_ONLY, observed, names, 1)
    graph = history_graph(kind, examples(inside), CONFIG, 1)
    return learn(model, PERKS, kind, graph, examples(inside), **FACTS)


def contest(
    candidate: Predictor,
    in_service: Predictor | None,
    known: pd.DataFrame,
    later: pd.DataFrame | None = None,
) -> pd.DataFrame:
    later = followed(known) if later is None else later
    return promotion.compete(candidate, in_service, known, later, PERKS, CONFIG, seed=1)[0]


def over_all(decision: pd.DataFrame, rival: str) -> pd.Series:
    return decision[decision["sessions_seen"] == ALL].set_index("rival").loc[rival]


def turned(later: pd.DataFrame) -> pd.DataFrame:
    """The same with nights and bags exchanged, so that what follows is the opposite."""
    pairs = {
        f"{one}_{part}": f"{other}_{part}"
        for one, other in (
            ("nights_per_stay", "bags_per_flight"),
            ("bags_per_flight", "nights_per_stay"),
        )
        for part in ("amount", "opportunities")
    }
    return later.rename(columns=pairs)[list(later.columns)]


def test_a_model_of_what_nothing_foretells_has_no_signal_and_serves_only_as_a_default() -> None:
    known = made_up()
    later = followed(known, strength=0)
    model = trained(known, later)
    assert not model.signal.any()
    assert set(model.given(early.inputs(known, model.inputs))) == {0}
    decision = contest(model, None, known, later)
    assert decision["promoted"].all()
    assert over_all(decision, MAJORITY)["difference"] == 0
    # It does not replace a model that foretells something, but it does replace a harmful one.
    good = trained(known, followed(known))
    assert not contest(model, good, known)["promoted"].any()
    assert contest(model, good, known, turned(followed(known)))["promoted"].all()


def test_a_model_that_is_no_better_than_one_perk_for_everybody_is_not_promoted() -> None:
    known = made_up()
    model = trained(known)
    decision = contest(model, None, known, followed(known, strength=0))
    assert model.signal.any()
    assert over_all(decision, MAJORITY)["verdict"] != promotion.BETTER
    assert not decision["promoted"].any()


def test_where_no_kind_of_model_beats_one_perk_for_everybody_that_is_the_model() -> None:
    known = made_up()
    names, later = early.input_names(known), followed(known, strength=0)
    assert (
        newcomer_lifts.forward(known, later, names, PERKS, CONFIG, 1)[1] == behaviour_model.NOTHING
    )
    observed = newcomer_lifts.known_by_n(known, newcomer_lifts.whole(later), names, PERKS)
    model = behaviour_model.fit(behaviour_model.NOTHING, observed, names, 1)
    assert not model.signal.any()
    assert (model.average[:3, :2] > 1.5).all()


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_seldom_taken_for_a_signal(seed: int) -> None:
    known = made_up(300, seed=seed)
    found = trained(known, followed(known, strength=0, seed=seed)).signal[0]
    # With two standard errors, in one case of forty; three perks, ten seeds.
    assert found.sum() <= 1


def test_the_profile_foretells_what_was_planted_and_the_lift_is_measured() -> None:
    known, later = made_up(1_000), followed(made_up(1_000))
    model = trained(known, later)
    assert model.signal[0].tolist() == [True, True, False]
    old, young = (
        early.inputs(known[known["age"] == age].head(1), model.inputs) for age in (70, 25)
    )
    assert [PERKS[int(model.given(one)[0])].id for one in (old, young)] == ["meal", "bag"]
    decision, measured = promotion.compete(model, None, known, later, PERKS, CONFIG, seed=1)
    assert decision["promoted"].all()
    rows = measured[(measured["model"] == model.kind) & (measured["sessions_seen"] == 0)]
    lift = rows.set_index("perk").loc["meal"]
    # Planted: 3 nights per stay against 1, mixed at the edge of the age bands.
    assert 2 < lift["lift_low"] < lift["lift"] < lift["lift_high"] < 4
    assert rows.set_index("perk").loc[ALL_PERKS, "gain_low"] > 0.3


def test_lift_and_gain_are_what_their_definitions_say() -> None:
    did = newcomer_lifts.Judged(
        user_id=np.arange(4),
        sessions_seen=np.zeros(4, dtype=np.int64),
        amount=np.array([[4.0, 0], [2, 1], [1, 1], [1, 0]]),
        chances=np.array([[2.0, 0], [1, 1], [1, 1], [1, 1]]),
    )
    answers = {"some": np.array([0, 0, 1, 1]), "nobody's": np.full(4, newcomer_lifts.NO_PERK)}
    table, gains = newcomer_lifts.measure(answers, did, PERKS[:2], 100, seed=1)
    rows = table[table["sessions_seen"] == 0].set_index(["model", "perk"])
    assert rows.loc[("some", "meal"), "lift"] == pytest.approx((6 / 3) / (2 / 2))
    assert rows.loc[("some", "bag"), "lift"] == pytest.approx((1 / 2) / (1 / 1))
    nights = np.sqrt((2 * 0.4**2 + 0.4**2 + 2 * 0.6**2) / 5)
    bags = np.sqrt(((1 / 3) ** 2 * 2 + (2 / 3) ** 2) / 3)
    expected = 0.5 * (2 - 1.6) / nights + 0.5 * (1 / 2 - 2 / 3) / bags
    assert gains.measured[0][0] == pytest.approx(expected, rel=1e-5)
    assert gains.measured[0][1] == 0


def test_one_customer_after_many_sessions_leaves_no_interval_open() -> None:
    rng = np.random.default_rng(2)
    did = newcomer_lifts.Judged(
        user_id=np.array([*range(40), 7]),
        sessions_seen=np.array([0] * 40 + [5]),
        amount=rng.poisson(1.0, (41, 2)).astype(float),
        chances=np.ones((41, 2)),
    )
    answers = {"some": np.arange(41) % 2, "rival": np.zeros(41, dtype=int)}
    _, gains = newcomer_lifts.measure(answers, did, PERKS[:2], 200, seed=1)
    for n in (0, 5, ALL):
        assert np.isfinite(gains.apart(n, "some", "rival")).all()


def test_one_perk_for_everybody_gains_nothing_whichever_it_is() -> None:
    known = made_up(200)
    did = newcomer_lifts.judged(newcomer_lifts.whole(followed(known)), PERKS)
    answers = {perk.id: np.full(len(did.user_id), k) for k, perk in enumerate(PERKS)}
    _, gains = newcomer_lifts.measure(answers, did, PERKS, 100, seed=1)
    for n in gains.measured:
        assert np.allclose(gains.measured[n], 0, atol=1e-6)
        assert np.allclose(gains.draws[n], 0, atol=1e-5)


@pytest.mark.parametrize("kind", behaviour_model.KINDS)
def test_the_graph_answers_as_the_model_also_for_what_is_unknown(kind: str) -> None:
    known = made_up()
    names = early.input_names(known)
    observed = newcomer_lifts.known_by_n(known, newcomer_lifts.whole(followed(known)), names, PERKS)
    model = behaviour_model.fit(kind, observed, names, 1)
    assert model.signal.any()
    graph = history_graph(models.LOGISTIC, examples(known), CONFIG, 1)
    predictor = learn(model, PERKS, models.LOGISTIC, graph, examples(known), **FACTS)
    stored = Predictor.from_frame(predictor.to_frame())
    assert stored is not None
    assert stored.version == predictor.version
    inputs = early.inputs(known, names)
    inputs[::3, names.index("age")] = np.nan
    for n, rows in known.groupby(early.SEEN):
        wanted = model.deviations(int(n), inputs[rows.index])
        np.testing.assert_allclose(stored.deviations(inputs[rows.index]), wanted, atol=1e-5)


def test_who_is_unknown_is_expected_to_be_average() -> None:
    known = made_up()
    model = trained(known)
    nothing = np.full((1, len(model.inputs)), np.nan, dtype=np.float32)
    nothing[0, model.inputs.index("total_sessions")] = 0
    np.testing.assert_allclose(model.deviations(nothing), 0, atol=1e-6)
    assert reason(0, nothing[0].tolist(), speaking(model, 0, 0)) == (
        "profile: nothing known speaks for a perk"
    )
    nothing[0, model.inputs.index("age")] = 75
    assert reason(2, nothing[0].tolist(), speaking(model, 2, 0)).startswith(
        "profile and first 2 sessions: age (+"
    )


def test_the_first_sessions_are_used_only_if_they_beat_the_profile() -> None:
    known = made_up(600)
    names, later = early.input_names(known), followed(known)
    table, kind = newcomer_lifts.forward(known, later, names, PERKS, CONFIG, 1)
    assert kind == behaviour_model.PROFILE_ONLY
    assert set(table["model"]) == {*behaviour_model.KINDS, RULES, MAJORITY}
    # What the nights of the first sessions tell, and the profile does not.
    rng = np.random.default_rng(2)
    again = known.assign(age=rng.integers(18, 80, len(known)))
    assert (again[early.SEEN] == 0).any()
    told = again.assign(total_nights=known["age"].where(known[early.SEEN] > 0, 0))
    assert (
        newcomer_lifts.forward(told, later, names, PERKS, CONFIG, 1)[1]
        == behaviour_model.WITH_SESSIONS
    )


def test_what_is_judged_is_never_learnt_from() -> None:
    """Turning what followed the cut turns the measured lifts, and changes no model."""
    known = made_up(600)
    names, later = early.input_names(known), followed(known)
    future = later["after_cut"]
    upside = pd.concat([later[~future], turned(later[future])], ignore_index=True)
    (table, _), (other, _) = (
        newcomer_lifts.forward(known, each, names, PERKS, CONFIG, 1) for each in (later, upside)
    )
    keys = ["model", "sessions_seen", "perk"]
    both = table.merge(other, on=keys, suffixes=("", "_other"))
    assert len(both) == len(table) == len(other)
    assert (both["customers"] == both["customers_other"]).all()
    overall = both[(both["perk"] == ALL_PERKS) & (both["model"] == behaviour_model.PROFILE_ONLY)]
    assert (overall["gain"] > 0).all()
    assert (overall["gain_other"] < 0).all()


def test_a_model_worse_beyond_noise_is_kept_and_one_as_good_takes_over() -> None:
    known, later = made_up(1_000), followed(made_up(1_000))
    good = trained(known, later)
    worse = contest(trained(known, turned(later)), good, known, later)
    assert over_all(worse, promotion.IN_SERVICE)["difference_high"] < 0
    assert not worse["promoted"].any()
    assert promotion.beaten_by(worse, promotion.IN_SERVICE) == [0, 1, 2]
    again = contest(trained(known, followed(known, seed=10)), good, known, later)
    assert again["promoted"].all()


def test_the_candidate_meets_every_rival_after_each_number_of_sessions_and_over_all() -> None:
    known = made_up()
    model = trained(known)
    rivals = {promotion.IN_SERVICE, RULES, MAJORITY}
    met = contest(model, model, known)
    assert set(zip(met["sessions_seen"], met["rival"], strict=True)) == {
        (n, rival) for n in (ALL, 0, 1, 2) for rival in rivals
    }
    assert (met.loc[met["rival"] == promotion.IN_SERVICE, "difference"] == 0).all()
    assert set(contest(model, None, known)["rival"]) == rivals - {promotion.IN_SERVICE}


def test_rules_that_foretell_more_than_the_candidate_keep_it_out_of_service() -> None:
    known, later = made_up(1_000), followed(made_up(1_000))
    mixed = known.groupby("user_id")["age"].first().sample(frac=1, random_state=1).to_numpy()
    shuffled = known["age"].where(known["user_id"] % 3 == 0, np.repeat(mixed, 3))
    weak = trained(known.assign(age=shuffled), later)
    knows = known.assign(ruled=np.where(known["age"] > 48, "meal", "bag").astype(object))
    knows["age"] = shuffled
    decision = contest(weak, None, knows, later)
    assert over_all(decision, RULES)["verdict"] == promotion.WORSE
    assert over_all(decision, MAJORITY)["verdict"] == promotion.BETTER
    assert not decision["promoted"].any()


def test_a_model_of_an_earlier_version_is_not_read() -> None:
    old = trained(made_up()).to_frame().drop(columns=["weights", "history_onnx"])
    assert Predictor.from_frame(old) is None


def test_the_old_setting_of_trees_is_accepted_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="no effect"):
        assert Prediction(**{"trees": 30}) == Prediction()
