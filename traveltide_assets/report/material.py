"""What the report is made of: a month's frames and the settings they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from traveltide_assets.catalogue.perks import Perk, titles
from traveltide_assets.evidence.decision import deciding
from traveltide_assets.prediction import model_card
from traveltide_assets.prediction.model_card import ModelCard
from traveltide_assets.settings import Settings

_FRAMES = {
    "features": "gold/user_features",
    "assignments": "gold/perk_assignments",
    "places": "gold/segments/kmeans",
    "diagnostics": "gold/kmeans_diagnostics",
    "scorecard": "gold/segmentation_scorecard",
    "agreement": "gold/strategy_agreement",
    "evidence": "gold/perk_evidence",
    "by_cut": "gold/perk_evidence_by_cut",
    "choice": "gold/strategy_decision",
    "signals": "gold/perk_signals",
    "dbscan": "gold/dbscan_trial",
    "exploration": "gold/exploration",
    "plan": "gold/experiment_plan",
    "readout": "gold/experiment_readout",
    "changes": "gold/campaign_changes",
    "looks": "gold/experiment_looks",
    "effects": "gold/campaign_readout",
    "policies": "gold/policy_scorecard",
    "curve": "gold/budget_curve",
}
_CARD = {
    "candidate": "gold/perk_predictor_candidate",
    "serving": "gold/perk_predictor",
    "decision": "gold/predictor_promotion",
    "lifts": "gold/predictor_lifts",
    "held_out": "gold/promotion_lifts",
    "scores": "gold/predictor_scores",
    "importance": "gold/predictor_importance",
    "confusion": "gold/predictor_confusion",
    "reliability": "gold/predictor_reliability",
}
TABLES = (*_FRAMES.values(), *_CARD.values())
"""The tables whose month the report shows, by their path in the lake."""


@dataclass(frozen=True)
class Material:
    """Everything the report is made of; the contracts describe the frames.

    `strategies` are what the strategies are called, by name and in the order of the scorecard.
    `before` holds last month's segments by the strategy that decided then, or None if that month
    was not decided. `places` are the k-means segments, for the scatter plot. `choice` says which
    strategy decides and why. `quality` has a row per source table (see
    `quality_section.row_counts`). `campaign` is the campaign's manifest, `status` a sentence on how
    far the experiment can be read. `card` is None in a month without a model. `notice` is the
    first line of the report, if its data is generated.
    """

    month: str
    settings: Settings
    perks: tuple[Perk, ...]
    strategies: Mapping[str, str]
    features: pd.DataFrame
    assignments: pd.DataFrame
    before: pd.DataFrame | None
    places: pd.DataFrame
    diagnostics: pd.DataFrame
    scorecard: pd.DataFrame
    agreement: pd.DataFrame
    evidence: pd.DataFrame
    by_cut: pd.DataFrame
    choice: pd.DataFrame
    signals: pd.DataFrame
    dbscan: pd.DataFrame
    exploration: pd.DataFrame
    quality: pd.DataFrame
    campaign: Mapping[str, Any]
    plan: pd.DataFrame
    readout: pd.DataFrame
    changes: pd.DataFrame
    looks: pd.DataFrame
    effects: pd.DataFrame
    policies: pd.DataFrame
    curve: pd.DataFrame
    status: str
    card: ModelCard | None
    notice: str | None

    @classmethod
    def of(
        cls,
        month: str,
        settings: Settings,
        perks: tuple[Perk, ...],
        strategies: Mapping[str, str],
        frames: Mapping[str, pd.DataFrame],
        *,
        before: pd.DataFrame | None,
        quality: pd.DataFrame,
        campaign: Mapping[str, Any],
        status: str,
        notice: str | None,
    ) -> Material:
        """The material of a month, whose `frames` are keyed by table path: all of `TABLES`."""
        return cls(
            month,
            settings,
            perks,
            strategies,
            before=before,
            quality=quality,
            campaign=campaign,
            status=status,
            notice=notice,
            card=model_card.build(**{name: frames[path] for name, path in _CARD.items()}),
            **{name: settings.policy.permitted(frames[path]) for name, path in _FRAMES.items()},
        )

    @property
    def strategy(self) -> str:
        """The strategy that decided."""
        return str(self.assignments["strategy"].iloc[0])

    @property
    def in_scorecard(self) -> str:
        """The strategy whose segments these are: that which decided, or what the policy refines."""
        return deciding(self.choice)

    @property
    def titles(self) -> dict[str, str]:
        """What the perks are called, by their ids."""
        return titles(self.perks)
