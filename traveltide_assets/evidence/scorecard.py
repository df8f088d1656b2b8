"""The scorecard: all strategies compared on size, separation, stability, agreement and evidence."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_rand_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)

from traveltide_assets.evidence import reliability
from traveltide_assets.evidence.decision import Offers
from traveltide_assets.evidence.tables import AGREEMENT, CONTRADICTED, SCORECARD, SUPPORTED
from traveltide_assets.segmentation.scaling import numeric, standardised
from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy
from traveltide_assets.stats.side_by_side import ALONE, Processes
from traveltide_assets.stats.silhouette import distances_to, silhouette

_OUTLIERS = 0.01
_SCORED_ROWS = 4_000


def common_space(features: pd.DataFrame) -> np.ndarray:
    """All numeric features, winsorised and standardised: one space for all strategies.

    One row per customer, in the order of `features`; the unit is standard deviations.
    """
    values = numeric(features)
    low, high = values.quantile(_OUTLIERS), values.quantile(1 - _OUTLIERS)
    return standardised(values.clip(low, high, axis=1)).to_numpy()


@dataclass(frozen=True)
class ScoredSample:
    """The customers on which the separation of every strategy is measured.

    `rows` are their positions in the cohort, `points` their coordinates in the common space, and
    `distances` the distances to each of them from all.
    """

    rows: np.ndarray
    points: np.ndarray
    distances: np.ndarray

    @classmethod
    def of(cls, features: pd.DataFrame, seed: int) -> ScoredSample:
        """At most `_SCORED_ROWS` customers, drawn by the seed."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(features))[:_SCORED_ROWS])
        points = common_space(features)[rows]
        return cls(rows, points, distances_to(points))

    def separation(self, segments: pd.Series) -> dict[str, float]:
        """Silhouette and Davies-Bouldin index of a segmentation; NaN for a single segment."""
        labels = segments.to_numpy()[self.rows]
        if not 1 < len(np.unique(labels)) < len(labels):
            return {"silhouette": float("nan"), "davies_bouldin": float("nan")}
        return {
            "silhouette": silhouette(self.distances, labels),
            "davies_bouldin": float(davies_bouldin_score(self.points, labels)),
        }


def separations(
    features: pd.DataFrame, segments: Mapping[str, pd.Series], seed: int
) -> dict[str, dict[str, float]]:
    """How far the segments of each strategy lie apart, on the same customers."""
    sample = ScoredSample.of(features, seed)
    return {name: sample.separation(each) for name, each in segments.items()}


@dataclass(frozen=True)
class Measured:
    """What takes fits, by strategy.

    `twice` is the result of `reliability.twice`. `stability` is the adjusted Rand index of the
    segments with refits: on bootstrap draws, the same for all strategies, and with another seed;
    NaN if the strategy cannot be fitted then. Those without segments have only `twice`.
    """

    twice: Mapping[str, pd.DataFrame]
    separation: Mapping[str, Mapping[str, float]]
    stability: Mapping[str, Mapping[str, float]]


def measure(
    strategies: Mapping[str, Strategy],
    history: History,
    halves: pd.DataFrame,
    segments: Mapping[str, pd.Series],
    seed: int,
    refits: int,
    processes: Processes = ALONE,
) -> Measured:
    """Fit all strategies again and again. `segments` are those of the strategies that have any."""
    rng = np.random.default_rng(seed)
    customers = len(history.features)
    draws = [
        (rng.integers(0, customers, customers), int(rng.integers(2**31))) for _ in range(refits)
    ]
    again = [
        (_agreement, strategies[name].reseeded(other), history, before, rows)
        for name, before in segments.items()
        for rows, other in [*draws, (None, seed + 1)]
    ]
    halved = [(reliability.twice, each, history, halves) for each in strategies.values()]
    apart = (separations, history.features, segments, seed)
    separation, *found = processes.each(operator.call, [apart, *halved, *again], rows=customers)
    twice, agreed = found[: len(halved)], found[len(halved) :]
    by_strategy = zip(segments, np.reshape(agreed, (len(segments), refits + 1)), strict=True)
    return Measured(
        dict(zip(strategies, twice, strict=True)),
        separation,
        {
            name: {
                "stability_bootstrap": float(np.mean(refitted[:-1])),
                "stability_seed": float(refitted[-1]),
            }
            for name, refitted in by_strategy
        },
    )


def _agreement(
    strategy: Strategy, history: History, segments: pd.Series, rows: np.ndarray | None
) -> float:
    """The adjusted Rand index of segments with those of a fit on drawn customers, or on all."""
    try:
        fitted = strategy.fit(history if rows is None else _drawn(history, rows))
    except CannotFit:
        return float("nan")
    again = fitted.assign(history.features)
    # As numbers, because comparing names takes ten times as long.
    return float(adjusted_rand_score(*(pd.factorize(s)[0] for s in (segments, again["segment"]))))


def persistence(now: pd.DataFrame, before: pd.DataFrame | None) -> float:
    """Share of the customers of both months who stayed in their segment; NaN without any.

    Segments of the two months are matched so that most customers stay. A renamed segment therefore
    counts as the same one.
    """
    if before is None:
        return float("nan")
    both = now.merge(before, on="user_id", suffixes=("", "_before"), validate="one_to_one")
    moved = pd.crosstab(both["segment_before"], both["segment"]).to_numpy()
    stayed = moved[linear_sum_assignment(moved, maximize=True)].sum()
    return float(stayed / len(both)) if len(both) else float("nan")


def score(
    strategies: Sequence[Strategy],
    offers: Mapping[str, Offers],
    measured: Measured,
    evidence: pd.DataFrame,
    tried: pd.DataFrame,
    decision: pd.DataFrame,
    costs: Mapping[str, float],
    cohort: int,
) -> pd.DataFrame:
    """One row per strategy: the scorecard.

    `offers` are the segments of each strategy, `tried` the perks that the back-test gave, and
    `decision` the result of `decision.decide`, which says what each strategy is worth. `costs` is
    what the policy costs those that would use forbidden features. `cohort` is its customers.
    """
    worth = decision.set_index("strategy")[["worth", "recommended"]]
    rows = []
    for strategy in strategies:
        offered = offers[strategy.name]
        customers = offered.customers
        if customers.empty:
            rows.append(_nobody(strategy))
            continue
        shares = customers["segment"].value_counts(normalize=True)
        found = evidence[evidence["strategy"] == strategy.name].set_index("verdict")["perk"]
        supported, contradicted = (
            pd.Index(found[found.index == verdict]) for verdict in (SUPPORTED, CONTRADICTED)
        )
        rows.append(
            {
                "strategy": strategy.name,
                "description": strategy.description,
                "coverage": len(customers) / cohort,
                "segments": len(shares),
                "smallest_share": float(shares.min()),
                "largest_share": float(shares.max()),
                **measured.separation[strategy.name],
                **measured.stability[strategy.name],
                "persistence": persistence(customers, offered.before),
                "perk_persistence": perk_persistence(customers, offered.before),
                **reliability.agreement(offered.twice),
                "perks": int(customers["perk"].nunique()),
                "supported_perks": len(supported),
                "contradicted_perks": len(contradicted),
                "supported_share": float(customers["perk"].isin(supported).mean()),
                "contradicted_share": float(customers["perk"].isin(contradicted).mean()),
                "untried_share": untried(customers, tried[tried["strategy"] == strategy.name]),
                "policy_cost": costs.get(strategy.name, float("nan")),
            }
        )
    table = pd.DataFrame(rows).join(worth, on="strategy")
    return table.reindex(columns=[*SCORECARD.column_names])


def perk_persistence(now: pd.DataFrame, before: pd.DataFrame | None) -> float:
    """Share of the customers of both months who kept their perk; NaN without any."""
    if before is None:
        return float("nan")
    both = now.merge(before, on="user_id", suffixes=("", "_before"), validate="one_to_one")
    return float((both["perk"] == both["perk_before"]).mean()) if len(both) else float("nan")


def untried(customers: pd.DataFrame, tried: pd.DataFrame) -> float:
    """Share of customers in the back-test whose perk of today it gave them at no cut.

    What the evidence says of a perk was then measured on others. NaN without a back-test.
    """
    known = customers[customers["user_id"].isin(tried["user_id"])]
    if known.empty:
        return float("nan")
    same = known.merge(tried[["user_id", "perk"]].drop_duplicates(), on=["user_id", "perk"])
    return float(1 - len(same) / len(known))


def _nobody(strategy: Strategy) -> dict[str, object]:
    """The row of a strategy that has too little history to assign any perk."""
    counts = ("segments", "perks", "supported_perks", "contradicted_perks")
    return {
        "strategy": strategy.name,
        "description": strategy.description,
        "coverage": 0.0,
        **dict.fromkeys(counts, 0),
        "supported_share": 0.0,
        "contradicted_share": 0.0,
    }


def agreement(assigned: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per pair of strategies: how far their segments and perks agree."""
    # Segments as numbers: comparing names for every pair takes longer than all the rest.
    coded = {
        name: customers.astype({"segment": "category"}).assign(
            segment=lambda frame: frame["segment"].cat.codes
        )[["user_id", "segment", "perk"]]
        for name, customers in assigned.items()
        if len(customers)
    }
    rows = []
    for one, other in combinations(coded, 2):
        both = coded[one].merge(coded[other], on="user_id", validate="one_to_one")
        segments = both["segment_x"], both["segment_y"]
        rows.append(
            {
                "strategy": one,
                "other": other,
                "adjusted_rand_index": float(adjusted_rand_score(*segments)),
                "normalized_mutual_information": float(normalized_mutual_info_score(*segments)),
                "same_perk_share": float((both["perk_x"] == both["perk_y"]).mean()),
            }
        )
    return pd.DataFrame(rows, columns=list(AGREEMENT.column_names))


def _drawn(history: History, rows: np.ndarray) -> History:
    """The customers at these places, the same in every frame; each copy gets its own id."""
    users = history.features["user_id"].to_numpy()[rows]

    def draw(frame: pd.DataFrame) -> pd.DataFrame:
        at = pd.Index(frame["user_id"]).get_indexer(users)
        known = np.flatnonzero(at >= 0)
        drawn = frame.take(at[known]).reset_index(drop=True)
        return drawn.assign(user_id=known)

    return History(
        draw(history.features),
        None if history.earlier is None else draw(history.earlier),
        None if history.outcomes is None else draw(history.outcomes),
    )
