"""The page *Months*: sizes, perks and releases month by month, and two months side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd

from traveltide_assets.lake.release import Listed
from traveltide_assets.report import phrases, words
from traveltide_assets.report.disclosure import FEWEST, told
from traveltide_assets.serving.desk import charts
from traveltide_assets.serving.desk.decision import Decision, Decisions

_DRAWN, _MOVES = 8, 12


def context(decisions: Decisions, first: str | None, second: str | None) -> dict[str, Any]:
    """What the template shows; `first` and `second` are the months to lay side by side."""
    months = decisions.months()
    second = second or months[-1]
    first = first or next((m for m in reversed(months) if m < second), second)
    sizes = [
        {"month": month, "name": title, "customers": number}
        for month in months
        for title, number in told(decisions.perk_sizes(month)).items()
        if number is not None
    ]
    table = pd.DataFrame(sizes, columns=["month", "name", "customers"])
    largest = table.groupby("name")["customers"].max().nlargest(_DRAWN).index
    return {
        "releases": [_release(line) for line in reversed(list(decisions.releases.all()))],
        "chart": charts.history(table[table["name"].isin(largest)]) if len(months) > 1 else None,
        "sizes": _by_month(table, months),
        "shown_months": months,
        "first": first,
        "second": second,
        "compared": _compared(decisions, first, second) if first != second else None,
    }


def _release(line: Listed) -> dict[str, Any]:
    manifest = line.release.manifest if line.release else None
    return {
        "month": words.month_name(line.month),
        "id": line.entry.id,
        "state": "current"
        if line.current
        else "incomplete"
        if line.release is None
        else "earlier"
        if line.entry.released
        else "prepared",
        "released": moment(line.entry.released),
        "mailed": moment(line.mailed),
        "strategy": str(manifest.decision["strategy"]) if manifest else words.NONE,
        "customers": f"{manifest.customers['assigned']:,}" if manifest else words.NONE,
        "written_to": f"{manifest.customers['written_to']:,}" if manifest else words.NONE,
    }


def moment(stored: str | None) -> str:
    """A moment as `2026-11-28 22:30 UTC`."""
    return words.NONE if stored is None else f"{stored[:16].replace('T', ' ')} UTC"


def _by_month(table: pd.DataFrame, months: list[str]) -> list[tuple[str, list[str]]]:
    """Each perk with its customers month by month."""
    wide = table.pivot_table(index="name", columns="month", values="customers", sort=False)
    wide = wide.reindex(columns=months)
    return [
        (str(name), [words.NONE if pd.isna(value) else f"{value:,.0f}" for value in row])
        for name, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]


def _compared(decisions: Decisions, first: str, second: str) -> dict[str, Any]:
    one, other = decisions.current(first), decisions.current(second)
    both = pd.concat(
        [each.assignments["perk"].astype(object) for each in (one, other)],
        axis=1,
        join="inner",
        keys=["perk_one", "perk_other"],
    )
    moved = both[both["perk_one"] != both["perk_other"]]
    sizes = moved.groupby(["perk_one", "perk_other"]).size().sort_values(ascending=False)
    return {
        "first": words.month_name(first),
        "second": words.month_name(second),
        "facts": _facts(one, other),
        "perks": _sides(one, other, "perk"),
        "segments": _sides(one, other, "segment"),
        "both": f"{len(both):,}",
        "same": phrases.share(1 - len(moved) / len(both)) if len(both) else words.NONE,
        "moves": [
            (one.title(was), other.title(now), f"{size:,}")
            for (was, now), size in sizes[sizes >= FEWEST].head(_MOVES).items()
        ],
    }


def _facts(one: Decision, other: Decision) -> list[tuple[str, str, str]]:
    """What each of the two decisions rests on, a row per fact."""
    rows = [
        (label, str(one.release.manifest.decision[key]), str(other.release.manifest.decision[key]))
        for key, label in (("strategy", "Strategy"), ("cohort_rule", "Cohort"))
    ]
    for key, label in (("assigned", "Customers"), ("written_to", "Written to")):
        was, now = (each.release.manifest.customers[key] for each in (one, other))
        rows.append((label, f"{was:,}", f"{now:,}"))
    return rows


def _sides(one: Decision, other: Decision, key: str) -> list[tuple[str, str, str]]:
    """Each group with its customers in both months."""
    columns = [told(each.assignments[key].value_counts().to_dict()) for each in (one, other)]
    return [
        (
            other.says(key, group) if group in columns[1] else one.says(key, group),
            _number(columns[0].get(group, 0)),
            _number(columns[1].get(group, 0)),
        )
        for group in dict.fromkeys([*columns[0], *columns[1]])
    ]


def _number(value: int | None) -> str:
    return "too few to show" if value is None else f"{value:,}"
