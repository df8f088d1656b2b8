"""What the UI shows of an asset: the contract of its definition, the pictures of its runs."""

import base64
from collections.abc import Iterable, Mapping

import dagster as dg
import pandas as pd

from traveltide_assets.contracts import Column, Table
from traveltide_assets.report.charts import Chart, png

OWNER = "team:growth"


def with_contract(spec: dg.AssetSpec, table: Table) -> dg.AssetSpec:
    """An asset spec with the description, columns and owner that its contract implies."""
    return spec.replace_attributes(
        description=table.description,
        owners=[OWNER],
        kinds={table.layer, *spec.kinds, "parquet"},
    ).merge_attributes(metadata={"dagster/column_schema": schema(table.columns, table.key)})


def schema(columns: Iterable[Column], key: tuple[str, ...]) -> dg.TableSchema:
    """Columns as the UI shows them."""
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
    """The same for an asset that is no table; its description is its own."""
    layer = spec.key.path[0]
    return spec.replace_attributes(owners=[OWNER], kinds={layer, *spec.kinds})


def picture(chart: Chart) -> dg.MarkdownMetadataValue:
    """A chart that the UI shows when its metadata is opened."""
    return dg.MetadataValue.md(
        f"![{chart.title}](data:image/png;base64,{base64.b64encode(png(chart)).decode()})"
    )


def preview(frame: pd.DataFrame, rows: int = 10) -> dg.MarkdownMetadataValue:
    """The first rows of a frame as a table."""
    return dg.MetadataValue.md(frame.head(rows).to_markdown(index=False, floatfmt=".3g"))


def counts(values: Mapping[str, int], of: str) -> dg.TableMetadataValue:
    """Numbers by name as a table."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord({of: name, "rows": int(n)}) for name, n in values.items()],
        schema=dg.TableSchema([dg.TableColumn(of), dg.TableColumn("rows", "int")]),
    )
