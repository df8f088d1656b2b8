"""Which stored assets are out of date, and why. Staleness is passed on downstream.

Dagster compares each stored partition with the current code version and data versions. It does not
pass staleness on: an asset downstream of a stale one counts as fresh until that one is computed
again. Here it counts as stale.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

# Private names of Dagster, used only here. The UI itself uses them. A test fails if they change.
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCause,
    StaleCauseCategory,
)
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.temporal_context import TemporalContext
from dagster._time import get_current_datetime

from traveltide_assets.defs import tags
from traveltide_assets.defs.code_versions import OWN_PARTS, changed_parts

_Place = AssetKeyPartitionKey


@dataclass(frozen=True)
class Stale:
    """A stored asset that is out of date in a month; None for an asset without months.

    `changes` says what has changed since it was computed. `rests_on` are the upstream assets that
    are out of date themselves.
    """

    asset: str
    month: str | None
    changes: tuple[str, ...]
    rests_on: tuple[str, ...]


def find_stale(definitions: dg.Definitions, instance: dg.DagsterInstance) -> list[Stale]:
    """Every stored asset that is out of date, upstream first, given the inputs as last observed."""
    graph = definitions.resolve_asset_graph()
    resolver = _resolver(graph, instance)
    found: dict[_Place, Stale] = {}
    for key in _in_order(graph):
        for month in _stored(graph, instance, key):
            causes = resolver.get_stale_causes(key, month)
            changes = dict.fromkeys(_words(graph, instance, cause) for cause in causes)
            rests_on = tuple(_out_of_date_before(graph, _Place(key, month), found))
            if changes or rests_on:
                stale = Stale(key.to_user_string(), month, tuple(changes), rests_on)
                found[_Place(key, month)] = stale
    return list(found.values())


def count_stored(definitions: dg.Definitions, instance: dg.DagsterInstance) -> int:
    """The number of assets with anything stored."""
    graph = definitions.resolve_asset_graph()
    return sum(bool(_stored(graph, instance, key)) for key in graph.materializable_asset_keys)


def _in_order(graph: BaseAssetGraph[Any]) -> Sequence[dg.AssetKey]:
    ordered = (key for level in graph.toposorted_asset_keys_by_level for key in sorted(level))
    return [key for key in ordered if key in graph.materializable_asset_keys]


def _stored(
    graph: BaseAssetGraph[Any], instance: dg.DagsterInstance, key: dg.AssetKey
) -> list[str | None]:
    """The stored months of an asset, in order; a single None if it has no months."""
    if graph.get(key).partitions_def is None:
        return [None] if instance.get_latest_materialization_event(key) else []
    within = set(graph.get(key).partitions_def.get_partition_keys())
    return sorted(within & set(instance.get_materialized_partitions(key)))


def _resolver(
    graph: BaseAssetGraph[Any], instance: dg.DagsterInstance
) -> CachingStaleStatusResolver:
    now = TemporalContext(effective_dt=get_current_datetime(), last_event_id=None)
    view = AssetGraphView(temporal_context=now, instance=instance, asset_graph=graph)
    return CachingStaleStatusResolver(instance, graph, view)


def _out_of_date_before(
    graph: BaseAssetGraph[Any], place: _Place, found: Collection[_Place]
) -> Iterator[str]:
    """The out-of-date assets that an asset of a month depends on."""
    for parent in sorted(graph.get(place.asset_key).parent_keys):
        if graph.get(parent).partitions_def is None:
            months: Sequence[str | None] = [None]
        elif place.partition_key is None:
            months = [each.partition_key for each in found if each.asset_key == parent]
        else:
            read = graph.get_parent_partition_keys_for_child(
                place.partition_key, parent, place.asset_key
            )
            months = list(read.partitions_subset.get_partition_keys())
        if any(_Place(parent, month) in found for month in months):
            yield parent.to_user_string()


def _words(graph: BaseAssetGraph[Any], instance: dg.DagsterInstance, cause: StaleCause) -> str:
    if cause.category is StaleCauseCategory.CODE:
        return _changed_code(graph, instance, cause)
    dependency = cause.dependency_asset_key
    if dependency is None:
        return cause.reason
    name = dependency.to_user_string()
    if cause.category is StaleCauseCategory.DEPENDENCIES:
        return cause.reason if name in cause.reason else f"{cause.reason} {name}"
    month = cause.dependency_partition_key
    return f"{name}{f' of {month}' if month else ''} has changed"


def _changed_code(
    graph: BaseAssetGraph[Any], instance: dg.DagsterInstance, cause: StaleCause
) -> str:
    months = None if cause.partition_key is None else [cause.partition_key]
    wanted = dg.AssetRecordsFilter(asset_key=cause.asset_key, asset_partitions=months)
    records = instance.fetch_materializations(wanted, limit=1).records
    stored = records[0].asset_materialization if records else None
    parts = changed_parts(
        (stored.tags or {}).get(tags.CODE_VERSION) if stored else None,
        graph.get(cause.asset_key).code_version,
    )
    named = [part if part in OWN_PARTS else f"setting {part}" for part in parts]
    return f"changed: {', '.join(named)}"
