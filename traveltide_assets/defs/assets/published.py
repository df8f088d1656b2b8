"""The perks in a database, for other systems. The asset exists only if `publish` is set."""

import dagster as dg
import pandas as pd

from traveltide_assets.connections import publishing
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.defs.describe import schema
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.schema.table import Table
from traveltide_assets.settings import Settings


def build(location: PostgresLocation, contract: Table) -> dg.AssetsDefinition:
    """The asset that publishes the columns of the contract, and the month, to a database."""
    columns = (*contract.columns, publishing.MONTH)

    @dg.asset(
        key_prefix="gold",
        group_name="perks",
        kinds={"postgres"},
        partitions_def=MONTHLY,
        metadata={"dagster/column_schema": schema(columns, (publishing.MONTH.name, *contract.key))},
        ins={"assignments": dg.AssetIn(["gold", "perk_assignments"])},
    )
    def published_assignments(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        assignments: pd.DataFrame,
    ) -> dg.MaterializeResult[None]:
        """The perks of the month as rows of a PostgreSQL table, replaced in one transaction."""
        month, table = context.partition_key, settings.publish_table
        rows = publishing.publish(assignments, month, contract, location, table, settings.postgres)
        return dg.MaterializeResult(
            metadata={"dagster/row_count": rows, "database": str(location), "table": table}
        )

    return published_assignments
