"""The registry of strategies by name, in the order of the scorecard.

To add a strategy, write a module with a function `build(name, settings, perks)` that returns a
`Strategy`, and add the module here. Settings, contracts, assets, evidence, scorecard, report and
docs read this registry. Each strategy declares its own title and description; the interface is in
`strategy.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from traveltide_assets.catalogue.perks import PerksMissing, load_perks
from traveltide_assets.schema.errors import SettingsError, TravelTideError
from traveltide_assets.transforms.features.config import Policy

if TYPE_CHECKING:
    from traveltide_assets.catalogue.perks import Perk
    from traveltide_assets.segmentation.strategy import Strategy
    from traveltide_assets.settings import Settings

# Modules are imported only when strategies are built, because the settings need only the names.
MODULES = {
    "kmeans": "traveltide_assets.segmentation.kmeans",
    "kmeans_wide": "traveltide_assets.segmentation.kmeans_wide",
    "perk_affinity": "traveltide_assets.segmentation.perk_affinity",
    "propensity": "traveltide_assets.segmentation.propensity",
    "traits": "traveltide_assets.segmentation.traits",
    # Published works on this case, rebuilt to be compared with: docs/analyst/published.md.
    "published_kmeans": "traveltide_assets.segmentation.published_kmeans",
    "six_groups": "traveltide_assets.segmentation.rule_groups",
    "five_personas": "traveltide_assets.segmentation.rule_groups",
    "seven_segments": "traveltide_assets.segmentation.seven_segments",
}

RENAMED = {"hierarchical": "six_groups", "personas": "five_personas"}
"""Strategies of earlier versions, by name, with those that replace them."""

_DRAWN = "kmeans"


class ForbiddenFeature(SettingsError):
    """A strategy cannot do without a feature that may not be used. The message names it."""


def names() -> tuple[str, ...]:
    """The names of all strategies."""
    return tuple(MODULES)


def build_strategies(settings: Settings, perks: tuple[Perk, ...]) -> dict[str, Strategy]:
    """Every strategy by its name, in the order of the scorecard.

    One whose perks are not all in the catalogue, or whose rules use a forbidden feature, is left
    out. `PerksMissing` or `ForbiddenFeature` if it is the one that decides, the one to fall back
    to, or k-means, whose segments the report draws.
    """
    built, left_out = _tried(settings, perks)
    for name, problem in left_out.items():
        decides = settings.strategy if settings.strategy in MODULES else settings.evidence.fallback
        if name in (decides, _DRAWN):
            raise problem
    return built


def unrestricted(settings: Settings) -> dict[str, Strategy]:
    """The strategies as they would be if no feature were forbidden, to see what that costs."""
    free = settings.model_copy(update={"policy": Policy(forbidden_features=())})
    return _tried(free, load_perks(settings.perks_file))[0]


def left_out(settings: Settings, perks: tuple[Perk, ...]) -> dict[str, str]:
    """The strategies that are left out, because of their perks or features, and why."""
    return {name: str(problem) for name, problem in _tried(settings, perks)[1].items()}


def _tried(
    settings: Settings, perks: tuple[Perk, ...]
) -> tuple[dict[str, Strategy], dict[str, TravelTideError]]:
    built: dict[str, Strategy] = {}
    missing: dict[str, TravelTideError] = {}
    for name, module in MODULES.items():
        try:
            built[name] = _permitted(import_module(module).build(name, settings, perks), settings)
        except (PerksMissing, ForbiddenFeature) as problem:
            missing[name] = problem
    return built, missing


def _permitted(strategy: Strategy, settings: Settings) -> Strategy:
    allowed = settings.policy.allowed(sorted(strategy.inputs))
    if forbidden := sorted(strategy.inputs - set(allowed)):
        raise ForbiddenFeature(
            f"{strategy.title} uses {', '.join(forbidden)}, which policy.forbidden_features does "
            "not allow"
        )
    return strategy
