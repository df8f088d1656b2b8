"""The registry of strategies by name, in the order of the scorecard.

To add a strategy, write a module with a function `build(name, settings, perks)` that returns a
`Strategy`, and add the module here. Settings, contracts, assets, evidence, scorecard, report and
docs read this registry. Each strategy declares its own title and description; the interface is in
`strategy.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from traveltide_assets.catalogue.perks import PerksMissing

if TYPE_CHECKING:
    from traveltide_assets.catalogue.perks import Perk
    from traveltide_assets.segmentation.strategy import Strategy
    from traveltide_assets.settings import Settings

# Modules are imported only when strategies are built, because the settings need only the names.
MODULES = {
    "kmeans": "traveltide_assets.segmentation.kmeans",
    "kmeans_wide": "traveltide_assets.segmentation.kmeans_wide",
    "hierarchical": "traveltide_assets.segmentation.rule_groups",
    "personas": "traveltide_assets.segmentation.rule_groups",
    "perk_affinity": "traveltide_assets.segmentation.perk_affinity",
    "propensity": "traveltide_assets.segmentation.propensity",
}

_DRAWN = "kmeans"


def names() -> tuple[str, ...]:
    """The names of all strategies."""
    return tuple(MODULES)


def build_strategies(settings: Settings, perks: tuple[Perk, ...]) -> dict[str, Strategy]:
    """Every strategy by its name, in the order of the scorecard.

    One whose perks are not all in the catalogue is left out. `PerksMissing` if it
    is the one that decides, the one to fall back to, or k-means, whose segments the report draws.
    """
    built, left_out = _tried(settings, perks)
    for name, problem in left_out.items():
        decides = settings.strategy if settings.strategy in MODULES else settings.evidence.fallback
        if name in (decides, _DRAWN):
            raise problem
    return built


def left_out(settings: Settings, perks: tuple[Perk, ...]) -> dict[str, str]:
    """The strategies that are left out, because the catalogue lacks perks of theirs, and why."""
    return {name: str(problem) for name, problem in _tried(settings, perks)[1].items()}


def _tried(
    settings: Settings, perks: tuple[Perk, ...]
) -> tuple[dict[str, Strategy], dict[str, PerksMissing]]:
    built, missing = {}, {}
    for name, module in MODULES.items():
        try:
            built[name] = import_module(module).build(name, settings, perks)
        except PerksMissing as problem:
            missing[name] = problem
    return built, missing
