"""The chapters of the report: each is headed by its one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from traveltide_assets.campaign.invitations import MOVED
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.metrics import BY_NAME, METRICS
from traveltide_assets.report import next_section, offers_section, segment_words, words
from traveltide_assets.report.material import Material
from traveltide_assets.report.scorecard_section import recommended
from traveltide_assets.report.verdicts import Verdict


@dataclass(frozen=True)
class Chapter:
    """A chapter: its anchor, its subject in a word or two, and what it says in a sentence."""

    id: str
    subject: str
    message: str


def of(m: Material, judged: Mapping[str, Verdict]) -> dict[str, Chapter]:
    """The chapters in their order, by anchor."""
    found = (
        Chapter("segments", "Segments", _segments(m)),
        Chapter("changes", "What changed", _changes(m)),
        Chapter("evidence", "Evidence", _evidence(m, judged)),
        Chapter("scorecard", "Strategies", _strategies(m)),
        Chapter("campaign", "Campaign", _campaign(m)),
        Chapter("experiment", "Experiment", _experiment(m)),
        Chapter("offers", "What the offers did", offers_section.message(m)),
        Chapter("next", "What to send next", next_section.message(m)),
        Chapter("prediction", "New customers", _newcomers(m)),
        Chapter("customers", "Customers", _customers(m.features)),
        Chapter("quality", "Data quality", _quality(m.quality)),
        Chapter("method", "Method", "How this was found out, and what it cannot say"),
    )
    return {chapter.id: chapter for chapter in found}


def _segments(m: Material) -> str:
    sizes = m.assignments["segment"].value_counts()
    if len(sizes) == 1:
        return "All customers are one group"
    share = words.percent(sizes.iloc[0] / len(m.assignments))
    largest = segment_words.called(str(sizes.index[0]))
    return f"{len(sizes)} groups of customers; the largest ({share}): {_continued(largest)}"


def _continued(name: str) -> str:
    """A segment's name within a sentence: those that begin with `Customers` are no names."""
    return f"c{name[1:]}" if name.startswith("Customers ") else name


def _changes(m: Material) -> str:
    compared = m.campaign["changes"]["compared_with"]
    if compared is None:
        return "There is no month before to compare with"
    moved = int((m.changes["change"] == MOVED).sum())
    written = m.campaign["customers"]["written_to"]
    if not moved:
        return f"Everybody who was written to in {words.month_name(compared)} is offered the same"
    return (
        f"{moved:,} of the {written:,} customers who are written to are offered another perk than "
        f"in {words.month_name(compared)}"
    )


def _evidence(m: Material, judged: Mapping[str, Verdict]) -> str:
    given = set(m.assignments["perk"])
    held = sum(perk in judged and judged[perk].supported for perk in given)
    perks = words.counted(len(given), "perk")
    return f"What customers did later supports {held or 'none'} of the {perks} that are given"


def _strategies(m: Material) -> str:
    best, decides = recommended(m.scorecard), m.strategies[m.strategy]
    ways = f"{len(m.scorecard)} ways to decide"
    if not best:
        return f"None of {ways} gives anybody a perk that the data supports; {decides} decides"
    if best == [m.strategy]:
        return f"Of {ways}, {decides} is worth most, and it decides"
    return f"Of {ways}, {m.strategies[best[0]]} is worth most, but {decides} decides"


def _campaign(m: Material) -> str:
    customers = m.campaign["customers"]
    return (
        f"{customers['written_to']:,} customers get a mail; "
        f"{words.counted(customers['held_out'], 'customer')} get none, to measure what mailing "
        "brings"
    )


def _experiment(m: Material) -> str:
    if len(m.readout):
        early = bool(m.readout["peek"].any())
        return "The experiment: too early to decide" if early else "What the experiment has shown"
    config = m.settings.experiment
    goals = [metric.name for metric in METRICS if metric.role == "goal"]
    rows = m.plan[(m.plan["segment"] == EVERYBODY) & m.plan["metric"].isin(goals)]
    power = rows.set_index("metric")["power"].reindex(goals).dropna()
    if power.empty:
        return "No experiment can be planned with these customers yet"
    return (
        f"An experiment of {config.weeks} weeks would detect "
        f"{words.percent(config.relative_effect)} more "
        f"{BY_NAME[str(power.index[0])].title.lower()} in "
        f"{words.percent(float(power.iloc[0]))} of cases"
    )


def _newcomers(m: Material) -> str:
    if m.card is None:
        return "No model for new customers was trained this month"
    if m.card.promoted:
        return "New customers get the perk that a new model predicts"
    return "The new model for new customers does not go into service"


def _customers(features: pd.DataFrame) -> str:
    trips, visits = features["total_trips"].sum(), features["total_sessions"].sum()
    if not len(features) or not trips:
        return "The active customers have booked no trip"
    cancelled = words.percent(features["cancelled_trips"].sum() / trips)
    return (
        f"Active customers come {words.decimal(visits / len(features), 1)} times, book "
        f"{words.decimal(trips / len(features), 1)} trips and cancel {cancelled} of them"
    )


def _quality(counts: pd.DataFrame) -> str:
    aside, read = int(counts["quarantined"].sum()), int(counts["read"].sum())
    if not aside:
        return f"All {read:,} rows could be used"
    return (
        f"{aside:,} of {read:,} rows ({words.percent(aside / max(read, 1), 2)}) were set aside, "
        "each with its reason"
    )
