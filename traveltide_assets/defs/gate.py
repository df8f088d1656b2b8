"""The gate: what stops damaged input where a blocking check of Dagster cannot.

A blocking check stops only what comes after it in the same run. Ingesting and deciding are
separate runs, so the first steps of gold judge silver by the same checks again. And bronze does not
take a delivery that has lost many of the rows that it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import dagster as dg

from traveltide_assets.defs.checks.check import Check, Context, Known, Outcome, Severity
from traveltide_assets.defs.checks.ingestion import silver_must_pass
from traveltide_assets.defs.checks.soundness import ROWS_BEFORE, has_lost_many, layers
from traveltide_assets.defs.partitions import months_of_run
from traveltide_assets.lake.lake import Damaged, Lake
from traveltide_assets.schema.sources import RAW, SOURCES
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Source, SourceError
from traveltide_assets.transforms.cohort import months_needed

_log = logging.getLogger(__name__)


class Gate:
    """Judges a source before bronze takes it, and silver before gold reads it."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._settings = settings
        self._lake = lake
        self._passed: dict[str, set[str]] = {}
        self.known: Known = {}
        self._compared: str | None = None

    def require_sound(self, month: str, names: Iterable[str] = SOURCES) -> None:
        """Raise `dg.Failure` if silver fails a blocking check for the cohort of a month.

        `names` are the tables of the source that must be sound.
        """
        context = self._context(month)
        # The judgement rests on the month, and on the version of every file below gold.
        passed = self._passed.setdefault(f"{month} {context.files}", set())
        left = [name for name in names if name not in passed]
        failed = {check: check.outcome(context) for check in silver_must_pass(context.tables, left)}
        problems = [
            f"{check.table}: {check.name}: {outcome.facts['problem']}"
            for check, outcome in failed.items()
            if _blocks(check, outcome)
        ]
        if problems:
            raise dg.Failure(
                f"{month} is not decided, because its input is damaged:\n" + "\n".join(problems),
                allow_retries=False,
            )
        passed.update(left)

    def require_rows(self, source: Source, run: dg.DagsterRun) -> None:
        """Raise `SourceError` if the source has far fewer rows than bronze holds.

        All tables that the run ingests are compared before the first is replaced; of the sessions,
        the months of the run. The steps of a run see one source, so one of them compares.
        """
        if run.run_id == self._compared:
            return
        months = months_of_run(run.tags)
        limit = self._settings.checks.max_row_loss
        lost = [
            f"{name}{f' of {month}' if month else ''}: {now:,} rows instead of {before:,}"
            for name in RAW
            if not run.asset_selection  # all of the job
            or dg.AssetKey(layers(name)[0].split("/")) in run.asset_selection
            for month, before, now in self._rows(name, source, months)
            if has_lost_many(before, now, limit)
        ]
        if lost:
            raise SourceError(
                "the source has far fewer rows than at the last ingest, so the lake keeps what it "
                f"has: {'; '.join(lost)}. "
                f"checks.max_row_loss allows a loss of {limit:.0%}. Deliver the whole tables; or, "
                "if the rows were removed on purpose, ingest once with "
                "TRAVELTIDE_CHECKS__MAX_ROW_LOSS=1"
            )
        self._compared = run.run_id

    def rows_before(self, name: str, month: str | None = None) -> dict[str, int]:
        """Metadata of bronze: the rows that are about to be replaced. Empty if there are none."""
        raw, _, _ = layers(name)
        if not self._lake.exists(raw, month):
            return {}
        before = self._stored(raw, month)
        return {} if before is None else {ROWS_BEFORE: before}

    def _stored(self, raw: str, month: str | None) -> int | None:
        """The rows that bronze holds. None if it is damaged: to ingest is what mends it."""
        try:
            return self._lake.rows(raw, month)
        except Damaged as error:
            _log.warning("not compared with the source, which replaces it: %s", error)
            return None

    def _rows(
        self, name: str, source: Source, months: tuple[str, str] | None
    ) -> Iterator[tuple[str | None, int, int]]:
        """The month, the rows in bronze and the rows in the source, where bronze has any."""
        raw, _, _ = layers(name)
        stored: list[str | None] = [None] if self._lake.exists(raw) else []
        if self._lake.tables[raw].partitioned:
            first, last = months or ("", "")
            stored = [month for month in self._lake.months(raw) if first <= month <= last]
        if stored:
            now = source.counts(name, [month for month in stored if month])
            for month in stored:
                before = self._stored(raw, month)
                if before is not None:
                    yield month, before, now[month]

    def _context(self, month: str) -> Context:
        settings, lake = self._settings, self._lake
        months = months_needed(settings.cohort, month, settings.partitions.first)
        every_month = tuple(settings.partitions.months())
        return Context(
            lake.tables, lake, settings, (), tuple(months), every_month, known=self.known
        )


def _blocks(check: Check, outcome: Outcome) -> bool:
    return check.severity is Severity.ERROR and not outcome.passed and not outcome.only_warns
