"""A strategy that is one file and one line of the registry shows up everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from traveltide_assets import report
from traveltide_assets.evidence.tables import NOT_TRIED
from traveltide_assets.segmentation import registry
from traveltide_assets.settings import Settings
from traveltide_assets_tests.conftest import FEW_MODELS, LAST, QUICK
from traveltide_assets_tests.support.project import Project, succeed

BOUNDS = {"first": "2023-01", "last": LAST}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sample_source: Path) -> Iterator[Project]:
    """The sample, decided by a toy strategy that stands beside the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.MODULES, "toy", "traveltide_assets_tests.support.toy_strategy")
        made = Project(
            tmp_path_factory.mktemp("toy"),
            sample_source,
            strategy="toy",
            partitions=BOUNDS,
            evidence=QUICK,
            prediction=FEW_MODELS,
        )
        succeed(made.ingest(**BOUNDS))
        succeed(made.assign(LAST))
        yield made


def test_it_is_an_asset_with_a_contract_and_checks(project: Project) -> None:
    graph = project.definitions.resolve_asset_graph()
    key = dg.AssetKey(["gold", "segments", "toy"])
    columns = graph.get(key).metadata["dagster/column_schema"].columns
    assert [column.name for column in columns][-1] == "is_even"
    checks = {check.name for check in graph.asset_check_keys if check.asset_key == key}
    assert checks == {"contract", "primary_key", "coverage"}


def test_it_decides_if_the_settings_say_so(project: Project) -> None:
    perks = project.frame("gold/perk_assignments", LAST)
    assert set(perks["strategy"]) == {"toy"}
    assert (perks["segment"] == "Even").eq(perks["user_id"] % 2 == 0).all()
    graph = project.definitions.resolve_asset_graph()
    parents = graph.get(dg.AssetKey(["gold", "decided_segments"])).parent_keys
    assert dg.AssetKey(["gold", "segments", "toy"]) in parents
    assert dg.AssetKey(["gold", "segments", "kmeans"]) not in parents


def test_it_is_back_tested_and_scored_beside_the_others(project: Project) -> None:
    card = project.frame("gold/segmentation_scorecard", LAST).set_index("strategy")
    assert set(card.index) == set(project.strategies)
    assert card.loc["toy", "segments"] == 2
    assert card.loc["toy", "stability_bootstrap"] == 1
    evidence = project.frame("gold/perk_evidence", LAST)
    verdicts = evidence.loc[evidence["strategy"] == "toy", "verdict"]
    assert len(verdicts) == 5, "all perks of its program"
    assert (verdicts != NOT_TRIED).sum() == 2
    agreement = project.frame("gold/strategy_agreement", LAST)
    assert set(agreement["other"]) >= {"toy"}


def test_the_report_calls_it_by_its_title(project: Project) -> None:
    file = project.lake / report.PATH / f"month={LAST}" / report.FILE
    page = file.read_text(encoding="utf-8")
    assert "Toy strategy" in page
    assert "splits customers by whether their id is even" in page.lower()


def test_a_name_that_is_not_registered_is_an_error_that_lists_the_strategies() -> None:
    with pytest.raises(
        ValueError, match="'nobody' is not a strategy; choose recommended, learned, kmeans"
    ):
        Settings(strategy="nobody")
    with pytest.raises(ValueError, match="fallback: 'nobody' is not a strategy; choose kmeans"):
        Settings(evidence={"fallback": "nobody"})
