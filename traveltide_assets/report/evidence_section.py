"""The report's section on the evidence: the back-test of every perk of every strategy."""

from __future__ import annotations

from typing import Any

from traveltide_assets.report import verdicts, words
from traveltide_assets.report.material import Material


def cuts(m: Material) -> dict[str, Any]:
    """The cuts at which perks were tried, and whether they are as many as the settings ask for."""
    tried = sorted(m.by_cut["cut"].unique())
    wanted = m.settings.evidence.cuts
    return {
        "days": words.listed([words.last_day(cut) for cut in tried]),
        "count": len(tried),
        "wanted": wanted,
        "fewer": len(tried) < wanted,
    }


def evidence(m: Material) -> list[tuple[str, list[dict[str, Any]]]]:
    """Every strategy with its perks and their verdicts."""
    return [
        (m.strategies[name], _evidence_rows(m, name))
        for name in m.scorecard["strategy"]
        if (m.evidence["strategy"] == name).any()
    ]


def _evidence_rows(m: Material, strategy: str) -> list[dict[str, Any]]:
    judged = verdicts.of_strategy(m.evidence, strategy)
    by_cut = m.by_cut[m.by_cut["strategy"] == strategy].sort_values("cut")
    given = set(m.assignments["perk"]) if strategy == m.strategy else set()
    return [
        {
            "perk": m.titles[row["perk"]],
            "given": row["perk"] in given or not given,
            "customers": f"{row['customers']:,}",
            "at_cuts": ", ".join(
                f"{words.month_name(each['cut'])[:3]} {words.decimal(each['lift'])}"
                for _, each in by_cut[by_cut["perk"] == row["perk"]].iterrows()
            ),
            "detectable": words.decimal(row["detectable_lift"]),
            "outcome": words.OUTCOME_NAMES[row["outcome"]],
            "mean": words.outcome(row["outcome"], row["mean"]),
            "mean_others": words.outcome(row["outcome"], row["mean_others"]),
            "lift": words.decimal(row["lift"]),
            "interval": words.interval(row["lift_low"], row["lift_high"]),
            "activity": words.decimal(row["lift_by_activity"]),
            "chance": words.decimal(row["p_holm"], 3),
            "verdict": judged[row["perk"]],
        }
        for _, row in m.evidence[m.evidence["strategy"] == strategy].iterrows()
    ]


def signals(m: Material) -> list[dict[str, str]]:
    return [
        {
            "perk": m.titles[row["perk"]],
            "customers": f"{row['strong_customers']:,}",
            "share": words.percent(row["strong_share"]),
            "twin": m.titles.get(row["most_redundant_with"], words.NONE),
            "correlation": words.decimal(row["rank_correlation"]),
        }
        for _, row in m.signals.iterrows()
    ]
