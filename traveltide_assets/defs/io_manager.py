"""The lake as Dagster's IO manager. Contracts determine how an asset is stored, and the annotation
of an input determines how it is loaded. Files, as bronze gives, are taken as they are.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import dagster as dg
import ibis
import pandas as pd

from traveltide_assets.defs.column_profile import profile
from traveltide_assets.defs.retries import READ_RETRIES, permanent_errors_end_the_step
from traveltide_assets.lake.lake import Lake, Months, Written
from traveltide_assets.lake.ownership import Claim
from traveltide_assets.lake.parts import Parts
from traveltide_assets.schema.errors import TravelTideError

Storable: TypeAlias = ibis.Table | pd.DataFrame | Parts | Mapping[str, Path]
"""What an asset returns: rows, or those of some parts, or the files of all parts."""
OPTIONAL = {"optional": True}
"""Metadata of an input that may be absent. It is then None instead of a frame."""


class LakeIOManager(dg.IOManager):
    """Reads and writes the lake.

    The annotation of an input decides how it is read. `ibis.Table`: lazily by the engine; several
    months become one table with a `month` column. `pandas.DataFrame`: into memory; of several
    months the last one. `Months`: month by month. A step is retried if its inputs cannot be read
    for a transient reason.
    """

    def __init__(self, lake: Lake, claim: Claim) -> None:
        self._lake = lake
        self._claim = claim
        self._taken = self._verified = False

    def handle_output(self, context: dg.OutputContext, obj: Storable) -> None:
        with permanent_errors_end_the_step():
            self._ensure_ours(ingesting=context.asset_key.path[0] == "bronze")
            written = self._write(context, obj)
        digests = [file.sha256 for file in written.values()]
        parts = [(month, [file]) for month, file in written.items()]
        for month, files in (
            parts if context.has_asset_partitions else [(None, [*written.values()])]
        ):
            context.step_context.add_asset_metadata(
                table_metadata(files), asset_key=context.asset_key, partition_key=month
            )
        version = dg.DataVersion(digest_of_all(digests))
        context.step_context.set_data_version(context.asset_key, version)

    def _ensure_ours(self, ingesting: bool) -> None:
        """See to it that the lake is that of the source, before its first use in this process.

        Only bronze makes it so, since all else is made of what bronze holds.
        """
        if ingesting and not self._taken:
            self._claim.take()
            self._taken = self._verified = True
        elif not self._verified:
            self._claim.verify()
            self._verified = True

    def _write(self, context: dg.OutputContext, obj: Storable) -> dict[str | None, Written]:
        table = self._lake.contract("/".join(context.asset_key.path))
        if isinstance(obj, Parts):
            return obj.write(self._lake, table)
        if isinstance(obj, Mapping):
            taken = {part: self._lake.take(table, file, part) for part, file in obj.items()}
            if table.by_file:
                self._lake.keep_only(table, obj)
            return dict(taken)
        months = list(context.asset_partition_keys) if context.has_asset_partitions else []
        if len(months) > 1:
            return self._lake.write_parts(table, obj, months)
        month = months[0] if months else None
        return {month: self._lake.write(table, obj, month)}

    def load_input(self, context: dg.InputContext) -> ibis.Table | pd.DataFrame | Months | None:
        with permanent_errors_end_the_step():
            try:
                self._ensure_ours(ingesting=False)
                return self._read(context)
            except TravelTideError as error:
                if error.permanent:
                    raise
                retries, delay = READ_RETRIES.max_retries, READ_RETRIES.delay
                raise dg.RetryRequested(max_retries=retries, seconds_to_wait=delay) from error

    def _read(self, context: dg.InputContext) -> ibis.Table | pd.DataFrame | Months | None:
        path = "/".join(context.asset_key.path)
        kind = context.dagster_type.typing_type
        months = list(context.asset_partition_keys) if context.has_asset_partitions else None
        if months is not None and kind is Months:
            return Months(self._lake, path, sorted({*months} & {*self._lake.months(path)}))
        if months is not None:
            months = self._lake.available(path, months)
            if not months and (context.definition_metadata or {}).get("optional"):
                return None
        if kind is ibis.Table:
            return self._lake.table(path, months)
        return self._lake.frame(path, months[-1] if months else None)


def digest_of_all(digests: Sequence[str]) -> str:
    """The SHA-256 of a file, or of those of several files."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def file_metadata(file: Written) -> dict[str, dg.MetadataValue]:
    """Metadata of a stored file for the UI."""
    return {
        "path": dg.MetadataValue.path(file.uri),
        "size_bytes": dg.MetadataValue.int(file.size_bytes),
        "sha256": dg.MetadataValue.text(file.sha256),
    }


def table_metadata(files: Sequence[Written]) -> dict[str, dg.MetadataValue | int]:
    """Metadata of a stored table for the UI: also its row count and a profile of its columns."""
    first = files[0]
    if len(files) > 1:
        folder = posixpath.dirname(posixpath.dirname(first.uri))
        size = sum(file.size_bytes for file in files)
        first = Written(folder, size, digest_of_all([file.sha256 for file in files]))
    footers = [file.footer for file in files if file.footer is not None]
    if not footers:
        return {**file_metadata(first)}
    return {
        "dagster/row_count": sum(footer.num_rows for footer in footers),
        "columns": profile(footers),
        **file_metadata(first),
    }
