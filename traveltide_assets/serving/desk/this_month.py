"""The first page: what was decided, what supports it, what changed since last month and why."""

from __future__ import annotations

import functools
import re
from typing import Any

import pandas as pd

from traveltide_assets.campaign import release_files
from traveltide_assets.campaign.invitations import CHANGES
from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.evidence.tables import NOT_TRIED, TOO_LITTLE
from traveltide_assets.report import phrases, summaries, verdicts, words
from traveltide_assets.report.disclosure import FEWEST, told
from traveltide_assets.schema.months import previous_month
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.serving.desk import charts
from traveltide_assets.serving.desk.decision import Decision, Decisions

_FLOWS, _TELLING = 8, 2
_NOTABLE_SD = 0.2
# They change with the calendar, or only repeat what others say.
_PASSING = (
    "age",
    "tenure_months",
    "days_since_last_session",
    "upcoming_trips",
    "recency_score",
    "frequency_score",
    "monetary_score",
)
_DECIDES = {
    "strategy": "The strategy",
    "perk_catalogue_version": "The perk catalogue",
    "cohort_rule": "The rule of the cohort",
}


def context(decisions: Decisions, decision: Decision) -> dict[str, Any]:
    """What the template shows."""
    given = told(decision.assignments["perk"].value_counts().to_dict())
    costs = expected_costs(decision)
    total = max(len(decision.assignments), 1)
    rows: list[dict[str, Any]] = [
        {
            "id": perk,
            "title": decision.title(perk),
            "audience": decision.perks[perk].audience if perk in decision.perks else "",
            "customers": number,
            "share": None if number is None else phrases.share(number / total),
            "verdict": _verdict(decision, perk),
            "cost": costs.get(perk),
        }
        for perk, number in given.items()
    ]
    shown = [row for row in rows if row["customers"]]
    before = decisions.released(previous_month(decision.month))
    return {
        "sentences": _sentences(decision, rows),
        "perks": rows,
        "total_cost": f"{sum(costs.values()):,.0f}" if costs else None,
        "chart": charts.perks([r["title"] for r in shown], [r["customers"] for r in shown]),
        "changes": _changes(decision),
        "before": None if before is None else words.month_name(before.month),
        "reasons": [] if before is None else why(decision, before),
        "flows": [] if before is None else flows(decision, before),
        "checks": _checks(decision),
    }


def expected_costs(decision: Decision) -> dict[str, float]:
    """What the offers of each perk are expected to cost, in USD; nothing if no money was set.

    A perk that is offered to fewer than ten is left out, as their number is.
    """
    if decision.offers is None:
        return {}
    offers = decision.offers[decision.offers["offer"] != NO_OFFER]
    priced = offers.dropna(subset=["expected_cost_usd"]).groupby("offer", observed=True)[
        "expected_cost_usd"
    ]
    sums = priced.agg(["sum", "size"])
    return {str(p): float(r["sum"]) for p, r in sums[sums["size"] >= FEWEST].iterrows()}


def _verdict(decision: Decision, perk: str) -> verdicts.Verdict | None:
    judged = decision.verdicts
    return None if judged is None else judged.get(perk, verdicts.not_tried())


def _sentences(decision: Decision, rows: list[dict[str, Any]]) -> list[str]:
    """What was decided, who is written to, and how sure it is."""
    customers, month = decision.release.manifest.customers, words.month_name(decision.month)
    largest = rows[0]
    most = f", most often {largest['title']} ({largest['share']})" if largest["share"] else ""
    young = customers.get("below_minimum_age", 0)
    first = (
        f"{words.counted(customers['assigned'], 'active customer')} got one of "
        f"{words.counted(len(rows), 'perk')} for {month}{most}."
    )
    second = (
        f"{customers['written_to']:,} get a mail, {customers['held_out']:,} are held out for "
        f"comparison, {customers['suppressed']:,} are suppressed"
        + (f" and {young:,} are not known to be old enough." if young else ".")
    )
    if decision.facts["experiment"]["running"]:
        second += f" An experiment runs since {decision.facts['experiment']['start']}."
    return [first, second, _how_sure(rows)]


def _how_sure(rows: list[dict[str, Any]]) -> str:
    if any(row["verdict"] is None for row in rows):
        return "This release holds no evidence, so nothing is said of how well it is supported."
    holding = [row for row in rows if row["verdict"].supported]
    unjudged = sum(row["verdict"].name in (NOT_TRIED, TOO_LITTLE) for row in rows)
    others = f" ({unjudged} could not be judged)" if unjudged else ""
    if not holding:
        return (
            f"What customers did later supports none of the {words.counted(len(rows), 'perk')}"
            f"{others}: take them as a start, and let the experiment decide."
        )
    titles = words.listed([row["title"] for row in holding])
    return f"What customers did later supports {len(holding)} of {len(rows)}{others}: {titles}."


def _changes(decision: Decision) -> dict[str, Any]:
    stored = decision.facts["changes"]
    compared = stored["compared_with"]
    numbers = {kind: stored[kind] for kind in CHANGES}
    return {
        "compared_with": None if compared is None else words.month_name(compared),
        "numbers": [] if compared is None else list(numbers.items()),
    }


@functools.lru_cache(maxsize=2)
def moves(now: Decision, before: Decision) -> pd.DataFrame:
    """`perk_moves`; of a release of an earlier version it is counted here, from both months."""
    if now.has(release_files.MOVES):
        return now.release.frame(release_files.MOVES)
    perk, was = (each.assignments["perk"].astype(object) for each in (now, before))
    return summaries.perk_moves(perk, was, now.features, before.features)


def why(now: Decision, before: Decision) -> list[str]:
    """Sentences on what differs between the decisions of two months."""
    said = [
        f"{name} changed: {was} before, {is_now} now."
        for key, name in _DECIDES.items()
        if (was := _rests_on(before, key)) != (is_now := _rests_on(now, key))
    ]
    sizes = moves(now, before).drop_duplicates(["perk_before", "perk"])
    joined, left = (sizes[name] == summaries.ABSENT for name in ("perk_before", "perk"))
    if joined.all():  # Last month was released and was not in the lake when this one was decided.
        return said
    moved = sizes[~joined & ~left & (sizes["perk_before"] != sizes["perk"])]
    counted = [sizes.loc[rows, "customers"].sum() for rows in (joined, left, ~joined & ~left)]
    said.append(
        "{:,} customers joined the cohort and {:,} left it; {:,} are in both months.".format(
            *counted
        )
    )
    others, idle = moved["customers"].sum(), moved["idle"].sum()
    if others < FEWEST:
        return [*said, f"Fewer than {FEWEST} of them have another perk."]
    said.append(f"{others:,} of them ({phrases.share(others / counted[2])}) have another perk.")
    if idle >= FEWEST:
        said.append(
            f"{idle:,} of those had no new session: the groups were drawn anew around them."
        )
    return said


def _rests_on(decision: Decision, key: str) -> str:
    """A fact of a decision, without the month's last day, which always differs."""
    value = str(decision.release.manifest.decision.get(key, "nothing"))
    return re.sub(r" to \d{4}-\d{2}-\d{2}$", "", value)


def flows(now: Decision, before: Decision) -> list[dict[str, Any]]:
    """The largest moves from one perk to another: how many, and what they do otherwise now."""
    found = moves(now, before)
    stayed = (found["perk_before"] == found["perk"]) | (found["customers"] < FEWEST)
    elsewhere = (found[["perk_before", "perk"]] == summaries.ABSENT).any(axis=1)
    moved = found[~stayed & ~elsewhere].sort_values("customers", ascending=False, kind="stable")
    return [
        {
            "before": before.title(str(was)),
            "now": now.title(str(is_now)),
            "customers": f"{rows['customers'].iloc[0]:,}",
            "why": _otherwise(rows.set_index("feature").drop(list(_PASSING), errors="ignore")),
        }
        for (was, is_now), rows in list(moved.groupby(["perk_before", "perk"], sort=False))[:_FLOWS]
    ]


def _otherwise(rows: pd.DataFrame) -> str:
    """What customers do otherwise than a month ago; `rows` are those of a move, by feature."""
    spread = rows["sd_before"].where(rows["sd_before"] > 0)
    apart = ((rows["mean"] - rows["mean_before"]) / spread).abs()
    notable = apart[apart >= _NOTABLE_SD].sort_values(ascending=False, kind="stable")
    said = [
        f"{LABELS[name]} from {phrases.number(name, row['mean_before'])} to "
        f"{phrases.number(name, row['mean'])}"
        for name, row in rows.loc[notable.index[:_TELLING]].iterrows()
    ]
    return words.listed(said) if said else "little changed in what they do"


def _checks(decision: Decision) -> dict[str, Any]:
    outcomes, warned = decision.release.manifest.checks, decision.release.manifest.warnings
    return {
        "passed": sum(outcome == "passed" for outcome in outcomes.values()),
        "total": len(outcomes),
        "warnings": None if warned is None else sorted(warned.items()),
        "others": sorted((n, o) for n, o in outcomes.items() if o != "passed"),
    }
