"""The profile of a stored table, from the footer of its Parquet file. No row is read.

Text columns and ids show only the share of values that are not null. A preview of rows would put
customers' data into the run history, which is kept longer than the data itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn("column"),
        dg.TableColumn("type"),
        dg.TableColumn("filled", "float", "Share of rows with a value"),
        dg.TableColumn("smallest", description="Smallest value, for numbers and times"),
        dg.TableColumn("largest", description="Largest value, for numbers and times"),
    ]
)


def profile(footers: Sequence[pq.FileMetaData]) -> dg.TableMetadataValue:
    """One row per column of a table's files: its type, share of values that are filled, range."""
    schemas = [footer.schema.to_arrow_schema() for footer in footers]
    rows = sum(footer.num_rows for footer in footers)
    records = []
    for field in pa.unify_schemas(schemas):
        found = [
            each
            for footer, schema in zip(footers, schemas, strict=True)
            if field.name in schema.names
            for each in _statistics(footer, schema.get_field_index(field.name))
        ]
        empty = sum(each.null_count for each in found if each.has_null_count)
        known = [
            each
            for each in found
            if each.has_min_max and _is_shown(each.min) and not names_somebody(field.name)
        ]
        records.append(
            dg.TableRecord(
                {
                    "column": field.name,
                    "type": str(field.type),
                    "filled": round(1 - empty / rows, 4) if rows else 0.0,
                    "smallest": str(min(each.min for each in known)) if known else "",
                    "largest": str(max(each.max for each in known)) if known else "",
                }
            )
        )
    return dg.MetadataValue.table(records, _SCHEMA)


def names_somebody(column: str) -> bool:
    """Whether a column identifies customers, or what they booked."""
    return column.endswith("_id")


def _statistics(footer: pq.FileMetaData, position: int) -> Iterator[pq.Statistics]:
    for group in range(footer.num_row_groups):
        found = footer.row_group(group).column(position).statistics
        if found is not None:
            yield found


def _is_shown(value: object) -> bool:
    return not isinstance(value, str | bytes)
