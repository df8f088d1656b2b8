"""A month is a mixture if its parts were made of different inputs, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from traveltide_assets.defs import tags
from traveltide_assets.defs.provenance import Made, last_outcomes, mixture, of_month, passed

MONTH = "2023-07"
FEATURES, PERKS = "gold/user_features", "gold/perk_assignments"
READS = {PERKS: (FEATURES,), FEATURES: ()}
SESSIONS = "silver/sessions_processed"
CONTRACT = dg.AssetCheckKey(dg.AssetKey(FEATURES.split("/")), "contract")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def report(instance: dg.DagsterInstance, path: str, version: str, **read: tuple[str, int]) -> None:
    """A materialisation, with the versions and events of what it read, by the last word."""
    known = {each.rpartition("/")[2]: each for each in (FEATURES, SESSIONS)}
    said = {tags.DATA_VERSION: version, tags.CODE_VERSION: "code=1"}
    for name, (of, event) in read.items():
        said |= {tags.INPUT_VERSION + known[name]: of, tags.INPUT_EVENT + known[name]: str(event)}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            dg.AssetKey(path.split("/")), partition=MONTH, metadata={"sha256": version}, tags=said
        )
    )


def made(instance: dg.DagsterInstance) -> dict[str, Made]:
    return of_month(instance, [dg.AssetKey(path.split("/")) for path in READS], MONTH)


def test_parts_of_one_run_belong_together(instance: dg.DagsterInstance) -> None:
    report(instance, FEATURES, "a")
    event = made(instance)[FEATURES].event
    report(instance, PERKS, "b", user_features=("hash", event))
    found = made(instance)
    assert found[PERKS].read == {FEATURES: ("hash", event)}
    assert mixture(instance, found, READS, {FEATURES: "a", PERKS: "b"}) == []
    # Made again with the same result, it is the same input.
    report(instance, FEATURES, "a")
    assert mixture(instance, made(instance), READS, {}) == []
    report(instance, FEATURES, "other")
    outdated = mixture(instance, made(instance), READS, {})
    assert outdated == [f"{PERKS} was made of another {FEATURES}"]


def test_a_file_that_is_not_the_recorded_one_is_another_runs(instance: dg.DagsterInstance) -> None:
    report(instance, FEATURES, "a")
    found = mixture(instance, made(instance), READS, {FEATURES: "b", PERKS: "not recorded"})
    assert found == [f"{FEATURES} was replaced by another run"]


def test_silver_replaced_between_two_readers_is_a_mixture(instance: dg.DagsterInstance) -> None:
    report(instance, FEATURES, "a", sessions_processed=("one", 1))
    report(instance, PERKS, "b", sessions_processed=("two", 2))
    (said,) = mixture(instance, made(instance), READS, {})
    assert said == f"{PERKS} and {FEATURES} read different versions of {SESSIONS}"
    same = {
        path: replace(each, read={SESSIONS: ("one", event)})
        for event, (path, each) in enumerate(made(instance).items())
    }
    assert mixture(instance, same, READS, {}) == []


def test_without_a_history_there_is_nothing_to_compare(instance: dg.DagsterInstance) -> None:
    assert made(instance) == {}
    assert mixture(instance, {}, READS, {FEATURES: "a"}) == []


def evaluate(
    instance: dg.DagsterInstance, outcome: bool, partition: str | None, of: int | None = None
) -> None:
    """An evaluation of the contract of the features, perhaps of one materialisation of them."""
    target = (
        None
        if of is None
        else AssetCheckEvaluationTargetMaterializationData(
            storage_id=of, run_id="run", timestamp=0.0
        )
    )
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=CONTRACT.asset_key,
            check_name=CONTRACT.name,
            passed=outcome,
            partition=partition,
            target_materialization_data=target,
        )
    )


def test_the_last_outcome_of_a_check_counts_unless_it_is_of_a_later_month(
    instance: dg.DagsterInstance,
) -> None:
    name = f"{FEATURES}:contract"
    assert last_outcomes(instance, [CONTRACT], MONTH) == {}
    evaluate(instance, False, MONTH)
    assert last_outcomes(instance, [CONTRACT], MONTH) == {name: "failed"}
    evaluate(instance, True, None)
    assert last_outcomes(instance, [CONTRACT], MONTH) == {name: "passed"}
    evaluate(instance, False, "2023-08")
    assert last_outcomes(instance, [CONTRACT], MONTH) == {}


def test_a_check_counts_as_passed_for_the_file_that_it_passed_on(
    instance: dg.DagsterInstance,
) -> None:
    report(instance, FEATURES, "a")
    found = made(instance)
    evaluate(instance, True, MONTH, of=found[FEATURES].event)
    assert passed(instance, [CONTRACT], found) == {f"{FEATURES}:contract"}
    report(instance, FEATURES, "b")
    assert passed(instance, [CONTRACT], made(instance)) == set()
