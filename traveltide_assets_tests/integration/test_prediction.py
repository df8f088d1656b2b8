"""What newcomers will do: nothing of what follows is known, and no worse model takes over."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import onnx
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.prediction import early, graphs, training
from traveltide_assets.prediction.behaviour_model import KINDS as BEHAVIOURS
from traveltide_assets.prediction.behaviour_model import PROFILE_ONLY
from traveltide_assets.prediction.config import Config as Prediction
from traveltide_assets.prediction.later import early_outcomes
from traveltide_assets.prediction.models import KINDS, MAJORITY, METRICS, RULES
from traveltide_assets.prediction.newcomer_lifts import ALL, ALL_PERKS
from traveltide_assets.prediction.predictor import Predictor
from traveltide_assets_tests.conftest import BOUNDS, FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.support.project import Project, failed_checks

BEFORE = "2023-06"
CANDIDATE, IN_SERVICE = "gold/perk_predictor_candidate", "gold/perk_predictor"
CONFIG = Prediction(**{**FEW_MODELS, "resamples": 200})


def gold(project: Project) -> dict[str, pd.DataFrame]:
    names = ("users", "sessions", "flights", "hotels")
    return {name: project.frame(f"gold/{name}_final", LAST) for name in names}


def computed(tables: dict[str, pd.DataFrame], n: int) -> pd.DataFrame:
    names = ("users", "sessions", "flights", "hotels")
    memory = {name: ibis.memtable(tables[name]) for name in names}
    found = early.early_features(**memory, month=LAST, n=n)
    return found.order_by("user_id").to_pyarrow().to_pandas()


def outcomes(tables: dict[str, pd.DataFrame], config: Prediction = CONFIG) -> pd.DataFrame:
    memory = {name: ibis.memtable(tables[name]) for name in ("users", "sessions", "trips")}
    found = early_outcomes(**memory, month=LAST, fewest=8, config=config)
    return found.order_by("user_id", early.SEEN, "after_cut").to_pyarrow().to_pandas()


def few(project: Project, customers: int = 40) -> dict[str, pd.DataFrame]:
    """The tables of some customers: small enough to be computed many times."""
    tables = gold(project) | {"trips": project.frame("gold/trips_final", LAST)}
    users = sorted(tables["users"]["user_id"])[:customers]
    kept = tables["sessions"]["user_id"].isin(users)
    trips = set(tables["sessions"].loc[kept, "trip_id"].dropna())
    return {
        name: table[
            table["user_id"].isin(users)
            if "user_id" in table and name not in ("flights", "hotels")
            else table["trip_id"].isin(trips)
        ]
        for name, table in tables.items()
    }


def ordered(sessions: pd.DataFrame) -> pd.DataFrame:
    table = sessions.sort_values(["user_id", "session_start", "session_id"])
    return table.assign(place=table.groupby("user_id").cumcount())


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 5), seed=st.integers(0, 2**16))
def test_changing_anything_after_the_nth_session_changes_no_input(
    sample_project: Project, n: int, seed: int
) -> None:
    tables = few(sample_project)
    rng = np.random.default_rng(seed)
    sessions = ordered(tables["sessions"])
    later = sessions["place"] >= n
    changed = sessions.copy()
    changed.loc[later, "page_clicks"] = rng.integers(1, 500, later.sum())
    for name in ("flight_discount", "hotel_discount", "flight_booked", "cancellation"):
        changed.loc[later, name] = rng.random(later.sum()) < 0.5
    changed = changed[~(later & (rng.random(len(changed)) < 0.3))]
    own = set(sessions.loc[~later, "trip_id"].dropna())
    turned = tables | {"sessions": changed.drop(columns="place")}
    for name, column in (("flights", "checked_bags"), ("hotels", "nights")):
        table = tables[name].copy()
        foreign = ~table["trip_id"].isin(own)
        table.loc[foreign, column] = rng.integers(1, 9, foreign.sum())
        turned[name] = table
    pd.testing.assert_frame_equal(computed(turned, n), computed(tables, n))


def test_nothing_of_the_first_n_sessions_counts_as_what_followed(sample_project: Project) -> None:
    tables = few(sample_project)
    found = outcomes(tables).drop(columns="after_cut").groupby(["user_id", early.SEEN]).sum()
    sessions, trips = ordered(tables["sessions"]), tables["trips"]
    assert len(found) > 200
    for (user, n), row in found.iterrows():
        own = sessions[sessions["user_id"] == user]
        rest = own[own["place"] >= n]
        assert row["browsing_without_booking_opportunities"] <= (~rest["cancellation"]).sum()
        booked = set(rest.loc[~rest["cancellation"], "trip_id"].dropna())
        mine = trips[trips["trip_id"].isin(booked)]
        assert row["cancelled_share_opportunities"] <= len(mine)
        if n == 0:
            horizon = own["session_start"].min() + pd.Timedelta(days=CONFIG.horizon_days)
            within = mine[mine["booked_at"] < horizon]
            assert row["cancelled_share_opportunities"] == len(within)
            assert (
                row["nights_per_stay_amount"]
                == within.loc[
                    (within["status"] != "cancelled") & within["kind"].isin(["hotel", "package"]),
                    "nights",
                ].sum()
            )


def test_the_horizon_and_the_inner_cut_divide_what_followed(sample_project: Project) -> None:
    tables = few(sample_project)
    long, short = (outcomes(tables, Prediction(horizon_days=days)) for days in (400, 30))
    amounts = [c for c in long.columns if c.endswith("_opportunities")]
    assert (short[amounts] <= long[amounts]).all(axis=None)
    assert short[amounts].sum().sum() < long[amounts].sum().sum()
    late = outcomes(tables, Prediction(horizon_days=400, months_ahead=1))
    after = [table.loc[table["after_cut"], amounts].sum().sum() for table in (late, long)]
    assert after[0] < after[1]
    both = [table.groupby(["user_id", early.SEEN])[amounts].sum() for table in (late, long)]
    pd.testing.assert_frame_equal(*both)


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
    assert set(stored[early.SEEN]) == set(range(early.MOST_SESSIONS + 1))


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
    each_n = early.MOST_SESSIONS + 1
    assert len(tried) == len({*KINDS, MAJORITY, RULES}) * each_n * len(METRICS)
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


def test_at_sign_up_only_the_profile_is_known(sample_project: Project) -> None:
    stored = sample_project.frame("gold/early_features", LAST)
    nobody = stored[stored[early.SEEN] == 0]
    assert len(nobody) == len(sample_project.frame("gold/users_final", LAST))
    told = [
        feature.name
        for feature in early.EARLY
        if feature.source != "users" and nobody[feature.name].fillna(0).ne(0).any()
    ]
    assert told == []
    assert nobody["age"].nunique() > 20


def test_the_lifts_hold_every_kind_baseline_and_n_beside_each_other(
    sample_project: Project,
) -> None:
    found = sample_project.frame("gold/predictor_lifts", LAST)
    overall = found[found["perk"] == ALL_PERKS]
    assert set(zip(overall["model"], overall["sessions_seen"], strict=True)) == {
        (model, n)
        for model in (*BEHAVIOURS, RULES, MAJORITY)
        for n in (ALL, *range(early.MOST_SESSIONS + 1))
    }
    assert np.allclose(overall.loc[overall["model"] == MAJORITY, "gain"], 0, atol=1e-6)
    given_perks = found[found["perk"] != ALL_PERKS]
    whole = given_perks.groupby(["model", "sessions_seen"])["customers"].sum()
    for n in range(early.MOST_SESSIONS + 1):
        # Every customer gets one perk; the rules may give one of another program.
        assert whole[PROFILE_ONLY, n] == whole[MAJORITY, n] >= whole[RULES, n]


def test_too_few_customers_give_no_candidate_and_no_failure(scenario_project: Project) -> None:
    month = "2023-05"
    for path in (CANDIDATE, IN_SERVICE, "gold/predictor_scores", "gold/predictor_promotion"):
        assert scenario_project.frame(path, month).empty


def labelled(project: Project, month: str) -> pd.DataFrame:
    names = ("early_features", "perk_assignments", "early_rules")
    return training.labelled(*(project.frame(f"gold/{name}", month) for name in names))


def test_in_the_lake_no_worse_candidate_replaces_the_model_in_service(
    sample_project: Project, sample_source: Path, tmp_path: Path
) -> None:
    shutil.copytree(sample_project.lake, tmp_path / "lake")
    project = Project(
        tmp_path, sample_source, partitions=BOUNDS, evidence=QUICK, prediction=FEW_MODELS
    )
    # A model in service that is an earlier month's candidate.
    good = project.frame(CANDIDATE, LAST)
    good.to_parquet(project.file(IN_SERVICE, BEFORE))
    stored = Predictor.from_frame(good)
    assert stored is not None
    # One that claims to know two perks from a condition that tells nothing on this sample.
    weights = np.zeros_like(stored.behaviour.weights)
    weights[:, 0, 0], weights[:, 0, 1] = 0.5, -0.5
    claims = replace(stored.behaviour, weights=weights)
    place = stored.inputs.index("total_sessions")
    graph = graphs.of_behaviour(claims, len(stored.inputs), place)
    bad = replace(stored, behaviour=claims, onnx=graph)
    bad.to_frame().to_parquet(project.file(CANDIDATE, LAST))
    outputs = [IN_SERVICE, "gold/predictor_promotion", "gold/promotion_lifts"]
    result = project.materialize_all(outputs, LAST)
    assert result.success
    assert failed_checks(result) == {"gold/predictor_promotion:promotion"}
    evaluations = result.get_asset_check_evaluations()
    facts = next(e.metadata for e in evaluations if e.check_name == "promotion")
    assert "verdict_against_model_in_service" in facts
    assert "worse_than_rules_of_the_strategy_after" in facts
    serving = project.frame(IN_SERVICE, LAST)["model_version"].iloc[0]
    assert serving == good["model_version"].iloc[0] != bad.version


def test_the_same_input_gives_the_same_model(sample_project: Project) -> None:
    before = sample_project.file(CANDIDATE, LAST).read_bytes()
    stored = Predictor.from_frame(sample_project.frame(CANDIDATE, LAST))
    assert stored is not None
    settings = sample_project.settings
    again, _ = training.train(
        labelled(sample_project, LAST),
        sample_project.frame("gold/early_outcomes", LAST),
        sample_project.frame("gold/user_features", LAST),
        of_program(load_perks(settings.perks_file), "classic"),
        settings.prediction,
        settings.seed,
        strategy=stored.strategy,
        month=LAST,
        data_version=stored.data_version,
    )
    assert again.version == stored.version
    # The converter keeps them in a set, whose order is another in every seventh process or so.
    domains = [
        opset.domain for opset in onnx.load_model_from_string(stored.history_onnx).opset_import
    ]
    assert domains == sorted(domains)
    assert sample_project.file(CANDIDATE, LAST).read_bytes() == before
