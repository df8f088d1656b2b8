"""Column lineage of gold, read off what computes it: nothing is written down twice.

Tables that Ibis computes are traced through their own expressions, on tables that have the columns
of the contracts and no rows. What models make comes from the features and strategies they are
configured with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import dagster as dg
import ibis
import ibis.expr.operations as ops

from traveltide_assets.contracts import Table, build_tables
from traveltide_assets.segmentation.perks import Perk, load_perks
from traveltide_assets.settings import PACKAGE, Cohort, Settings
from traveltide_assets.transforms import cohort, features, outcomes, trips

Sources = frozenset[tuple[str, str]]
Lineage = Mapping[str, Sources]
_PERKS = PACKAGE / "catalogue" / "perks.toml"


def build_lineage(
    tables: Mapping[str, Table], settings: Settings, perks: tuple[Perk, ...]
) -> dict[str, dg.TableColumnLineage]:
    """The column lineage of every gold table it is known for, by path."""
    known = {**_computed(), **_decided(tables, settings, perks)}
    return {path: _for_dagster(lineage) for path, lineage in known.items()}


def trace(expression: ibis.Table) -> Lineage:
    """For each column, the columns of unbound tables that its value is computed from."""
    relation = expression.op()
    return {name: _origins(relation, name, {}) for name in relation.schema.names}


def _origins(
    relation: ops.Relation, name: str, seen: dict[tuple[ops.Relation, str], Sources]
) -> Sources:
    """Where a column of a relation comes from."""
    place = (relation, name)
    if place not in seen:
        seen[place] = _look_up(relation, name, seen)
    return seen[place]


def _look_up(
    relation: ops.Relation, name: str, seen: dict[tuple[ops.Relation, str], Sources]
) -> Sources:
    if isinstance(relation, ops.UnboundTable):
        return frozenset({(relation.name, name)})
    if isinstance(relation, ops.Set):
        sides: list[ops.Relation] = [relation.left, relation.right]
        return frozenset().union(*(_origins(side, name, seen) for side in sides))
    fields = _fields(relation.values[name])
    if not fields and isinstance(relation, ops.Aggregate):
        # Rows are counted: what the count says is how often a key occurs.
        fields = [field for key in relation.groups.values() for field in _fields(key)]
    return frozenset().union(*(_origins(field.rel, field.name, seen) for field in fields))


def _fields(value: ops.Value) -> list[ops.Field]:
    """The columns that a value names, not those that these are computed from in turn."""
    return value.find(ops.Field, filter=ops.Value)


@cache
def _computed() -> dict[str, Lineage]:
    """The tables that are Ibis expressions of the tables before them."""
    # Neither perks nor month nor the rule of the cohort decide which columns these read.
    tables, month, rule = build_tables(load_perks(_PERKS)), "2023-01", Cohort()

    def rows(path: str) -> ibis.Table:
        return ibis.table(tables[path].schema, name=path)

    users, sessions, flights, hotels, booked = (
        rows(f"gold/{name}_final") for name in ("users", "sessions", "flights", "hotels", "trips")
    )
    silver = {name: rows(f"silver/{name}_processed") for name in ("users", "sessions")}
    expressions = {
        "gold/users_final": cohort.cohort_users(silver["users"], silver["sessions"], rule, month),
        "gold/sessions_final": cohort.cohort_sessions(silver["sessions"], users, rule, month),
        "gold/flights_final": cohort.named_by(rows("silver/flights_processed"), sessions),
        "gold/hotels_final": cohort.named_by(rows("silver/hotels_processed"), sessions),
        "gold/trips_final": trips.build_trips(sessions, users, flights, hotels, month),
        "gold/user_features": features.user_features(users, sessions, booked, month),
        "gold/earlier_features": outcomes.earlier_features(users, sessions, flights, hotels, month),
        "gold/perk_outcomes": outcomes.outcomes_after(users, sessions, booked, month),
    }
    traced = {path: trace(table) for path, table in expressions.items()}
    return {
        path: {name: lineage[name] for name in tables[path].column_names}
        for path, lineage in traced.items()
    }


def _decided(
    tables: Mapping[str, Table], settings: Settings, perks: Iterable[Perk]
) -> dict[str, Lineage]:
    """Segments of k-means, and the assignments of the strategy that decides."""
    customer = frozenset({("gold/user_features", "user_id")})
    model = _features(settings.kmeans.features)
    deciding = f"gold/segments/{settings.strategy}"
    affinities = {f"affinity_{perk.id}": _features(perk.features) for perk in perks}
    reasons = frozenset().union(*affinities.values())
    return {
        "gold/segments/kmeans": {
            name: customer if name == "user_id" else model
            for name in tables["gold/segments/kmeans"].column_names
            if name != "model_version"
        },
        "gold/perk_assignments": {
            "user_id": customer,
            **{name: frozenset({(deciding, name)}) for name in ("segment", "perk")},
            "runner_up": reasons,
            "deciding_features": reasons,
            **affinities,
        },
    }


def _features(names: Iterable[str]) -> Sources:
    return frozenset(("gold/user_features", name) for name in names)


def _for_dagster(lineage: Lineage) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(p.split("/")), name) for p, name in sorted(of)]
            for column, of in lineage.items()
        }
    )
