"""The strategies by name: the one place that knows all of them."""

from __future__ import annotations

from traveltide_assets.segmentation.affinity import AffinityStrategy
from traveltide_assets.segmentation.kmeans import KMeansStrategy
from traveltide_assets.segmentation.kmeans_wide import WideKMeans
from traveltide_assets.segmentation.perks import Perk, of_program
from traveltide_assets.segmentation.propensity import PropensityStrategy
from traveltide_assets.segmentation.rules import load_rules
from traveltide_assets.segmentation.strategy import Strategy
from traveltide_assets.settings import PACKAGE, Settings

_RULES = PACKAGE / "catalogue"


def build_strategies(settings: Settings, perks: tuple[Perk, ...]) -> dict[str, Strategy]:
    """Every strategy, in the order of the scorecard."""
    classic = of_program(perks, "classic")
    strategies: tuple[Strategy, ...] = (
        KMeansStrategy(settings.kmeans, classic),
        WideKMeans(classic).reseeded(settings.kmeans.seed),
        load_rules(_RULES / "hierarchical.toml", perks),
        load_rules(_RULES / "personas.toml", perks),
        AffinityStrategy(classic),
        PropensityStrategy(classic, settings.kmeans.seed),
    )
    return {strategy.name: strategy for strategy in strategies}
