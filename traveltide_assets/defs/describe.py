"""What the UI shows for an asset: the contract in its definition, the pictures of its runs."""

import base64
from collections.abc import Iterable, Mapping

import dagster as dg
import pandas as pd

from traveltide_assets.defs.code_versions import code_version
from traveltide_assets.defs.column_profile import names_somebody
from traveltide_assets.defs.lineage import build_lineage
from traveltide_assets.defs.schedules import freshness
from traveltide_assets.report.charts import Chart, png
from traveltide_assets.schema.table import Column, Table
from traveltide_assets.settings import Settings

OWNER = "team:growth"
_PAGES = {
    "gold/release": "/",
    "gold/strategy_decision": "/",
    "gold/perk_moves": "/",
    "gold/feature_sample": "/what-if",
    "gold/segment_profiles": "/customers",
    "gold/decided_segments": "/customers",
    "gold/perk_assignments": "/customers",
    "gold/user_features": "/customers",
    "gold/budget_curve": "/experiment",
    "gold/campaign_readout": "/experiment",
    "gold/experiment_looks": "/experiment",
    "gold/experiment_plan": "/experiment",
    "gold/experiment_readout": "/experiment",
    "gold/policy_scorecard": "/experiment",
    "gold/campaign": "/lists",
    "gold/offers": "/lists",
    "gold/perk_catalogue": "/catalogue",
    "gold/campaign_changes": "/months",
}
"""Pages of the desk by the asset that they show."""


class Finish:
    """Completes an asset with its contract, code version, months and group."""

    def __init__(
        self, settings: Settings, tables: Mapping[str, Table], months: dg.PartitionsDefinition
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._months = months
        self._fresh = freshness(settings)
        self._columns = build_lineage(tables)

    def __call__(self, asset: dg.AssetsDefinition, group: str) -> dg.AssetsDefinition:
        version = code_version(asset, self._settings, self._tables)
        return asset.map_asset_specs(lambda spec: self._completed(spec, group, version))

    def _completed(self, spec: dg.AssetSpec, group: str, version: str) -> dg.AssetSpec:
        path = "/".join(spec.key.path)
        table = self._tables.get(path)
        spec = with_contract(spec, table) if table else without_table(spec)
        spec = spec.replace_attributes(group_name=group, code_version=version)
        if path in self._columns:
            lineage = {"dagster/column_lineage": self._columns[path]}
            spec = spec.merge_attributes(metadata=lineage)
        if path in _PAGES:
            page = f"{self._settings.serving.url.rstrip('/')}{_PAGES[path]}"
            spec = spec.merge_attributes(metadata={"desk": dg.MetadataValue.url(page)})
        if spec.key.path[0] == "gold" and self._fresh:
            spec = spec.replace_attributes(freshness_policy=self._fresh)
        return spec.replace_attributes(partitions_def=self._months) if spec.partitions_def else spec


def with_contract(spec: dg.AssetSpec, table: Table) -> dg.AssetSpec:
    """The asset spec with the description, columns, storage and owner from its contract."""
    columns = {"dagster/column_schema": schema(table.columns, table.key)}
    return spec.replace_attributes(
        description=table.description,
        owners=[OWNER],
        kinds={table.layer, *spec.kinds, "parquet"},
    ).merge_attributes(metadata={**columns, "stored": table.stored})


def schema(columns: Iterable[Column], key: tuple[str, ...]) -> dg.TableSchema:
    """The column schema that the UI shows."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.type,
                column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=not column.required, unique=key == (column.name,)
                ),
            )
            for column in columns
        ]
    )


def without_table(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset spec of an asset that is not a table, and so has its own description."""
    layer = spec.key.path[0]
    return spec.replace_attributes(owners=[OWNER], kinds={layer, *spec.kinds})


def picture(chart: Chart) -> dg.MarkdownMetadataValue:
    """A chart as metadata, which the UI shows when opened."""
    return dg.MetadataValue.md(
        f"![{chart.title}](data:image/png;base64,{base64.b64encode(png(chart)).decode()})"
    )


def preview(frame: pd.DataFrame, rows: int = 10) -> dg.MarkdownMetadataValue:
    """The first rows of a frame as a table in metadata.

    Raises `ValueError` if rows are those of customers: the run history keeps metadata for good.
    """
    if personal := [name for name in frame.columns if names_somebody(str(name))]:
        raise ValueError(f"a preview must not show {', '.join(personal)}")
    return dg.MetadataValue.md(frame.head(rows).to_markdown(index=False, floatfmt=".3g"))


def counts(values: Mapping[str, int], of: str) -> dg.TableMetadataValue:
    """Counts by name as a table in metadata."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord({of: name, "rows": int(n)}) for name, n in values.items()],
        schema=dg.TableSchema([dg.TableColumn(of), dg.TableColumn("rows", "int")]),
    )
