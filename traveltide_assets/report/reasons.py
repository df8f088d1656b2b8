"""Why a perk suits a segment or a customer, in sentences that the features bear out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from traveltide_assets.catalogue.perks import StoredPerk, alternatives
from traveltide_assets.report import phrases
from traveltide_assets.segmentation.naming import LABELS


def of_segment(perk: StoredPerk, peers: pd.DataFrame, features: pd.DataFrame) -> list[str]:
    """A sentence for each feature of the perk with a segment mean that supports it."""
    return [
        phrases.of_segment(name, peers[name].mean(), features[name].mean())
        for name, weight in perk.features.items()
        if _speaks(name, weight, peers[name].mean(), features[name].mean())
    ]


def of_customer(perk: StoredPerk, values: pd.DataFrame, decided_by: str) -> list[str]:
    """Sentences about the customer, then about the segment if only that supports the perk.

    `values` has a row per feature: the customer's value, and the means of segment and cohort. Where
    no habit speaks for the perk, it is `decided_by` alone, the strategy's own reason.
    """
    own, shared = [], []
    for name, weight in perk.features.items():
        customer, segment, cohort = values.loc[name, ["customer", "segment", "cohort"]]
        if _speaks(name, weight, customer, cohort):
            own.append(phrases.of_customer(name, customer, segment, cohort))
        elif _speaks(name, weight, segment, cohort):
            shared.append(phrases.of_segment(name, segment, cohort))
    lines = [" ".join(own)] if own else []
    if shared and own:
        lines.append(f"The customers in the segment also point to it. {' '.join(shared)}")
    elif shared:
        lines.append(
            "The customer's own behaviour does not point to it, but the behaviour "
            f"of the segment does. {' '.join(shared)}"
        )
    return lines or [f"Past habits say nothing for it. What decided: {labelled(decided_by)}."]


def labelled(reason: str) -> str:
    """A strategy's reason with the features by their labels instead of their names."""
    return re.sub(r"\w+", lambda word: LABELS.get(word[0], word[0]), reason)


def ranked(
    perks: Mapping[str, StoredPerk], given: Iterable[str], mine: pd.Series
) -> tuple[list[StoredPerk], list[StoredPerk]]:
    """The perks that the strategy can give, then the others, the highest affinity first in each.

    `given` are the perks that customers have, `mine` is a row of `perk_assignments`.
    """
    can_be_given = set(alternatives(perks.values(), given))
    ordered = sorted(perks.values(), key=lambda perk: -float(mine[f"affinity_{perk.id}"]))
    return (
        [perk for perk in ordered if perk.id in can_be_given],
        [perk for perk in ordered if perk.id not in can_be_given],
    )


def _speaks(name: str, weight: float, value: float, cohort: float) -> bool:
    """Whether a value, as displayed, differs from the cohort's mean in the perk's favour."""
    differs = phrases.number(name, value) != phrases.number(name, cohort)
    return differs and (value - cohort) * weight > 0
