"""Counts and averages of selected customers beside all, without telling of any small group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traveltide_assets.report import phrases
from traveltide_assets.report.dimensions import AVERAGES, DIMENSIONS, Dimension
from traveltide_assets.report.disclosure import disclosable
from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.serving.desk.decision import Decision
from traveltide_assets.serving.desk.selection import Selection


@dataclass(frozen=True)
class Group:
    """The customers of a group among those that the other dimensions' conditions select.

    `customers` is None where the group may not be shown. `share` and `whole` are of the selected
    and of all customers with a group.
    """

    group: str
    label: str
    customers: int | None
    share: float | None
    whole: float | None
    chosen: bool


def by_dimension(decision: Decision, selection: Selection) -> list[tuple[Dimension, list[Group]]]:
    """The groups of each dimension. Its own condition does not restrict it, only the others'."""
    masks = {
        key: Selection((each,)).mask(decision) for each in selection.conditions for key in [each[0]]
    }
    return [
        (
            dimension,
            _groups(
                decision,
                dimension,
                [mask for key, mask in masks.items() if key != dimension.key],
                selection.groups(dimension.key),
            ),
        )
        for dimension in DIMENSIONS
        if dimension.shown
    ]


def _groups(
    decision: Decision, dimension: Dimension, masks: Sequence[np.ndarray], chosen: Sequence[str]
) -> list[Group]:
    names, codes = decision.groups(dimension.key), decision.codes(dimension.key)
    everybody = np.bincount(codes, minlength=len(names))
    selected = everybody
    if masks:
        selected = np.bincount(codes[np.logical_and.reduce(masks)], minlength=len(names))
    shown = disclosable(selected)
    shown_whole = disclosable(everybody)
    return [
        Group(
            group=name,
            label=decision.says(dimension.key, name),
            customers=int(selected[i]) if shown[i] else None,
            share=float(selected[i] / max(selected.sum(), 1)) if shown[i] else None,
            whole=float(everybody[i] / max(everybody.sum(), 1)) if shown_whole[i] else None,
            chosen=name in chosen,
        )
        for i, name in enumerate(names)
        if everybody[i]
    ]


def averages(decision: Decision, mask: np.ndarray) -> list[tuple[str, str, str]]:
    """Label, mean of the selected and mean of all customers, of what a marketer asks about."""
    selected, everybody = decision.people.loc[mask, list(AVERAGES)].mean(), decision.averages
    return [
        (
            _sentence(LABELS[name]),
            phrases.number(name, selected[name]),
            phrases.number(name, everybody[name]),
        )
        for name in AVERAGES
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
