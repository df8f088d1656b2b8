"""Column lineage: read off the expressions, and true of them."""

from __future__ import annotations

import dagster as dg
import ibis
import pytest

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.contracts import build_tables
from traveltide_assets.definitions import build_definitions
from traveltide_assets.defs.lineage import trace
from traveltide_assets.prediction.early import early_features_by_n
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.chain import STEPS, features_of
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets.transforms.outcomes import sessions_before

Deps = dict[str, set[str]]
# The assets that are expressions; what pandas makes has no column lineage.
TRACED = {
    *(step.path for step in STEPS),
    "gold/perk_outcomes",
    "gold/exploration",
    "gold/earlier_features",
    "gold/cut_features",
    "gold/cut_outcomes",
    "gold/half_features",
    "gold/early_features",
}


@pytest.fixture(scope="module")
def lineage() -> dict[str, Deps]:
    """`{asset: {column: {"table.column"}}}` of every asset that tells."""
    specs = build_definitions(Settings()).resolve_all_asset_specs()
    return {
        spec.key.to_user_string(): {
            column: {f"{dep.asset_key.path[-1]}.{dep.column_name}" for dep in deps}
            for column, deps in spec.metadata["dagster/column_lineage"].deps_by_column.items()
        }
        for spec in specs
        if "dagster/column_lineage" in spec.metadata
    }


def test_a_trace_goes_through_joins_filters_aggregates_and_unions() -> None:
    a = ibis.table({"k": "int64", "x": "int64", "unused": "int64"}, name="a")
    b = ibis.table({"k": "int64", "y": "int64"}, name="b")
    joined = a.filter(a.unused > 0).left_join(b, "k").mutate(z=lambda t: t.x + t.y)
    summed = joined.group_by("k").agg(total=joined.z.sum(), rows=joined.count())
    both = summed.select("k", "total").union(b.rename(total="y"))
    assert trace(summed) == {
        "k": {("a", "k")},
        "total": {("a", "x"), ("b", "y")},
        "rows": {("a", "k")},
    }
    assert trace(both)["total"] == {("a", "x"), ("b", "y")}


def test_every_feature_comes_from_the_table_its_catalogue_entry_names(
    lineage: dict[str, Deps],
) -> None:
    for feature in CATALOGUE:
        tables = {source.split(".")[0] for source in lineage["gold/user_features"][feature.name]}
        if feature.source == "features":
            assert tables <= {"sessions_final", "trips_final", "users_final"}, feature.name
            assert tables, feature.name
        else:
            source = "trips" if feature.source == "rows" else feature.source
            assert tables == {f"{source}_final"}, feature.name


def test_features_of_fewer_sessions_come_from_the_same_columns(lineage: dict[str, Deps]) -> None:
    perks = load_perks(Settings().perks_file)
    tables = build_tables(perks, build_strategies(Settings(), perks))
    users, sessions, flights, hotels = (
        ibis.table(tables[f"gold/{name}_final"].schema, name=f"{name}_final")
        for name in ("users", "sessions", "flights", "hotels")
    )
    known = sessions_before(sessions, "2023-01")
    before = features_of(users, known, flights, hotels, "2023-01")
    first = early_features_by_n(users, sessions, flights, hotels, "2023-01")

    def traced(table: ibis.Table) -> Deps:
        return {
            column: {f"{table}.{name}" for table, name in of} for column, of in trace(table).items()
        }

    assert lineage["gold/earlier_features"] == traced(before)
    # Which sessions are the first n is told by their order.
    order = {f"sessions_final.{name}" for name in ("user_id", "session_start", "session_id")}
    early = traced(first)
    for column, of in lineage["gold/early_features"].items():
        assert of <= early[column] <= of | order, column


def test_known_columns_come_from_where_people_would_look(lineage: dict[str, Deps]) -> None:
    features, trips = lineage["gold/user_features"], lineage["gold/trips_final"]
    assert features["age"] == {"users_final.birthdate"}
    assert features["mean_nights"] == {f"trips_final.{c}" for c in ("kind", "nights", "status")}
    assert trips["seats"] == {"flights_final.seats"}
    assert "users_final.home_airport_lat" in trips["distance_km"]


def test_lineage_names_columns_and_assets_that_exist() -> None:
    settings = Settings(publish="postgresql://somewhere/else")
    specs = {spec.key: spec for spec in build_definitions(settings).resolve_all_asset_specs()}
    columns = {
        key: {column.name for column in spec.metadata["dagster/column_schema"].columns}
        for key, spec in specs.items()
        if "dagster/column_schema" in spec.metadata
    }
    told = [spec for spec in specs.values() if "dagster/column_lineage" in spec.metadata]
    assert {spec.key.to_user_string() for spec in told} == TRACED
    for spec in told:
        lineage = spec.metadata["dagster/column_lineage"]
        assert isinstance(lineage, dg.TableColumnLineage)
        upstream = {dep.asset_key for dep in spec.deps}
        for column, deps in lineage.deps_by_column.items():
            assert column in columns[spec.key]
            assert deps, (spec.key, column)
            for dep in deps:
                assert dep.column_name in columns[dep.asset_key]
                assert dep.asset_key in upstream, (spec.key, dep.asset_key)
