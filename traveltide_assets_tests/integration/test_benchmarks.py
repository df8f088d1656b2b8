"""The benchmarks compare what is equal: the chain without Dagster, the pipeline and the peer."""

from __future__ import annotations

from pathlib import Path

import ibis
import pandas as pd
import pytest

from benchmarks import pandas_keeping, pandas_peer, pure, scale
from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.months import span
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets_tests.conftest import BOUNDS, FIRST, LAST
from traveltide_assets_tests.support.project import DECIDING, Project

MONTHS = span("2021-01", "2023-12")
EVERYBODY = Cohort(min_sessions=1, active_since=None)


def known(source: Path, folder: Path, rule: Cohort, settings: Settings) -> pd.DataFrame:
    """The features that the chain without Dagster gives."""
    files = Files(Folder(source), DuckDB(folder / "scratch"), folder / "staging")
    with pure.in_memory() as keep:
        return pure.gold(files, rule, LAST, settings.partitions.months(), keep).known()


def test_the_chain_without_dagster_ends_where_the_lake_does(tmp_path: Path) -> None:
    write_sample(tmp_path / "source", SampleSpec(users=400, seed=2, active_share=0.5, dirt=0.02))
    project = Project(tmp_path, tmp_path / "source", partitions=BOUNDS, strategy="kmeans")
    assert project.ingest(FIRST, LAST).success
    assert project.materialize_all(
        [f"gold/{name}" for name in (*DECIDING, "decided_segments", "perk_assignments")], LAST
    ).success
    settings = project.settings
    features = known(project.source, tmp_path / "alone", settings.cohort, settings)
    stored = project.frame("gold/user_features", LAST)
    pd.testing.assert_frame_equal(features, stored, check_dtype=False, check_exact=True)
    given = pure.assignments(features, settings, load_perks(settings.perks_file))
    decided = project.frame("gold/perk_assignments", LAST)
    columns = ["user_id", "segment", "perk", "runner_up", "deciding_features"]
    pd.testing.assert_frame_equal(given[columns], decided[columns])


@pytest.mark.parametrize("rule", [Cohort(), EVERYBODY], ids=["active", "everybody"])
def test_the_pandas_peer_knows_the_same_and_gives_the_same_perks(
    sample_source: Path, tmp_path: Path, rule: Cohort
) -> None:
    settings = Settings.model_construct(cohort=rule)
    ours = known(sample_source, tmp_path, rule, settings)
    peers = pandas_peer.customers(pandas_peer.tables(sample_source), rule, LAST)
    assert len(ours) > 100
    assert scale.differences(ours, peers) == []
    catalogue = load_perks(settings.perks_file)
    given = pure.assignments(ours, settings, catalogue)
    theirs = pandas_peer.assignments(
        peers, settings.kmeans, settings.seed, of_program(catalogue, "classic")
    )
    both = given.merge(theirs, on="user_id", validate="one_to_one")
    assert (both["perk_x"] == both["perk_y"]).mean() > 0.99


def test_the_peer_that_keeps_what_it_read_refuses_the_same_rows_for_the_same_reasons(
    tmp_path: Path,
) -> None:
    source, peers = tmp_path / "source", tmp_path / "peers"
    write_sample(source, SampleSpec(users=400, seed=2, active_share=0.5, dirt=0.05))
    with pytest.warns(UserWarning, match="named by no session"):
        valid = pandas_keeping.tables(source, peers)
    files = Files(Folder(source), DuckDB(tmp_path / "scratch"), tmp_path / "staging")
    told: dict[str, ibis.Table] = {}
    with pure.in_memory() as keep:

        def noted(path: str, rows: ibis.Table) -> ibis.Table:
            told[path] = keep(path, rows)
            return told[path]

        processed = pure.processed(files, MONTHS, noted)
        for name, columns in SOURCES.items():
            refused = [pd.read_parquet(file) for file in (peers / "quarantine" / name).iterdir()]
            reasons = pd.concat(refused)["reason"]
            # Sessions without a readable start have no month, and the pipeline keeps them apart.
            reasons = reasons[~reasons.str.endswith("_session_start")]
            ours = told[f"silver/{name}_quarantine"].reason.to_pyarrow().to_pandas()
            assert len(ours) > 5
            assert reasons.value_counts().to_dict() == ours.value_counts().to_dict()
            key = columns[0].name
            kept = processed[name][key].to_pyarrow().to_pylist()
            assert sorted(kept) == sorted(getattr(valid, name)[key])


def test_a_feature_that_differs_is_named() -> None:
    ours = pd.DataFrame({"user_id": [1, 2], "age": [30, 40], "mean_seats": [1.0, None]})
    assert scale.differences(ours, ours) == []
    assert scale.differences(ours, ours.assign(mean_seats=[1.0, 2.0])) == ["mean_seats"]
    assert scale.differences(ours, ours.assign(age=[30, 41])) == ["age"]
