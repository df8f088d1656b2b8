"""Column lineage of gold, read off what computes it wherever that can be read.

Tables that Ibis computes are traced through their own expressions, on tables that have the columns
of the contracts and no rows. What strategies and models make comes from the inputs that they name
themselves. Of what pandas hands on, the columns are named here; tests hold them against the data.
A column without lineage comes from no table: labels of rows, versions, names of strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import dagster as dg
import ibis
import ibis.expr.operations as ops

from traveltide_assets.contracts import Table, build_tables
from traveltide_assets.months import end_of, start_of
from traveltide_assets.prediction import early
from traveltide_assets.segmentation.kmeans_wide import WIDE_FEATURES
from traveltide_assets.segmentation.perks import Perk, features_of, load_perks
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.segmentation.strategies import build_strategies
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import PACKAGE, Cohort, Settings
from traveltide_assets.transforms import cohort, exploration, features, outcomes, traffic, trips
from traveltide_assets.transforms.features import CATALOGUE

Sources = frozenset[tuple[str, str]]
Lineage = Mapping[str, Sources]
_PERKS = PACKAGE / "catalogue" / "perks.toml"


def build_lineage(
    tables: Mapping[str, Table], settings: Settings, perks: tuple[Perk, ...]
) -> dict[str, dg.TableColumnLineage]:
    """The column lineage of every gold table it is known for, by path."""
    strategies = build_strategies(settings, perks)
    known = {
        **_computed(),
        **_segments(tables, settings, perks, strategies),
        **_perks(tables, settings, perks, strategies),
        **_figures(tables, settings, perks, strategies),
        **_predictor(tables),
        **_experiment(tables),
    }
    return {f"gold/{name}": _for_dagster(lineage) for name, lineage in known.items()}


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
    tables, rule = build_tables(load_perks(_PERKS)), Cohort()

    def rows(path: str) -> ibis.Table:
        return ibis.table(tables[path].schema, name=path)

    users, sessions, flights, hotels, booked = (
        rows(f"gold/{name}_final") for name in ("users", "sessions", "flights", "hotels", "trips")
    )
    silver = {name: rows(f"silver/{name}_processed") for name in ("users", "sessions")}
    month = "2023-01"
    expressions = {
        "users_final": cohort.cohort_users(silver["users"], silver["sessions"], rule, month),
        "sessions_final": cohort.cohort_sessions(silver["sessions"], users, rule, month),
        "flights_final": cohort.named_by(rows("silver/flights_processed"), sessions),
        "hotels_final": cohort.named_by(rows("silver/hotels_processed"), sessions),
        "trips_final": trips.build_trips(
            trips.bookings_of(sessions), users, flights, hotels, month
        ),
        "user_features": features.user_features(users, sessions, booked, month),
        "perk_outcomes": outcomes.outcomes_after(users, sessions, booked, month),
        "exploration": exploration.explore(users, sessions, booked, month),
    }
    traced = {name: trace(table) for name, table in expressions.items()}
    # The same features, of trips that are made anew of fewer sessions: both expressions are large.
    sooner = _through(traced["user_features"], "gold/trips_final", traced["trips_final"])
    traced |= {
        "earlier_features": sooner,
        "early_features": {**sooner, early.SEEN: sooner["total_sessions"]},
    }
    return {
        name: {column: lineage[column] for column in tables[f"gold/{name}"].column_names}
        for name, lineage in traced.items()
    }


def _through(lineage: Lineage, table: str, inner: Lineage) -> Lineage:
    """The lineage with the columns of a table replaced by what these come from."""
    return {
        name: frozenset().union(*(inner[c] if t == table else {(t, c)} for t, c in of))
        for name, of in lineage.items()
    }


def _segments(
    tables: Mapping[str, Table],
    settings: Settings,
    perks: Iterable[Perk],
    strategies: Mapping[str, Strategy],
) -> dict[str, Lineage]:
    """Segments come from the features a strategy looks at, and from what it learns from."""
    lineage: dict[str, Lineage] = {}
    for name, strategy in strategies.items():
        sources = _features(strategy.inputs)
        if strategy.learns_from_outcomes:
            sources |= _from("earlier_features", strategy.inputs) | _later(perks)
        lineage[f"segments/{name}"] = {
            **_all(tables[f"gold/segments/{name}"], sources),
            **_same("user_features", "user_id"),
        }
    places = dict.fromkeys(("pca_x", "pca_y"), _features(settings.kmeans.features))
    lineage["segments/kmeans"] = {
        **lineage["segments/kmeans"],
        **places,
        **_same("kmeans_model", "model_version"),
    }
    return lineage


def _perks(
    tables: Mapping[str, Table],
    settings: Settings,
    perks: Iterable[Perk],
    strategies: Mapping[str, Strategy],
) -> dict[str, Lineage]:
    """The perks of the strategy that decides, and who is invited with them."""
    deciding, inputs = f"segments/{settings.strategy}", strategies[settings.strategy].inputs
    version = _same(deciding, "model_version") if settings.strategy == "kmeans" else {}
    affinities = {f"affinity_{perk.id}": _features(perk.features) for perk in perks}
    offer = _from("perk_assignments", ["perk"]) | _from("experiment_assignment", ["offer"])
    customer = _from("perk_assignments", ["user_id"])
    return {
        "perk_assignments": {
            **_same("user_features", "user_id"),
            **_same(deciding, "segment", "perk"),
            "runner_up": _from(deciding, ["segment"]).union(*affinities.values()),
            "deciding_features": _from(deciding, ["reason"]),
            **affinities,
            **version,
        },
        "published_assignments": _same(
            "perk_assignments", *tables["gold/perk_assignments"].column_names
        ),
        "early_rules": {
            **_same("early_features", "user_id", "sessions_seen"),
            "perk": _from("early_features", inputs) | _features(inputs),
        },
        "experiment_assignment": {
            **_same("perk_assignments", "user_id", "segment", "perk"),
            "arm": customer,
            "offer": customer | _from("perk_assignments", ["perk"]),
        },
        "campaign": {
            **_same("perk_assignments", "user_id", "segment"),
            "perk": offer,
            "headline": offer,
            "holdout": customer,
        },
        "campaign_changes": {
            **_same("perk_assignments", "user_id"),
            "change": customer | offer,
            "perk": offer,
            "perk_before": offer,  # of the month before
        },
    }


def _figures(
    tables: Mapping[str, Table],
    settings: Settings,
    perks: Iterable[Perk],
    strategies: Mapping[str, Strategy],
) -> dict[str, Lineage]:
    """What is measured of models and strategies: labels apart, from all that goes into it."""
    segment, perk = (
        frozenset((f"gold/segments/{name}", column) for name in strategies)
        for column in ("segment", "perk")
    )
    inputs = frozenset[str]().union(*(strategy.inputs for strategy in strategies.values()))
    verdict = _from("perk_evidence", ["verdict"])
    sources = {
        "kmeans_model": _features(strategies["kmeans"].inputs),
        "kmeans_diagnostics": _features(settings.kmeans.features),
        "dbscan_trial": _features(WIDE_FEATURES),
        "perk_evidence": _from("earlier_features", inputs) | _later(perks),
        "perk_signals": _features(features_of(perks)),
        "segmentation_scorecard": _features(NUMERIC) | segment | perk | verdict,
        "strategy_agreement": segment,
    }
    labels = {
        "kmeans_model": ("feature",),
        "perk_evidence": ("outcome",),
        "segmentation_scorecard": ("description",),
    }
    lineage: dict[str, Lineage] = {
        name: _all(tables[f"gold/{name}"], found, *labels.get(name, ()))
        for name, found in sources.items()
    }
    agreement = {**lineage["strategy_agreement"], "same_perk_share": perk}
    return {**lineage, "strategy_agreement": agreement}


def _predictor(tables: Mapping[str, Table]) -> dict[str, Lineage]:
    """The model of new customers learns the perks given from the early features, and is judged."""
    names = [early.SEEN, *(feature.name for feature in early.EARLY)]
    examples = _from("early_features", names) | _from("perk_assignments", ["perk"])
    rules = _from("early_rules", ["perk"])
    sources = {
        "perk_predictor_candidate": examples,
        "predictor_scores": examples | rules | _features(feature.name for feature in CATALOGUE),
        "predictor_confusion": examples,
        "predictor_importance": examples,
        "predictor_reliability": examples,
        "predictor_promotion": examples | rules | _from("perk_predictor_candidate", ["onnx"]),
    }
    model = tables["gold/perk_predictor"].column_names
    return {
        **{
            name: _all(tables[f"gold/{name}"], found, "trained_on", "strategy", "in_service")
            for name, found in sources.items()
        },
        "perk_predictor": _same("perk_predictor_candidate", *model),
    }


def _experiment(tables: Mapping[str, Table]) -> dict[str, Lineage]:
    """Plan and readout compare the arms in what sessions tell of their customers."""
    sessions = ibis.table(tables["silver/sessions_processed"].schema, "silver/sessions_processed")
    arms = ibis.table(tables["gold/experiment_assignment"].schema, "gold/experiment_assignment")
    period = start_of("2023-01"), end_of("2023-01")
    counted = trace(traffic.between(sessions, arms, *period)).values()
    sources = _from("experiment_assignment", ["user_id", "segment", "arm"]).union(*counted)
    labels = ("kind", "role", "baseline_from", "alpha", "test", "read_until", "peek")
    return {
        name: _all(tables[f"gold/{name}"], sources, *labels)
        for name in ("experiment_plan", "experiment_readout")
    }


def _all(table: Table, sources: Sources, *labels: str) -> Lineage:
    """Every column but those of the key and the labels comes from all the sources."""
    return {name: sources for name in table.column_names if name not in (*table.key, *labels)}


def _same(table: str, *columns: str) -> Lineage:
    """Columns that are handed on as they are."""
    return {column: _from(table, [column]) for column in columns}


def _from(table: str, columns: Iterable[str]) -> Sources:
    return frozenset((f"gold/{table}", column) for column in columns)


def _features(names: Iterable[str]) -> Sources:
    return _from("user_features", names)


def _later(perks: Iterable[Perk]) -> Sources:
    halves = ("amount", "opportunities")
    return _from("perk_outcomes", (f"{perk.outcome}_{half}" for perk in perks for half in halves))


def _for_dagster(lineage: Lineage) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(p.split("/")), name) for p, name in sorted(of)]
            for column, of in lineage.items()
            if of
        }
    )
