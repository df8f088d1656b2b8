"""What a policy costs: strategies with and without the features that it forbids, tried alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from traveltide_assets.evidence.backtest import BackTest, Past, assign_from_past, judge
from traveltide_assets.evidence.tables import SUPPORTED

if TYPE_CHECKING:
    from traveltide_assets.catalogue.perks import Perk
    from traveltide_assets.evidence.config import Config
    from traveltide_assets.segmentation.strategy import Strategy


def policy_costs(
    strategies: Mapping[str, Strategy],
    free: Mapping[str, Strategy],
    past: Past,
    perks: Sequence[Perk],
    config: Config,
    seed: int,
) -> dict[str, float]:
    """By strategy, the share of customers with a supported perk that the policy costs.

    `free` are the strategies as they would be if nothing were forbidden. Each is tried at the cut
    of `past`, alone in its family of tests, with and without the forbidden features; the cost is
    the share with them minus the share without. Strategies that would not use any are left out, and
    so are those that cannot do without.
    """
    differing = [
        name
        for name, strategy in strategies.items()
        if name in free and free[name].inputs != strategy.inputs
    ]
    if not differing or past.earlier.empty:
        return {}
    back_test = BackTest.prepare([past], config, seed)
    return {
        name: _supported_share(free[name], back_test, perks)
        - _supported_share(strategies[name], back_test, perks)
        for name in differing
    }


def _supported_share(strategy: Strategy, back_test: BackTest, perks: Sequence[Perk]) -> float:
    given = assign_from_past(strategy, back_test)
    judged, _ = judge({strategy.name: given}, back_test, perks)
    supported = judged.loc[judged["verdict"] == SUPPORTED, "perk"]
    return float(given[0].isin(supported).mean())
