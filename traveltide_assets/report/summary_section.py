"""The report's executive summary: the perks, how many customers get each, and what holds up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traveltide_assets.evidence.tables import CONTRADICTED, NOT_TRIED, SUPPORTED
from traveltide_assets.report import verdicts, words
from traveltide_assets.report.material import Material
from traveltide_assets.report.scorecard_section import recommended, row_of
from traveltide_assets.report.verdicts import Verdict
from traveltide_assets.transforms.features.config import Policy


@dataclass(frozen=True)
class PerkRow:
    """A perk of the deciding strategy: how many customers get it, and what the evidence says."""

    title: str
    customers: int
    share: str
    width: float
    verdict: Verdict


def perk_rows(m: Material, judged: Mapping[str, Verdict]) -> list[PerkRow]:
    """The perks that customers have, or that the strategy would have given at the cut."""
    counts = m.assignments["perk"].value_counts()
    rows = [
        PerkRow(
            title=perk.title,
            customers=int(counts.get(perk.id, 0)),
            share=words.percent(counts.get(perk.id, 0) / max(len(m.assignments), 1)),
            width=float(100 * counts.get(perk.id, 0) / max(counts.max(), 1)),
            verdict=judged.get(perk.id, verdicts.not_tried()),
        )
        for perk in m.perks
        if perk.id in counts or (perk.id in judged and judged[perk.id].name != NOT_TRIED)
    ]
    return sorted(rows, key=lambda row: -row.customers)


def forbidden(policy: Policy) -> str:
    """The features that may not be used, in words; empty if there are none."""
    names = [
        words.FEATURES[name].label if name in words.FEATURES else name.replace("_", " ")
        for name in policy.forbidden_features
    ]
    return words.listed(names) if names else ""


def summary(m: Material, judged: Mapping[str, Verdict]) -> dict[str, Any]:
    """The executive summary's figures."""
    given = set(m.assignments["perk"])
    holding = verdicts.supported_by(m.evidence)
    supported = [perk for perk in given if perk in judged and judged[perk].supported]
    best = recommended(m.scorecard)
    return {
        "given": len(given),
        "supported": len(supported),
        "supported_customers": int(m.assignments["perk"].isin(supported).sum()),
        "supported_anywhere": [m.titles[perk] for perk, names in holding.items() if names],
        "supported_nowhere": [m.titles[perk] for perk, names in holding.items() if not names],
        "contradicted": _titled(m, [perk for perk in given if _says(judged, perk, CONTRADICTED)]),
        "untested": sum(_says(judged, perk, NOT_TRIED) for perk in given),
        "because": str(m.choice["because"].iloc[0]),
        "best": _best(m, best[0]) if best else None,
        "best_decides": best == [m.strategy],
        "strategies": len(m.scorecard),
    }


def _says(judged: Mapping[str, Verdict], perk: str, verdict: str) -> bool:
    return judged.get(perk, verdicts.not_tried()).name == verdict


def _titled(m: Material, perks: list[str]) -> list[str]:
    return sorted(m.titles[perk] for perk in perks)


def _best(m: Material, strategy: str) -> dict[str, Any]:
    row = row_of(m.scorecard, strategy)
    return {
        "id": strategy,
        "name": m.strategies[strategy],
        "perks": words.listed(
            [
                f"{m.titles[perk].lower()} with a lift of {lift}"
                for perk, lift in _supported_lifts(m, strategy)
            ]
        ),
        "supported": int(row["supported_perks"]),
        "of": int(row["perks"]),
        "share": words.percent(row["supported_share"]),
        "stability": words.decimal(row["stability_bootstrap"]),
        "shaky": row["stability_bootstrap"] < m.settings.checks.min_stability,
    }


def _supported_lifts(m: Material, strategy: str) -> list[tuple[str, str]]:
    rows = m.evidence[(m.evidence["strategy"] == strategy) & (m.evidence["verdict"] == SUPPORTED)]
    return [(row["perk"], words.decimal(row["lift"])) for _, row in rows.iterrows()]
