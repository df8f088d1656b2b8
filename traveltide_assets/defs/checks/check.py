"""What a check is: a name, a description and a function that judges what the lake holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traveltide_assets.catalogue.perks import Perk
    from traveltide_assets.lake.lake import Lake
    from traveltide_assets.schema.table import Table
    from traveltide_assets.settings import Settings
    from traveltide_assets.sources.base import Source


class Severity(Enum):
    """How bad it is if a check fails."""

    ERROR = auto()
    WARNING = auto()


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, and the facts that say why; they become its metadata."""

    passed: bool
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Context:
    """What a check may look at. `months` are those of the run, `every_month` all there are."""

    tables: Mapping[str, Table]
    lake: Lake
    settings: Settings
    perks: tuple[Perk, ...]
    months: tuple[str, ...]
    every_month: tuple[str, ...]
    opened_source: Source | None = None

    @property
    def month(self) -> str:
        """The month of the run; `ValueError` if the run has none, or several."""
        if len(self.months) != 1:
            raise ValueError(
                f"evaluated for one month, and there are {', '.join(self.months) or 'none'}"
            )
        return self.months[0]

    def of_latest_month(self, path: str) -> Context:
        """This, but for the latest month of a table in the lake; for none if it has none yet."""
        return replace(self, months=tuple(self.lake.months(path)[-1:]))

    @property
    def source(self) -> Source:
        """The source; `ValueError` in a step that does not say that it reads it."""
        if self.opened_source is None:
            raise ValueError("the step of this check does not open the source")
        return self.opened_source

    def months_of(self, path: str) -> list[str]:
        """The months of a table to look at; empty if the table has no months.

        `ValueError` if the table has months and the run has none.
        """
        if not self.tables[path].partitioned:
            return []
        if not self.months:
            raise ValueError(f"there is no month of {path} to evaluate")
        return list(self.months)


@dataclass(frozen=True)
class Check:
    """A check of a table. It is evaluated once the table and those in `after` are there.

    What reads the table waits for a blocking check, and is not computed in the run if it fails
    with an error.
    """

    table: str
    name: str
    description: str
    severity: Severity
    evaluate: Callable[[Context], Outcome]
    blocking: bool = False
    after: tuple[str, ...] = ()

    def outcome(self, context: Context) -> Outcome:
        """How the check comes out; an error of its function names the check."""
        try:
            return self.evaluate(context)
        except Exception as error:
            # A note keeps the type of the error, which says whether a retry may help.
            error.add_note(f"in the check {self.table}:{self.name}")
            raise


@dataclass(frozen=True)
class Step:
    """Checks that a run evaluates together: those every table gets, then those listed.

    A step waits for all tables of its checks, so checks that must stop different parts of a run
    belong in different steps. A table without a step gets one of its own.
    """

    name: str
    tables: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    reads_source: bool = False
