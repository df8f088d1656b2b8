"""The perks in a database where other systems read them; there only if `publish` is set."""

import dagster as dg
import pandas as pd

from traveltide_assets import publishing
from traveltide_assets.contracts import build_tables
from traveltide_assets.locations import PostgresLocation
from traveltide_assets.partitions import MONTHLY
from traveltide_assets.segmentation.perks import Perk
from traveltide_assets.settings import Settings


def build(location: PostgresLocation) -> dg.AssetsDefinition:
    """The asset that publishes to a database."""

    @dg.asset(
        key_prefix="gold",
        group_name="perks",
        kinds={"postgres"},
        partitions_def=MONTHLY,
        ins={"assignments": dg.AssetIn(["gold", "perk_assignments"])},
    )
    def published_assignments(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        perk_catalogue: dg.ResourceParam[tuple[Perk, ...]],
        assignments: pd.DataFrame,
    ) -> dg.MaterializeResult[None]:
        """The month's perks as rows of a PostgreSQL table, replaced in one transaction."""
        contract = build_tables(perk_catalogue)["gold/perk_assignments"]
        month, table = context.partition_key, settings.publish_table
        rows = publishing.publish(assignments, month, contract, location, table, settings.postgres)
        return dg.MaterializeResult(
            metadata={"dagster/row_count": rows, "database": str(location), "table": table}
        )

    return published_assignments
