"""What a person reads in the terminal: the run's summary, the decisions, one customer's reasons."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid

from traveltide_assets import report
from traveltide_assets.campaign import mailing
from traveltide_assets.contracts import SESSIONS_UNDATED, SOURCES, build_tables
from traveltide_assets.engine import open_engine
from traveltide_assets.lake import Lake
from traveltide_assets.pipeline import Outcome
from traveltide_assets.segmentation.perks import Perk, load_perks
from traveltide_assets.segmentation.scaling import numeric
from traveltide_assets.settings import Partitions, Settings
from traveltide_assets.storage import open_storage
from traveltide_assets.transforms.cohort import describe
from traveltide_assets.transforms.features import CATALOGUE

ASSIGNMENTS = "gold/perk_assignments"
FEATURES = "gold/user_features"
_LABELS = {feature.name: feature.label for feature in CATALOGUE}


class NothingDecided(Exception):
    """The lake holds no decision for what was asked; the message says what to do."""


def open_lake(settings: Settings) -> tuple[Lake, dict[str, Perk]]:
    """The lake of the settings, for reading, and its perk catalogue by id."""
    perks = load_perks(settings.perks_file)
    tables = build_tables(perks)
    storage = open_storage(settings.lake, settings.home / "cache", "TRAVELTIDE_LAKE")
    lake = Lake(storage, open_engine(settings), tables)
    return lake, {perk.id: perk for perk in perks}


def print_run(console: Console, settings: Settings, month: str, outcome: Outcome) -> None:
    """Rows, cohort, segments, checks and places of a finished run."""
    lake, _ = open_lake(settings)
    console.print(_row_counts(lake, settings.partitions))
    print_decisions(console, settings, month)
    passed = outcome.checks - len(outcome.warnings)
    console.print(f"\nchecks: {passed} of {outcome.checks} passed", highlight=False)
    for warning in outcome.warnings:
        console.print(f"  [yellow]warning[/] {warning}", highlight=False)
    # Places are not to break where the line does.
    places = {
        "source": settings.source_location,
        "lake": settings.lake,
        "perks": lake.uri(ASSIGNMENTS, month),
        "mails": lake.uri(mailing.PATH, month, mailing.MANIFEST),
        "report": lake.uri(report.PATH, month, report.FILE),
        "UI": "make dev",
    }
    for name, place in places.items():
        console.print(f"{name + ':':<7} {place}", highlight=False, soft_wrap=True)


def find_report(settings: Settings, month: str | None) -> tuple[Path, str]:
    """The report of a month, the latest decided by default: its file here, where it is stored."""
    lake, _ = open_lake(settings)
    month = _decided(lake, month)
    place = (report.PATH, month, report.FILE)
    if not lake.exists(*place):
        raise NothingDecided(
            f"no report of {month} in {settings.lake}; run `traveltide run --month {month}` first"
        )
    return lake.path(*place), lake.uri(*place)


def print_decisions(console: Console, settings: Settings, month: str | None) -> None:
    """Cohort and segments of a month, the latest decided by default."""
    lake, perks = open_lake(settings)
    month = _decided(lake, month)
    assigned = lake.frame(ASSIGNMENTS, month)
    console.print(
        f"\ncohort of {month}: {len(assigned):,} customers with {describe(settings.cohort, month)}",
        highlight=False,
    )
    grid = Grid("segment", "perk", "customers", "share", "features that made it", box=None)
    groups = assigned.groupby(["segment", "perk"])["deciding_features"]
    for (segment, perk), reasons in sorted(groups, key=lambda group: -len(group[1])):
        title = perks[perk].title if perk in perks else perk
        # Strategies that give each customer a reason of their own are shown with the commonest.
        reason = reasons.mode()[0].replace(", ", "\n")
        size = len(reasons)
        grid.add_row(segment, title, f"{size:,}", f"{size / len(assigned):.1%}", reason)
    console.print(grid)


def print_explanation(
    console: Console, settings: Settings, user_id: int, month: str | None
) -> None:
    """A customer's perk, and their own features beside their segment's and the cohort's."""
    lake, perks = open_lake(settings)
    month = _decided(lake, month)
    assigned = lake.frame(ASSIGNMENTS, month).set_index("user_id")
    if user_id not in assigned.index:
        raise NothingDecided(
            f"user {user_id} is not in the cohort of {month}: {describe(settings.cohort, month)}"
        )
    mine = assigned.loc[user_id]
    if unknown := [name for name in perks if f"affinity_{name}" not in mine]:
        raise NothingDecided(
            f"{month} was decided with another perk catalogue (without {', '.join(unknown)}); "
            f"run `traveltide run --month {month}` again"
        )
    perk = perks[mine["perk"]]
    console.print(f"user {user_id}, as of the end of {month}", highlight=False)
    console.print(f"perk:      [bold]{perk.title}[/] (for who {perk.audience})", highlight=False)
    console.print(f"segment:   {mine['segment']}", highlight=False)
    console.print(f"decided by {mine['deciding_features']}", highlight=False)
    console.print(f"runner-up: {perks[mine['runner_up']].title}\n", highlight=False)
    features = numeric(lake.frame(FEATURES, month))
    peers = features.loc[assigned.index[assigned["segment"] == mine["segment"]]]
    console.print(_comparison(features, peers, user_id, mine, perks))


def _comparison(
    features: pd.DataFrame,
    peers: pd.DataFrame,
    user_id: int,
    mine: pd.Series,
    perks: dict[str, Perk],
) -> Grid:
    grid = Grid(
        "perk", "segment's affinity (SD)", "feature", "customer", "segment", "cohort", box=None
    )
    own = features.loc[user_id]
    ranked = sorted(perks, key=lambda perk: -mine[f"affinity_{perk}"])
    for perk in ranked:
        for i, name in enumerate(perks[perk].features):
            head = (perks[perk].title, f"{mine[f'affinity_{perk}']:+.2f}") if i == 0 else ("", "")
            values = (own[name], peers[name].mean(), features[name].mean())
            grid.add_row(*head, _LABELS[name], *(_number(value) for value in values))
    return grid


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:,.2f}"


def _row_counts(lake: Lake, bounds: Partitions) -> Grid:
    grid = Grid("table", "rows read", "processed", "quarantined", box=None)
    for name in SOURCES:
        read, kept, refused = (
            lake.total_rows(path, bounds)
            for path in (
                f"bronze/{name}_raw",
                f"silver/{name}_processed",
                f"silver/{name}_quarantine",
            )
        )
        undated = lake.rows(SESSIONS_UNDATED.path) if name == "sessions" else 0
        note = f" (+ {undated:,} undated)" if undated else ""
        grid.add_row(name, f"{read + undated:,}", f"{kept:,}", f"{refused:,}{note}")
    return grid


def _decided(lake: Lake, month: str | None) -> str:
    months = lake.months(ASSIGNMENTS)
    if not months or (month is not None and month not in months):
        raise NothingDecided(
            f"no perks decided for {month or 'any month'} "
            f"(decided: {', '.join(months) or 'none'}); run `traveltide run"
            f"{f' --month {month}' if month else ''}` first"
        )
    return month or months[-1]
