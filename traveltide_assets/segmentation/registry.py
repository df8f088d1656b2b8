"""The strategies by name, in the order of the scorecard: the one place that knows all of them.

To add one, write a module with a function `build(settings, perks)` that returns a `Strategy`, and
name it here. Settings, contracts, assets, evidence, scorecard, report and docs follow. What a
strategy is called and does is said by the strategy itself; how one is written, by `strategy.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traveltide_assets.catalogue.perks import Perk
    from traveltide_assets.segmentation.strategy import Strategy
    from traveltide_assets.settings import Settings

# Modules by name, imported when strategies are built: settings need no more than the names.
MODULES = {
    "kmeans": "traveltide_assets.segmentation.kmeans",
    "kmeans_wide": "traveltide_assets.segmentation.kmeans_wide",
    "hierarchical": "traveltide_assets.segmentation.rules",
    "personas": "traveltide_assets.segmentation.rules",
    "perk_affinity": "traveltide_assets.segmentation.perk_affinity",
    "propensity": "traveltide_assets.segmentation.propensity",
}


def names() -> tuple[str, ...]:
    """The names of all strategies."""
    return tuple(MODULES)


def build_strategies(settings: Settings, perks: tuple[Perk, ...]) -> dict[str, Strategy]:
    """Every strategy by its name, in the order of the scorecard."""
    return {
        name: import_module(module).build(name, settings, perks) for name, module in MODULES.items()
    }
