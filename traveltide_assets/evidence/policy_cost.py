"""What a policy costs: strategies with and without the features that it forbids, tried alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from traveltide_assets.evidence.backtest import judge
from traveltide_assets.evidence.tables import SUPPORTED
from traveltide_assets.evidence.trial import BackTest, Past, assign_all_from_past
from traveltide_assets.stats.side_by_side import ALONE, Processes

if TYPE_CHECKING:
    import pandas as pd

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
    processes: Processes = ALONE,
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
    allowed, every = (
        assign_all_from_past({name: each[name] for name in differing}, back_test, processes)
        for each in (strategies, free)
    )
    return {
        name: _supported_share(every[name], name, back_test, perks)
        - _supported_share(allowed[name], name, back_test, perks)
        for name in differing
    }


def _supported_share(
    given: Sequence[pd.Series], name: str, back_test: BackTest, perks: Sequence[Perk]
) -> float:
    judged, _ = judge({name: given}, back_test, perks)
    supported = judged.loc[judged["verdict"] == SUPPORTED, "perk"]
    return float(given[0].isin(supported).mean())
