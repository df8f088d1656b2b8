"""Terminal output: the summary of a run, the decisions of a month, one customer's reasons.

Reasons come first, in sentences. Tables with the numbers follow. Everything fits 80 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from traveltide_assets.campaign import release_files
from traveltide_assets.catalogue.perks import StoredPerk, from_frame, load_perks
from traveltide_assets.evidence.tables import NOT_TRIED
from traveltide_assets.lake.release import NotReleased, Release
from traveltide_assets.report import phrases, reasons, words
from traveltide_assets.resources import open_lake, open_releases
from traveltide_assets.schema.config import Partitions
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.sources import OPTIONAL, RAW
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.segmentation.registry import left_out
from traveltide_assets.segmentation.scaling import numeric
from traveltide_assets.settings import Settings
from traveltide_assets.sources.tables import SESSIONS_UNDATED

if TYPE_CHECKING:
    from traveltide_assets.defs.run import Outcome
    from traveltide_assets.lake.lake import Lake

ASSIGNMENTS = "gold/perk_assignments"
_AFFINITY = (
    "Affinity: how much more than the cohort the segment shows the behaviour that a perk is for, "
    "in standard deviations."
)


class NothingDecided(TravelTideError):
    """The lake has no decision for the request. The message says what to do."""


def on_stdout() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def print_run(
    console: Console, settings: Settings, month: str, outcome: Outcome, follows: Collection[str]
) -> None:
    """Print rows, cohort, segments, checks and locations of a finished run.

    `follows` are the settings that follow the source.
    """
    lake = open_lake(settings)
    record = lake.releases.record(month)
    made = lake.releases.find(str(record.latest))
    print_notice(console, made)
    if follows:
        write(console, _chosen(settings, follows))
        console.print()
    console.print(_row_counts(lake, settings.partitions))
    console.print()
    _print_decisions(console, made)
    for name, why in left_out(
        settings, load_perks(settings.perks_file, settings.policy.forbidden_features)
    ).items():
        write(console, f"Left out: the strategy {name}. {why}", hanging=4)
    write(console, _mailed(settings, made))
    passed = outcome.checks - len(outcome.warnings)
    console.print()
    write(console, f"Checks: {passed} of {outcome.checks} passed")
    for warning in outcome.warnings:
        write(console, f"warning: {warning}", indent=2, hanging=4)
    console.print()
    if made.id != record.current:
        write(
            console,
            f"Release {made.id} of {month} is prepared. `traveltide release --month {month}` "
            "makes it current.",
        )
        console.print()
    places = {
        "Source": settings.source_location,
        "Lake": settings.lake,
        "Release": made.uri(),
        "Report": made.uri(release_files.REPORT),
        "Mails": f"traveltide mailing --month {month} --to FOLDER",
        "UI": "make dev",
    }
    for name, place in places.items():
        # A path that is broken over two lines cannot be copied.
        console.print(f"{name + ':':<8} {place}", soft_wrap=True)


def _chosen(settings: Settings, follows: Collection[str]) -> str:
    """The months and the cohort's start that follow the source, and how to set others."""
    bounds = settings.partitions
    values = {
        "partitions.first": ("first", bounds.first),
        "partitions.last": ("last", bounds.last),
        "cohort.active_since": ("active_since", settings.cohort.active_since),
    }
    listed = ", ".join(
        f"{name} = {value}" for name, (key, value) in values.items() if key in follows
    )
    return f"Not set, so they follow the source: {listed}"


def _mailed(settings: Settings, made: Release) -> str:
    """How many customers of a release get a mail, and why the others do not."""
    customers = made.manifest.customers
    age = settings.cohort.minimum_age
    young = f", {customers['below_minimum_age']:,} are not known to be {age}" if age else ""
    return (
        f"Campaign: {customers['written_to']:,} of {customers['assigned']:,} customers get a mail; "
        f"{customers['held_out']:,} are held out, {customers['suppressed']:,} suppressed{young}"
    )


def find_release(settings: Settings, month: str | None) -> Release:
    """The current release of a month, by default of the latest that has one.

    Raises `NothingDecided` or `NotReleased` if there is none.
    """
    try:
        return open_releases(settings).current(month)
    except NotReleased:
        decided_month(
            settings, open_lake(settings), month
        )  # Raises if the month is not even decided.
        raise


def print_decisions(console: Console, made: Release) -> None:
    """Print who gets which perk in a release, and why."""
    print_notice(console, made)
    _print_decisions(console, made)


def print_notice(console: Console, made: Release) -> None:
    """Print the first line of whatever shows generated data."""
    if made.manifest.notice:
        write(console, made.manifest.notice, style="bold")
        console.print()


def _print_decisions(console: Console, made: Release) -> None:
    perks = {perk.id: perk for perk in from_frame(made.frame(release_files.CATALOGUE))}
    assigned = made.frame(release_files.ASSIGNMENTS).set_index("user_id")
    features = numeric(made.frame(release_files.FEATURES))
    rule = made.manifest.decision["cohort_rule"]
    write(console, f"Cohort of {made.month}: {len(assigned):,} customers with {rule}")
    for line in _decided_by(made):
        write(console, line)
    judged = _judged(made, assigned["strategy"].iloc[0])
    groups = sorted(assigned.groupby(["segment", "perk"]), key=lambda group: -len(group[1]))
    table = grid("segment", "perk", "evidence", numbers=("customers", "share"))
    for (segment, perk_id), members in groups:
        perk, size = perks[perk_id], len(members)
        console.print()
        heading = f"{perk.title} for {size:,} customers (segment: {segment})"
        write(console, heading, style="bold")
        # If a strategy gives each customer their own reason, the most frequent one is shown.
        reason = reasons.labelled(members["deciding_features"].mode()[0])
        if said := reasons.of_segment(perk, features.loc[members.index], features):
            write(console, f"Why this perk: {' '.join(said)}", indent=2)
        write(console, f"Decided by: {reason}", indent=2)
        verdict = judged.get(perk_id, NOT_TRIED) if judged else words.NONE
        if judged:
            write(console, f"Evidence: {verdict}", indent=2)
        share = f"{size / len(assigned):.1%}"
        table.add_row(segment, perk.title, verdict.partition(",")[0], f"{size:,}", share)
    console.print()
    console.print(table)


def _decided_by(made: Release) -> list[str]:
    """Which strategy decided, and why. Releases of earlier versions do not say why."""
    if release_files.DECISION not in made.names:
        return []
    decision = made.frame(release_files.DECISION)
    name = made.manifest.decision["strategy"]
    return [f"Decided by the strategy {name}: {decision['because'].iloc[0]}"]


def _judged(made: Release, strategy: str) -> dict[str, str]:
    """The verdict on each perk of a strategy, with its lift. Empty if not released."""
    if release_files.EVIDENCE not in made.names:
        return {}
    evidence = made.frame(release_files.EVIDENCE)
    rows = evidence[evidence["strategy"] == strategy]
    return {str(row["perk"]): _verdict(row) for _, row in rows.iterrows()}


def _verdict(row: pd.Series) -> str:
    if pd.isna(row["lift"]):
        return str(row["verdict"])
    lift = phrases.plain(words.times(row["lift"], row["lift_low"], row["lift_high"]))
    return f"{row['verdict']}, {lift}"


def print_explanation(console: Console, made: Release, user_id: int) -> None:
    """Print a customer's perk, its reasons, and their features next to segment and cohort."""
    perks = {perk.id: perk for perk in from_frame(made.frame(release_files.CATALOGUE))}
    assigned = made.frame(release_files.ASSIGNMENTS).set_index("user_id")
    if user_id not in assigned.index:
        rule = made.manifest.decision["cohort_rule"]
        raise NothingDecided(f"user {user_id} is not in the cohort of {made.month}: {rule}")
    mine = assigned.loc[user_id]
    perk = perks[mine["perk"]]
    features = numeric(made.frame(release_files.FEATURES))
    peers = features.loc[assigned.index[assigned["segment"] == mine["segment"]]]
    values = pd.DataFrame(
        {"customer": features.loc[user_id], "segment": peers.mean(), "cohort": features.mean()}
    )
    print_notice(console, made)
    write(console, f"Customer {user_id} at the end of {made.month}", style="bold")
    console.print()
    for name, fact in {
        "Perk": f"{perk.title}, for a customer who {perk.audience}",
        "Segment": f"{mine['segment']} ({len(peers):,} customers)",
        "Decided by": reasons.labelled(mine["deciding_features"]),
        "Runner-up": perks[mine["runner_up"]].title,
    }.items():
        write(console, f"{name + ':':<12}{fact}", hanging=12)
    console.print()
    first, *others = reasons.of_customer(perk, values, mine["deciding_features"])
    for line in (f"Why this perk: {first}", *others):
        write(console, line)
    console.print()
    able, others_ranked = reasons.ranked(perks, assigned["perk"].unique(), mine)
    console.print(_comparison(values, mine, able))
    if others_ranked:
        console.print()
        write(console, "Not among the perks that this strategy gives:", style="bold")
        console.print(_comparison(values, mine, others_ranked))
    console.print()
    write(console, _AFFINITY)


def _comparison(values: pd.DataFrame, mine: pd.Series, perks: list[StoredPerk]) -> Grid:
    """Each perk with its features, in the order given."""
    table = grid("perk and its features", numbers=("affinity", "customer", "segment", "cohort"))
    for perk in perks:
        title = Text(perk.title, style="bold")
        table.add_row(title, _signed(mine[f"affinity_{perk.id}"]), "", "", "")
        for name in perk.features:
            own, segment, cohort = values.loc[name, ["customer", "segment", "cohort"]]
            table.add_row(
                f"  {LABELS[name]}",
                "",
                phrases.customers_number(name, own),
                phrases.number(name, segment),
                phrases.number(name, cohort),
            )
    return table


def grid(*texts: str, numbers: tuple[str, ...]) -> Grid:
    """A table without lines. Words wrap and numbers do not, so that nothing is cut off."""
    table = Grid(box=None, pad_edge=False)
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def write(
    console: Console, text: str, indent: int = 0, hanging: int | None = None, style: str = ""
) -> None:
    """Print a paragraph that breaks between words, never within one."""
    filled = textwrap.fill(
        text,
        console.width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if hanging is None else hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(filled, soft_wrap=True, style=style)


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # Adding 0 turns -0 into 0.


def _row_counts(lake: Lake, bounds: Partitions) -> Grid:
    table = grid("table", numbers=("rows read", "processed", "quarantined", "no month"))
    for name in RAW:
        read, kept, rejected = (
            lake.total_rows(path, bounds)
            for path in (
                f"bronze/{name}_raw",
                f"silver/{name}_processed",
                f"silver/{name}_quarantine",
            )
        )
        if name in OPTIONAL and not read:
            continue
        undated = lake.rows(SESSIONS_UNDATED.path) if name == "sessions" else 0
        table.add_row(name, f"{read + undated:,}", f"{kept:,}", f"{rejected:,}", f"{undated:,}")
    return table


def decided_month(settings: Settings, lake: Lake, month: str | None) -> str:
    """The month, if it has been decided; by default the latest that has."""
    decided = lake.months(ASSIGNMENTS)
    if month in decided or (decided and month is None):
        return month or decided[-1]
    known = settings.partitions.months()
    if month is not None and month not in known:
        advice = f"choose a month from {known[0]} to {known[-1]}"
    else:
        advice = f"run `traveltide run{f' --month {month}' if month else ''}` first"
    others = f" (decided: {', '.join(decided)})" if decided else ""
    # A lake that is named may be anybody's.
    own = settings.source is not None or "lake" in settings.model_fields_set
    sample = "" if own else ", the lake of generated data, as no TRAVELTIDE_SOURCE is set"
    raise NothingDecided(
        f"no perks have been decided {f'for {month}' if month else 'yet'} in "
        f"{settings.lake}{sample}{others}; {advice}"
    )
