"""Perks drawn at random: for whom, which one, and with which probability.

All draws are salted hashes of the customer, so they are the same next month, whatever the order of
rows and whoever else there is. Each perk that a customer is eligible for has a waiting time drawn
from an exponential distribution with the perk's weight as its rate; the shortest wins. So a perk
wins with its share of the weights, and a customer keeps it as long as they are eligible for it,
unless they become eligible for one with a shorter time.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from traveltide_assets.campaign.config import Exploration
from traveltide_assets.catalogue.perks import NO_OFFER, Perk
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.stats import bucketing


class ExplorationError(SettingsError):
    """Perks cannot be drawn as configured; the message says what to change."""


def check_weights(perks: Iterable[Perk], config: Exploration) -> None:
    """`ExplorationError` if a weight is that of no perk in the catalogue."""
    known = [perk.id for perk in perks]
    if unknown := sorted(set(config.weights) - set(known)):
        raise ExplorationError(
            f"exploration.weights: {', '.join(unknown)} not in the perk catalogue; choose from "
            f"{', '.join(known)}"
        )


def explores(users: pd.Series, config: Exploration) -> np.ndarray:
    """Whether the perk of each customer is drawn at random, if they are written to."""
    # The suffix keeps the draw apart from others, whatever their salts.
    return bucketing.draws(users, f"{config.salt}:share") < config.share


def probabilities(eligible: pd.DataFrame, config: Exploration) -> pd.DataFrame:
    """The probability with which each customer (row) gets each perk (column).

    They add up to 1, or to 0 for a customer who is eligible for none.
    """
    if eligible.columns.empty:
        raise ExplorationError(
            f"exploration.weights names no perk that may be offered: {', '.join(config.weights)}"
        )
    weights = [config.weights[perk] if config.weights else 1.0 for perk in eligible]
    chances = eligible.to_numpy() * np.asarray(weights, dtype="float64")
    total = chances.sum(axis=1, keepdims=True)
    shares = np.divide(chances, total, out=np.zeros_like(chances), where=total > 0)
    return pd.DataFrame(shares, index=eligible.index, columns=eligible.columns)


def drawn(users: pd.Series, chances: pd.DataFrame, config: Exploration) -> np.ndarray:
    """The perk of each customer, `NO_OFFER` for those who are eligible for none."""
    waits = np.full(chances.shape, np.inf)
    for place, perk in enumerate(chances):
        rates = chances[perk].to_numpy()
        open_to = rates > 0
        uniform = bucketing.draws(users[open_to], f"{config.salt}:{perk}")
        waits[open_to, place] = -np.log1p(-uniform) / rates[open_to]
    perks = np.array([*chances, NO_OFFER], dtype=object)
    nothing = np.isinf(waits).all(axis=1)
    return perks[np.where(nothing, len(perks) - 1, waits.argmin(axis=1))]
