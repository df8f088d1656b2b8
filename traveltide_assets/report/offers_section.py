"""The report's section on what the offers did: of earlier campaigns, and week by week."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.experiment import judging
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.campaign_readout import ARMS, INVITED
from traveltide_assets.experiment.metrics import BY_NAME, OF_CAMPAIGNS
from traveltide_assets.experiment.stopping import GO_ON
from traveltide_assets.report import charts, words
from traveltide_assets.report.disclosure import FEWEST
from traveltide_assets.report.material import Material
from traveltide_assets.report.segment_words import called
from traveltide_assets.schema.months import next_month

_TITLES = {metric.name: metric.title.removesuffix(", USD") for metric in OF_CAMPAIGNS}
_PLACES = {metric.name: place for place, metric in enumerate(OF_CAMPAIGNS)}
_CLEAR = (judging.BETTER, judging.WORSE, judging.HARM)
_LOOKS = {
    judging.BETTER: ("✓", "supported"),
    judging.WORSE: ("✗", "not-supported"),
    judging.HARM: ("✗", "not-supported"),
}


def context(m: Material) -> dict[str, Any]:
    """What the template shows of `gold/campaign_readout` and `gold/experiment_looks`."""
    return {
        "campaigns": [
            {**each, "picture": charts.offer_effects(each["overall"], each["told"])}
            for each in campaigns(m.effects, m.titles)
        ],
        "weekly": None
        if m.looks.empty
        else {**weekly(m.looks), "picture": charts.weekly_looks(m.looks)},
        "next_month": next_month(m.month),
        "horizon": words.counted(m.settings.experiment.horizon_days, "day"),
    }


def message(m: Material) -> str:
    """The one message of the chapter: what the latest campaign brought."""
    if m.effects.empty:
        return "Nothing is known yet of what offers did"
    latest = m.effects[m.effects["campaign"] == m.effects["campaign"].max()]
    month = words.month_name(str(latest["campaign"].iloc[0]))
    overall = latest[latest["segment"] == EVERYBODY]
    if (overall["verdict"].isin((judging.WORSE, judging.HARM))).any():
        return f"Some of what was offered in {month} did harm"
    better = overall[overall["verdict"] == judging.BETTER]
    if len(better):
        goals = list(dict.fromkeys(_TITLES[name] for name in better["metric"]))
        return f"The offers of {month} brought more: {words.listed(goals)}"
    if bool(overall["peek"].any()):
        return f"It is too early to say what the offers of {month} did"
    return f"No effect of the offers of {month} is shown"


def campaigns(effects: pd.DataFrame, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """What each campaign did, the latest first; `titles` are those of the perks.

    `overall` are its rows over all customers, `told` what the comparisons worth telling are called.
    """
    return [
        _campaign(name, rows, titles)
        for name, rows in sorted(effects.groupby("campaign"), reverse=True)
    ]


def comparisons(read: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, str]:
    """The comparisons of a campaign in words, by name: all offers first, then single perks."""
    found = {
        INVITED: "All written to, against nobody",
        ARMS: "Own perk, against control offer",
    }
    names = list(dict.fromkeys(read["comparison"]))
    others = {NO_OFFER: "nothing", **titles}
    perks = {
        f"{one} against {other}": f"{title}, against {name.lower()}"
        for one, title in titles.items()
        for other, name in others.items()
    }
    return {
        name: {**found, **perks}.get(name, name)
        for name in sorted(
            names, key=lambda name: (name != INVITED, name != ARMS, _is_of_perks(name), name)
        )
    }


def _is_of_perks(comparison: str) -> bool:
    """Whether two perks are compared with each other."""
    return comparison not in (INVITED, ARMS) and not comparison.endswith(f" against {NO_OFFER}")


def _campaign(name: str, rows: pd.DataFrame, titles: Mapping[str, str]) -> dict[str, Any]:
    overall = rows[rows["segment"] == EVERYBODY]
    labels = comparisons(rows, titles)
    # Ten pairs of five perks of which nothing is shown would hide what is.
    clear = set(overall.loc[overall["verdict"].isin(_CLEAR), "comparison"])
    told = {name: said for name, said in labels.items() if name in clear or not _is_of_perks(name)}
    pairs = len(labels) > len(told)
    enough = rows[["customers_one", "customers_other"]].min(axis=1) >= FEWEST
    parts = rows[(rows["segment"] != EVERYBODY) & enough & rows["verdict"].isin(_CLEAR)]
    return {
        "month": words.month_name(name),
        "peek": bool(rows["peek"].any()),
        "until": f"{pd.Timestamp(rows['read_until'].max()):%d %B %Y}",
        "sentences": [
            f"{labels[comparison]}: {_summary(each)}"
            for comparison, each in _grouped(overall, told)
        ]
        + ["No other difference between two perks that were drawn is shown."] * pairs,
        "overall": overall,
        "told": told,
        "rows": [
            (labels[comparison], [_row(row) for _, row in each.iterrows()])
            for comparison, each in _grouped(overall, labels)
        ],
        "segments": [
            f"{called(str(row['segment']))}, {labels[row['comparison']].lower()}: "
            f"{_TITLES[row['metric']]}. {row['in_words']}"
            for _, row in parts.iterrows()
        ],
    }


def _grouped(rows: pd.DataFrame, labels: dict[str, str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each comparison in its order, with those of the metrics in theirs."""
    ordered = rows.assign(place=rows["metric"].map(_PLACES)).sort_values("place")
    return [(name, ordered[ordered["comparison"] == name]) for name in labels]


def _summary(rows: pd.DataFrame) -> str:
    """What a comparison shows: what is beyond chance, or the first goal, which is not."""
    clear = rows[rows["verdict"].isin(_CLEAR)]
    shown = clear if len(clear) else rows.head(1)
    return " ".join(f"{_TITLES[row['metric']]}: {row['in_words']}" for _, row in shown.iterrows())


def _row(row: pd.Series) -> dict[str, Any]:
    symbol, css = _LOOKS.get(row["verdict"], ("?", "not-tested"))
    rate = row["kind"] == "rate"
    return {
        "metric": _TITLES[row["metric"]],
        "customers": f"{row['customers_one']:,} / {row['customers_other']:,}",
        "one": words.percent(row["one"], 1) if rate else words.decimal(row["one"]),
        "other": words.percent(row["other"], 1) if rate else words.decimal(row["other"]),
        "p_holm": words.decimal(row["p_holm"], 3),
        "verdict": {"name": row["verdict"], "symbol": symbol, "css": css},
        "in_words": row["in_words"],
    }


def weekly(looks: pd.DataFrame) -> dict[str, Any]:
    """The looks at the experiment in words; `looks` is not empty."""
    last = looks[looks["week"] == looks["week"].max()]
    decision, week = str(last["decision"].iloc[0]), int(last["week"].iloc[0])
    said = f"After week {week} the rule says: {decision}."
    if decision != GO_ON:
        said = f"The look of week {int(last['stopped_in'].iloc[0])} decided: {decision}."
    return {
        "said": said,
        "goals": [
            f"{BY_NAME[row['metric']].title}: {row['in_words']}"
            for _, row in last[last["role"] == "goal"].iterrows()
        ],
    }
