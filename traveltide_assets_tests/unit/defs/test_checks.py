"""Checks are data: every table has its two, a fault names its check, a month is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from traveltide_assets.campaign.suppression import Suppressed
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.contracts import build_tables
from traveltide_assets.defs.checks import decisions, every_table, evidence, formats, steps
from traveltide_assets.defs.checks.campaign import lost
from traveltide_assets.defs.checks.check import Check, Context, Outcome, Severity
from traveltide_assets.defs.gate import Gate
from traveltide_assets.defs.partitions import bounded
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.lake import Lake
from traveltide_assets.resources import open_storage
from traveltide_assets.schema.table import Column, Table
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import Settings
from traveltide_assets_tests.support.queries import answered

MONTHS = bounded("2023-06", "2023-07")
MONTH = "2023-07"
PERKS = load_perks(Settings().perks_file)
TABLES = build_tables(PERKS, build_strategies(Settings(), PERKS))
TOY = Table(
    "gold",
    "toy",
    "One row per toy.",
    (Column("id", "int64", "The toy"),),
    ("id",),
    partitioned=True,
)
SCORECARD = "gold/segmentation_scorecard"
DECISION = "gold/strategy_decision"


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Context]:
    """The context of an empty lake of some tables, for some months."""

    def made(*months: str, **settings: Any) -> Context:
        tables = {**TABLES, TOY.path: TOY}
        engine = DuckDB(tmp_path / "scratch", "25%")
        storage = open_storage(tmp_path / "lake", tmp_path / "cache", "TRAVELTIDE_LAKE")
        lake = Lake(storage, engine, tables)
        return Context(tables, lake, Settings(**settings), PERKS, months, ("2023-06", MONTH))

    return made


def check_of(table: str, name: str) -> Check:
    declared = (*decisions.STEPS, *evidence.STEPS)
    every = [check for step in declared for check in step.checks]
    (found,) = [check for check in every if (check.table, check.name) == (table, name)]
    return found


def scorecard(stability: float) -> pd.DataFrame:
    """A scorecard of k-means alone."""
    row: dict[str, Any] = dict.fromkeys(TABLES[SCORECARD].column_names, 0)
    row |= {"strategy": "kmeans", "description": "centroids", "recommended": True}
    return pd.DataFrame([row | {"stability_bootstrap": stability}])


def test_the_functions_of_the_checks_are_imported_without_dagster() -> None:
    folder = Path(steps.__file__).parent
    names = {path.stem for path in folder.glob("*.py")} - {"steps", "__init__"}
    assert len(names) > 5
    modules = ", ".join(f"traveltide_assets.defs.checks.{name}" for name in sorted(names))
    program = f"import sys, {modules}; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_failure_says_what_is_wrong_in_a_sentence_of_its_own_or_of_its_facts(
    context: Callable[..., Context],
) -> None:
    many = {"apart": {f"feature_{i}": i / 3 for i in range(20)}, "rows": 1_000}
    check = Check("gold/a", "b", "All is well.", Severity.WARNING, lambda _: Outcome(False, many))
    said = check.outcome(context(MONTH)).facts["problem"]
    assert said == (
        "this does not hold: All is well (apart: feature 0 0, feature 1 0.333, feature 2 0.667 and "
        "17 more; rows: 1,000)"
    )
    own = {"problem": "two of three are missing", "rows": 1}
    for passed, told in ((False, own), (True, {"rows": 1})):
        ended = Outcome(passed, own)
        found = replace(check, evaluate=partial(_always, ended))
        assert found.outcome(context(MONTH)).facts == told


def test_refused_formats_are_counted_by_three_queries_however_many_rules_refuse(
    context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = context()
    raw, refused = there.tables["bronze/flights_raw"], there.tables["silver/flights_quarantine"]
    rows = pd.DataFrame({name: ["1"] * 100 for name in raw.column_names})
    rows = rows.assign(source_row=range(1, 101), source_order=1, base_fare_usd="20.5")
    rows.loc[:9, "base_fare_usd"] = "1,234.50"
    rows.loc[90:, "base_fare_usd"] = None
    rows.loc[20:39, "seats"] = "two"
    there.lake.write(raw, rows)
    reasons = ["unreadable_base_fare_usd"] * 10 + ["missing_seats"] * 5 + ["unreadable_seats"] * 20
    places = [*range(10), *range(15, 20), *range(20, 40)]
    there.lake.write(refused, rows.iloc[places].assign(reason=reasons))
    asked = answered(monkeypatch)
    found = formats.has_few_in_a_format("flights", there)
    assert not found.passed
    assert found.facts["unreadable_base_fare_usd:base_fare_usd"] == 10
    assert "10 of 90 values" in str(found.facts["problem"])
    assert not [name for name in found.facts if name.endswith(":seats")]  # Words have no format.
    assert len(asked) == 3


def _always(ended: Outcome, _: Context) -> Outcome:
    return ended


def test_a_check_of_files_is_computed_again_only_once_a_file_has_changed(
    context: Callable[..., Context],
) -> None:
    seen = context(MONTH)
    computed: list[int] = []

    def evaluate(_: Context) -> Outcome:
        computed.append(len(computed))
        return Outcome(True, {"time": len(computed)})

    check = Check("silver/a", "b", "All is well.", Severity.ERROR, evaluate, of_files=True)
    other = replace(seen, months=(), known=seen.known)
    assert [check.outcome(each).facts["time"] for each in (seen, other)] == [1, 1]
    assert replace(check, of_files=False).outcome(seen).facts["time"] == 2
    file = Path(seen.lake.uri("silver/users_processed"))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"new")
    assert [check.outcome(each).facts["time"] for each in (seen, other)] == [3, 3]


def test_a_table_of_silver_with_unique_keys_is_not_asked_for_fewer_months(
    context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "silver/sessions_processed"
    asked: list[Sequence[str]] = []

    def repeated(table: Table, lake: Lake, months: Sequence[str]) -> int:
        asked.append(months)
        return 0 if len(months) == 1 else 3

    monkeypatch.setattr(every_table, "repeated_keys", repeated)
    _, unique = every_table.checks(TABLES[path])
    first = context("2023-06")
    both, second = (replace(first, months=months) for months in (("2023-06", MONTH), (MONTH,)))
    for each, passed in ((first, True), (first, True), (second, True), (both, False)):
        assert unique.outcome(each).passed is passed
    # Two months of unique keys are not unique together, and what fails is asked for again.
    assert not unique.outcome(both).passed
    assert asked == [["2023-06"], [MONTH], ["2023-06", MONTH], ["2023-06", MONTH]]
    assert every_table.checks(TOY)[1].outcome(second).passed
    assert every_table.checks(TOY)[1].outcome(second).passed
    assert len(asked) == 6, "the files of gold are not among those that `known` tells apart"


def test_a_table_that_no_step_names_has_its_two_checks() -> None:
    found = {
        spec.key: spec
        for definition in steps.build({**TABLES, TOY.path: TOY}, MONTHS)
        for spec in definition.check_specs
    }
    for name in ("contract", "primary_key"):
        spec = found[dg.AssetCheckKey(dg.AssetKey(["gold", "toy"]), name)]
        assert spec.blocking
        assert spec.partitions_def == MONTHS


def test_no_check_is_declared_twice_and_every_table_has_two() -> None:
    specs = [spec for step in steps.build(TABLES, MONTHS) for spec in step.check_specs]
    keys = [spec.key for spec in specs]
    assert len(keys) == len(set(keys))
    for name in ("contract", "primary_key"):
        paths = {"/".join(key.asset_key.path) for key in keys if key.name == name}
        assert paths == set(TABLES)


def test_an_error_of_a_check_names_it_and_keeps_its_type(
    context: Callable[..., Context],
) -> None:
    def fails(_: Context) -> Outcome:
        raise KeyError("user_id")

    check = Check("gold/toy", "complete", "All toys are here.", Severity.ERROR, fails)
    with pytest.raises(KeyError) as caught:
        check.outcome(context(MONTH))
    assert caught.value.__notes__ == ["in the check gold/toy:complete"]


def test_a_failed_step_says_which_check_could_not_be_evaluated(
    context: Callable[..., Context],
) -> None:
    """The lake is empty, so the first check of the toys finds no file."""
    seen = context()
    (step,) = [
        found for found in steps.build(seen.tables, MONTHS) if found.node_def.name == "toy_checks"
    ]
    resources = {
        "gate": Gate(seen.settings, seen.lake),
        "lake": seen.lake,
        "settings": seen.settings,
        "perk_catalogue": PERKS,
    }
    toy = dg.AssetSpec(["gold", "toy"], partitions_def=MONTHS)
    job = dg.define_asset_job("toys", dg.AssetSelection.all_asset_checks())
    definitions = dg.Definitions([toy], asset_checks=[step], jobs=[job], resources=resources)
    result = definitions.resolve_job_def("toys").execute_in_process(
        tags={"dagster/partition": MONTH}, raise_on_error=False
    )
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    assert error is not None
    assert "in the check gold/toy:contract" in error.message


@pytest.mark.parametrize("months", [(), ("2023-06", MONTH)], ids=["none", "two"])
def test_a_check_of_one_month_does_not_guess_it(
    context: Callable[..., Context], months: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="evaluates a single month"):
        _ = context(*months).month


def test_a_table_without_months_is_looked_at_whole(context: Callable[..., Context]) -> None:
    assert context(MONTH).months_of("silver/users_processed") == []
    assert context(MONTH).months_of("silver/sessions_processed") == [MONTH]
    with pytest.raises(ValueError, match="no month of silver/sessions_processed"):
        context().months_of("silver/sessions_processed")


def test_stability_is_that_of_the_scorecard(context: Callable[..., Context]) -> None:
    seen = context(MONTH, checks={"min_stability": 0.6}, evidence={"refits": 4})
    seen.lake.write(TABLES[SCORECARD], scorecard(stability=0.5), MONTH)
    outcome = check_of("gold/kmeans_model", "stability").outcome(seen)
    assert not outcome.passed
    facts = dict(outcome.facts)
    assert "agree by 0.50" in str(facts.pop("problem"))
    assert facts == {"mean_adjusted_rand_index": 0.5, "refits": 4, "limit": 0.6}
    seen.lake.write(TABLES[SCORECARD], scorecard(stability=0.6), MONTH)
    assert check_of("gold/kmeans_model", "stability").outcome(seen).passed


def test_stability_passes_and_says_so_where_the_month_has_no_scorecard(
    context: Callable[..., Context],
) -> None:
    seen = context(MONTH)
    seen.lake.write(TABLES[SCORECARD], scorecard(stability=0.1), "2023-06")
    outcome = check_of("gold/kmeans_model", "stability").outcome(seen)
    assert outcome.passed
    assert "no scorecard for this month" in str(outcome.facts["scorecard"])


def test_a_stability_that_could_not_be_computed_warns_in_words(
    context: Callable[..., Context],
) -> None:
    seen = context(MONTH)
    seen.lake.write(TABLES[SCORECARD], scorecard(stability=float("nan")), MONTH)
    outcome = check_of("gold/kmeans_model", "stability").outcome(seen)
    assert not outcome.passed
    assert "undefined" in str(outcome.facts["mean_adjusted_rand_index"])


def test_customers_lost_between_the_perks_and_the_files_are_counted_by_format() -> None:
    files = {"a.csv": pd.Series([1, 2, 2]), "a.parquet": pd.Series([1, 2, 9])}
    suppressed = Suppressed(frozenset({4}), digest=None)
    found = lost(files, pd.Series([3]), suppressed, pd.Series([1, 2, 3, 4, 5]))
    assert {name: rows for name, rows in found.items() if rows} == {
        "csv_missing": 1,
        "csv_more_than_once": 1,
        "parquet_missing": 1,
        "parquet_without_perk": 1,
    }


def judged(verdict: str, **changes: Any) -> pd.DataFrame:
    row: dict[str, Any] = {"customers": 500, "lift_low": 1.1, "lift_high": 1.3, "p_holm": 0.001}
    return pd.DataFrame([row | {"verdict": verdict} | changes])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (judged("proven"), "unknown"),
        (judged("supported", p_holm=0.2), "supported_without_support"),
        (judged("supported", lift_low=0.99), "supported_without_support"),
        (judged("contradicted"), "contradicted_without_reason"),
        (judged("not tried"), "not_tried_on_customers"),
    ],
)
def test_a_verdict_that_its_figures_do_not_bear_is_counted(
    rows: pd.DataFrame, problem: str
) -> None:
    found = evidence.verdict_problems(rows, alpha=0.025)
    assert [name for name, count in found.items() if count] == [problem]


def test_verdicts_that_their_figures_bear_are_sound() -> None:
    rows = pd.concat(
        [
            judged("supported"),
            judged("contradicted", lift_low=0.7, lift_high=0.9),
            judged("not supported", lift_low=0.9),
            judged("too little data", p_holm=np.nan),
            judged("not tried", customers=0, p_holm=np.nan),
        ]
    )
    assert not any(evidence.verdict_problems(rows, alpha=0.025).values())


def decision(*deciding: str) -> pd.DataFrame:
    names = ["kmeans", "five_personas"]
    row: dict[str, Any] = dict.fromkeys(TABLES[DECISION].column_names, 0)
    row |= {"verdict": "no rival", "because": "so", "recommended": False, "in_service": None}
    return pd.DataFrame([row | {"strategy": n, "decides": n in deciding} for n in names])


@pytest.mark.parametrize(
    ("deciding", "setting", "passed"),
    [
        (["kmeans"], "recommended", True),
        (["kmeans"], "kmeans", True),
        (["kmeans"], "five_personas", False),
        ([], "recommended", False),
        (["kmeans", "five_personas"], "recommended", False),
    ],
)
def test_exactly_one_strategy_decides_and_the_one_that_the_setting_names(
    context: Callable[..., Context], deciding: list[str], setting: str, passed: bool
) -> None:
    seen = context(MONTH, strategy=setting)
    seen.lake.write(TABLES[DECISION], decision(*deciding), MONTH)
    assert check_of(DECISION, "one_decides").outcome(seen).passed == passed
