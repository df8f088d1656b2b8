"""A check as data: its name, its description and the function that evaluates it on the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from traveltide_assets.transforms.cohort import months_needed

if TYPE_CHECKING:
    from traveltide_assets.catalogue.perks import Perk
    from traveltide_assets.lake.lake import Lake
    from traveltide_assets.schema.table import Table
    from traveltide_assets.settings import Settings
    from traveltide_assets.sources.base import Source


EXAMPLES = 3
"""Of many things that are wrong, so many are told."""


class Severity(Enum):
    """How serious it is if a check fails."""

    ERROR = auto()
    WARNING = auto()


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, and the facts behind it, which become its metadata.

    The fact `problem` is a sentence, in numbers, on what is wrong if it failed. A failure that
    `only_warns` does not block, whatever the severity of its check.
    """

    passed: bool
    facts: Mapping[str, object]
    only_warns: bool = False


Known = dict[tuple[str, str, str], Any]
"""What was found, by table, what it is, and the versions of all files below gold."""

_Found = TypeVar("_Found")
# Spark plans a query for longer than DuckDB reads so many rows.
FEW_ROWS = 1_000_000


@dataclass(frozen=True)
class Context:
    """What a check can read. `months` are those of the run, `every_month` are all partitions.

    `known` remembers what was found `once`, for the next one who asks.
    """

    tables: Mapping[str, Table]
    lake: Lake
    settings: Settings
    perks: tuple[Perk, ...]
    months: tuple[str, ...]
    every_month: tuple[str, ...]
    opened_source: Source | None = None
    # The metadata of the latest materialisation of a table, or of a month of it.
    recorded: Callable[[str, str | None], Mapping[str, object]] = lambda path, month: {}
    known: Known = field(default_factory=dict)

    @property
    def month(self) -> str:
        """The month of the run. Raises `ValueError` if the run has no month or several."""
        if len(self.months) != 1:
            raise ValueError(
                f"evaluates a single month, but the run has {', '.join(self.months) or 'no month'}"
            )
        return self.months[0]

    def months_that_count(self, path: str) -> list[str]:
        """The stored months of a table that the cohort of the last month counts, and the run's.

        Without a month of the run, the last one is the latest stored.
        """
        if not self.tables[path].partitioned:
            return []
        stored = self.lake.months(path)
        last = max(self.months or stored[-1:], default=None)
        if last is None:
            return []
        needed = months_needed(self.settings.cohort, last, self.settings.partitions.first)
        return [month for month in stored if month in {*needed, *self.months}]

    def of_latest_month(self, path: str) -> Context:
        """This context for the latest stored month of a table; without months if none is stored."""
        return replace(self, months=tuple(self.lake.months(path)[-1:]))

    @property
    def files(self) -> str:
        """The version of every file below gold, as text."""
        return repr([self.lake.storage.versions(layer) for layer in ("bronze", "silver")])

    def once(self, table: str, what: str, find: Callable[[], _Found]) -> _Found:
        """What `find` finds in a table and others below gold, as long as no file is replaced."""
        place = (table, what, self.files)
        if place not in self.known:
            self.known[place] = find()
        found: _Found = self.known[place]
        return found

    @property
    def source(self) -> Source:
        """The source. Raises `ValueError` in a step that does not declare that it reads it."""
        if self.opened_source is None:
            raise ValueError("the step of this check does not declare that it reads the source")
        return self.opened_source

    def months_of(self, path: str) -> list[str]:
        """The months of a table to evaluate. Empty if the table has no months.

        Raises `ValueError` if the table has months and the run has none.
        """
        if not self.tables[path].partitioned:
            return []
        if not self.months:
            raise ValueError(f"no month of {path} to evaluate")
        return list(self.months)


@dataclass(frozen=True)
class Check:
    """A check of a table, evaluated once the table and those in `after` are stored.

    Downstream assets wait for a blocking check. If it fails with an error, the run does not compute
    them. The outcome of a check `of_files` depends on what is stored of all months, and not on the
    months of the run.
    """

    table: str
    name: str
    description: str
    severity: Severity
    evaluate: Callable[[Context], Outcome]
    blocking: bool = False
    after: tuple[str, ...] = ()
    of_files: bool = False

    def outcome(self, context: Context) -> Outcome:
        """The outcome of the check; where it failed, with a `problem`.

        An error of its function gets a note that names the check.
        """
        if not self.of_files:
            return self._outcome(context)
        return context.once(self.table, self.name, partial(self._outcome, context))

    def _outcome(self, context: Context) -> Outcome:
        try:
            lake = context.lake.for_few([self.table, *self.after], FEW_ROWS)
            outcome = self.evaluate(replace(context, lake=lake))
        except Exception as error:
            # A note keeps the type of the error, which determines whether a retry may help.
            error.add_note(f"in the check {self.table}:{self.name}")
            raise
        if outcome.passed:
            facts = {name: fact for name, fact in outcome.facts.items() if name != "problem"}
            return replace(outcome, facts=facts)
        if "problem" in outcome.facts:
            return outcome
        said = "; ".join(f"{_plain(name)}: {_told(fact)}" for name, fact in outcome.facts.items())
        problem = f"this does not hold: {self.description.removesuffix('.')} ({said})"
        return replace(outcome, facts={"problem": problem, **outcome.facts})


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _told(fact: object) -> str:
    """A fact as a sentence has it: of many, the first few."""
    if isinstance(fact, Mapping):
        return first_few([f"{_plain(str(name))} {_told(value)}" for name, value in fact.items()])
    if isinstance(fact, list | tuple):
        return first_few([_told(each) for each in fact])
    if isinstance(fact, float):
        return f"{fact:.3g}"
    return f"{fact:,}" if isinstance(fact, int) and not isinstance(fact, bool) else str(fact)


def first_few(told: Sequence[str]) -> str:
    """The first of many things, and how many more there are; `none` if there are none."""
    more = f" and {len(told) - EXAMPLES} more" if len(told) > EXAMPLES else ""
    return f"{', '.join(told[:EXAMPLES])}{more}" if told else "none"


@dataclass(frozen=True)
class Step:
    """Checks that a run evaluates together: those listed, after the two of every table.

    A step waits for all tables of its checks, so checks that must stop different parts of a run
    belong in different steps. A table that no step names gets its own.
    """

    name: str
    tables: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    reads_source: bool = False
