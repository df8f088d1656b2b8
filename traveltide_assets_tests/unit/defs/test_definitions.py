"""What Dagster sees: every asset explains itself, and the layers depend in one direction."""

from __future__ import annotations

import os
from graphlib import TopologicalSorter

import dagster as dg
import pytest

from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs.jobs import ASSIGN_PERKS, INGEST
from traveltide_assets.serving.desk.pages import NAVIGATION
from traveltide_assets.settings import Settings


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings())


@pytest.fixture(scope="module")
def inputs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    """What lies outside the lake; nothing materializes it."""
    made = definitions.resolve_asset_graph().materializable_asset_keys
    return [spec for spec in definitions.resolve_all_asset_specs() if spec.key not in made]


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    """Every asset that a run materializes."""
    made = definitions.resolve_asset_graph().materializable_asset_keys
    return [spec for spec in definitions.resolve_all_asset_specs() if spec.key in made]


@pytest.fixture(scope="module")
def tables(specs: list[dg.AssetSpec]) -> list[dg.AssetSpec]:
    """Every asset but the report, which is for people to read, and the release, which copies."""
    return [spec for spec in specs if spec.key.path[-1] not in ("report", "release")]


def test_the_definitions_load_and_are_valid(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_assets_link_to_the_page_of_the_desk_that_shows_them() -> None:
    settings = Settings(serving={"url": "https://desk.example/"})
    specs = build_definitions(settings).resolve_all_asset_specs()
    links = {
        spec.key.to_user_string(): spec.metadata["desk"].url
        for spec in specs
        if "desk" in spec.metadata
    }
    assert links["gold/release"] == "https://desk.example/"
    assert links["gold/campaign_readout"] == "https://desk.example/experiment"
    pages = {path for path, _ in NAVIGATION}
    assert {link.removeprefix("https://desk.example") for link in links.values()} <= pages
    assert len(links) >= 12


def test_the_spine_is_there(specs: list[dg.AssetSpec]) -> None:
    names = {spec.key.to_user_string() for spec in specs}
    tables = ("users", "sessions", "flights", "hotels")
    assert names >= {f"bronze/{table}_raw" for table in tables}
    assert names >= {f"silver/{table}_processed" for table in tables}
    assert names >= {f"silver/{table}_quarantine" for table in tables}
    assert names >= {f"gold/{table}_final" for table in (*tables, "trips")}
    assert names >= {
        "bronze/sessions_undated",
        "gold/user_features",
        "gold/kmeans_model",
        "gold/kmeans_diagnostics",
        "gold/segments/kmeans",
        "gold/perk_assignments",
    }


def test_every_asset_says_what_it_is_and_whose(specs: list[dg.AssetSpec]) -> None:
    for spec in specs:
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.key.path[0] in spec.kinds, spec.key
        assert spec.kinds & {"parquet", "html", "json"}, spec.key


def test_every_input_says_what_it_is_and_stands_apart(
    inputs: list[dg.AssetSpec], specs: list[dg.AssetSpec]
) -> None:
    assert {spec.key.path[-1] for spec in inputs} >= {"users", "sessions", "flights", "hotels"}
    for spec in inputs:
        assert spec.key.path[0] == spec.group_name == "inputs", spec.key
        assert spec.description, spec.key
        assert not list(spec.deps), spec.key
    read = {dep.asset_key for spec in specs for dep in spec.deps}
    assert {spec.key for spec in inputs} <= read, "an input that nothing reads decides nothing"


def test_the_groups_lead_from_left_to_right(
    inputs: list[dg.AssetSpec], specs: list[dg.AssetSpec]
) -> None:
    group = {spec.key: spec.group_name for spec in (*inputs, *specs)}
    leads: dict[str, set[str]] = {name: set() for name in group.values() if name}
    for spec in specs:
        sources = {group[dep.asset_key] for dep in spec.deps}
        leads[spec.group_name or ""] |= {name for name in sources if name} - {spec.group_name}
    order = list(TopologicalSorter(leads).static_order())  # It refuses cycles.
    assert order[:4] == ["inputs", "bronze", "silver", "gold"]
    assert order[-2:] == ["reports", "releases"]


def test_every_table_has_columns_and_every_column_a_description(
    tables: list[dg.AssetSpec],
) -> None:
    for spec in tables:
        schema = spec.metadata["dagster/column_schema"]
        assert schema.columns, spec.key
        for column in schema.columns:
            assert column.description, (spec.key, column.name)
            assert column.type, (spec.key, column.name)


def test_a_table_says_how_it_is_stored(tables: list[dg.AssetSpec]) -> None:
    stored = {spec.key.to_user_string(): spec.metadata["stored"] for spec in tables}
    assert stored["silver/flights_processed"] == "One file per file of the source"
    assert stored["silver/sessions_processed"] == "One file per month"
    assert stored["bronze/sessions_undated"] == "One file"


def test_every_check_has_a_description(definitions: dg.Definitions) -> None:
    checks = [spec for check in definitions.asset_checks or [] for spec in check.check_specs]
    assert len(checks) > 40
    assert all(spec.description for spec in checks)


def test_every_table_has_a_blocking_contract_check(
    definitions: dg.Definitions, tables: list[dg.AssetSpec]
) -> None:
    checks = [spec for check in definitions.asset_checks or [] for spec in check.check_specs]
    guarded = {spec.asset_key for spec in checks if spec.name == "contract" and spec.blocking}
    assert guarded == {spec.key for spec in tables}


def test_the_months_are_bounded_by_the_settings() -> None:
    settings = Settings(partitions={"first": "2022-11", "last": "2023-02"})
    for spec in build_definitions(settings).resolve_all_asset_specs():
        if spec.partitions_def is not None:
            months = spec.partitions_def.get_partition_keys()
            assert list(months) == ["2022-11", "2022-12", "2023-01", "2023-02"]


def test_sessions_and_everything_in_gold_are_by_month_and_the_rest_is_whole(
    specs: list[dg.AssetSpec],
) -> None:
    for spec in specs:
        by_month = spec.key.path[0] == "gold" or spec.key.path[-1].startswith("sessions_")
        if spec.key.path[-1] == "sessions_undated":
            by_month = False
        assert (spec.partitions_def is not None) == by_month, spec.key


def test_ingest_takes_a_range_of_months_in_one_run_and_perks_a_month_per_run(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    single = dg.BackfillPolicy.single_run()
    for job, policy in ((INGEST, single), (ASSIGN_PERKS, None)):
        keys = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
        assert keys
        for key in keys:
            if graph.get(key).partitions_def is not None:
                assert graph.get(key).backfill_policy == policy, key


@pytest.mark.parametrize("executor", ["in_process", "forkserver"])
def test_a_run_has_processes_for_fits_unless_each_step_has_its_own(
    monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    resources = build_definitions(Settings(executor=executor)).resources or {}
    processes = resources["processes"](dg.build_init_resource_context())
    elsewhere = os.getpid() not in processes.each(os.getpid, [()] * 2)
    assert elsewhere == (executor == "in_process")
