"""The perks in a database, for other systems. The asset exists only if `publish` is set."""

import dagster as dg

from traveltide_assets.campaign.release_files import ASSIGNMENTS
from traveltide_assets.connections import publishing
from traveltide_assets.connections.locations import PostgresLocation
from traveltide_assets.defs.assets import release
from traveltide_assets.defs.describe import schema
from traveltide_assets.defs.partitions import MONTHLY
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.release import NotReleased
from traveltide_assets.schema.table import Table
from traveltide_assets.settings import Settings

PUBLISHED = dg.AssetKey(["gold", "published_assignments"])


def build(location: PostgresLocation, contract: Table) -> dg.AssetsDefinition:
    """The asset that publishes the columns of the contract, and the month, to a database."""
    columns = (*contract.columns, publishing.MONTH)

    @dg.asset(
        key_prefix="gold",
        kinds={"postgres"},
        partitions_def=MONTHLY,
        metadata={"dagster/column_schema": schema(columns, (publishing.MONTH.name, *contract.key))},
        deps=[release.KEY],
    )
    def published_assignments(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        lake: dg.ResourceParam[Lake],
    ) -> dg.MaterializeResult[None]:
        """The perks of the current release as rows of a table, replaced in one transaction."""
        month, table = context.partition_key, settings.publish_table
        try:
            current = lake.releases.current(month)
        except NotReleased as waiting:
            context.log.info(str(waiting))
            return dg.MaterializeResult(metadata={"release": "none yet"})
        assignments = current.frame(ASSIGNMENTS)
        rows = publishing.publish(
            assignments,
            month,
            contract,
            location,
            table,
            settings.postgres,
            lake.storage.fence,
        )
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "database": str(location),
                "table": table,
                "release": current.id,
            },
            data_version=dg.DataVersion(current.id),
        )

    return published_assignments
