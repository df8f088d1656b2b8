"""Column lineage of gold, traced through the Ibis expressions that compute it.

The expressions are built on tables with the columns of the contracts and no rows. Tables computed
by pandas are not traced. A column without lineage, such as a row label or a constant, does not
depend on any table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import dagster as dg
import ibis
import ibis.expr.operations as ops

from traveltide_assets.prediction import early
from traveltide_assets.schema.table import Table
from traveltide_assets.transforms import chain, exploration, outcomes
from traveltide_assets.transforms.config import Config

Sources = frozenset[tuple[str, str]]
Lineage = Mapping[str, Sources]
_READ = frozenset(path for step in chain.STEPS for path in step.inputs.values())
_MONTH = "2023-01"  # Any month will do: it does not affect which columns are read.


def build_lineage(tables: Mapping[str, Table]) -> dict[str, dg.TableColumnLineage]:
    """The column lineage of every traced table, by path."""
    return {
        path: _for_dagster({column: found[column] for column in tables[path].column_names})
        for path, found in traced(tuple(tables[path] for path in sorted(_READ))).items()
    }


# A process may build definitions several times, and these tables are always the same.
@cache
def traced(tables: tuple[Table, ...]) -> Mapping[str, Lineage]:
    """For every traced table, by path, the origins of each of its columns.

    `tables` are those that the steps of the chain read.
    """
    rows = {table.path: ibis.table(table.schema, name=table.path) for table in tables}
    found = dict(_steps(rows))
    users, sessions, booked = (
        rows[f"gold/{name}_final"] for name in ("users", "sessions", "trips")
    )
    found["gold/perk_outcomes"] = trace(outcomes.outcomes_after(users, sessions, booked, _MONTH))
    found["gold/exploration"] = trace(exploration.explore(users, sessions, booked, _MONTH))
    # Features of fewer sessions have trips of their own. The expressions of trips and features are
    # both large, so each is traced alone and the two lineages are then joined.
    sooner = _through(found["gold/user_features"], "gold/trips_final", found["gold/trips_final"])
    found["gold/earlier_features"] = sooner
    found["gold/cut_features"] = {**sooner, "cut": frozenset()}
    found["gold/half_features"] = {**sooner, "half": frozenset()}
    done = _through(found["gold/perk_outcomes"], "gold/trips_final", found["gold/trips_final"])
    found["gold/cut_outcomes"] = {**done, "cut": frozenset()}
    found["gold/early_features"] = {**sooner, early.SEEN: sooner["total_sessions"]}
    return found


def _steps(rows: Mapping[str, ibis.Table]) -> Iterator[tuple[str, Lineage]]:
    for step in chain.STEPS:
        inputs = {name: rows[path] for name, path in step.inputs.items()}
        with step.compute(inputs, Config(), _MONTH, chain.repeated) as table:
            yield step.path, trace(table)


def trace(expression: ibis.Table) -> Lineage:
    """For each column, the columns of unbound tables that its value is computed from."""
    relation = expression.op()
    return {name: _origins(relation, name, {}) for name in relation.schema.names}


def _origins(
    relation: ops.Relation, name: str, seen: dict[tuple[ops.Relation, str], Sources]
) -> Sources:
    """The origins of a column of a relation."""
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
        # A count of rows depends on the key, since it says how often that occurs.
        fields = [field for key in relation.groups.values() for field in _fields(key)]
    return frozenset().union(*(_origins(field.rel, field.name, seen) for field in fields))


def _fields(value: ops.Value) -> list[ops.Field]:
    """The columns that a value names directly, not the columns behind those."""
    return value.find(ops.Field, filter=ops.Value)


def _through(lineage: Lineage, table: str, inner: Lineage) -> Lineage:
    """The lineage with the columns of a table replaced by the origins of these columns."""
    return {
        name: frozenset().union(*(inner[c] if t == table else {(t, c)} for t, c in of))
        for name, of in lineage.items()
    }


def _for_dagster(lineage: Lineage) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(p.split("/")), name) for p, name in sorted(of)]
            for column, of in lineage.items()
            if of
        }
    )
