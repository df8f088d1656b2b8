"""How a check is declared and how it reports."""

import warnings
from collections.abc import Mapping

import dagster as dg

from traveltide_assets.contracts import Table


def key_of(table: Table) -> dg.AssetKey:
    return dg.AssetKey(table.path.split("/"))


def declare(
    table: Table,
    name: str,
    description: str,
    months: dg.PartitionsDefinition,
    blocking: bool = False,
    after: tuple[Table, ...] = (),
) -> dg.AssetCheckSpec:
    """A check of a table; it waits for the tables in `after` as well."""
    with warnings.catch_warnings():
        # Partitioned checks are in preview; a test pins what is relied on.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=key_of(table),
            description=description,
            blocking=blocking,
            additional_deps=[key_of(other) for other in after],
            partitions_def=months if table.partitioned else None,
        )


def report(
    table: Table, name: str, passed: bool, metadata: Mapping[str, object], warn: bool = False
) -> dg.AssetCheckResult:
    """The outcome of a check; a failure is an error unless `warn`."""
    return dg.AssetCheckResult(
        asset_key=key_of(table),
        check_name=name,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
        metadata=dict(metadata),  # type: ignore[arg-type]
    )
