"""Segments in a sentence: who they are, said with the levels of traits that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from traveltide_assets.segmentation.naming import LABELS
from traveltide_assets.segmentation.trait_levels import UNKNOWN, Levels
from traveltide_assets.transforms.features.catalogue import CATALOGUE

_OPEN = frozenset(feature.name for feature in CATALOGUE if feature.open_trips)
_MOST_PARTS = 3
Conditions = tuple[tuple[int, frozenset[int]], ...]


def sentences(
    groups: np.ndarray, sizes: np.ndarray, labels: Sequence[str], levels: Sequence[Levels]
) -> dict[str, str]:
    """A sentence on the groups (rows of levels) with each label.

    Groups that a level of a trait alone tells apart are named first. The others are divided by the
    trait that tells most of them apart. A long sentence ends with the largest parts and `others`.
    """
    named = np.asarray(labels, dtype=object)
    parts: dict[str, list[tuple[float, Conditions]]] = {}
    for label, conditions, size in _parts(groups, sizes, named, (), levels):
        needed = _needed(conditions, groups, named == label)
        parts.setdefault(label, []).append((size, needed))
    return {label: _sentence(found, levels) for label, found in parts.items()}


def of_levels(placed: np.ndarray, levels: Sequence[Levels], traits: frozenset[str]) -> str:
    """One customer's levels of some traits: `under 25, married`."""
    return ", ".join(
        _level(each, int(level))
        for each, level in zip(levels, placed, strict=True)
        if each.trait in traits
    )


def _parts(
    groups: np.ndarray,
    sizes: np.ndarray,
    labels: np.ndarray,
    conditions: Conditions,
    levels: Sequence[Levels],
) -> list[tuple[str, Conditions, float]]:
    if len(set(labels)) == 1:
        return [(str(labels[0]), conditions, float(sizes.sum()))]
    peeled = _peeled(groups, labels, levels)
    if peeled is not None:
        trait, at = peeled
        inside = np.isin(groups[:, trait], list(at))
        rest = frozenset(int(level) for level in groups[~inside, trait])
        divided = [(inside, at), (~inside, rest)]
    else:
        trait = _most_telling(groups, sizes, labels)
        divided = [
            (groups[:, trait] == level, frozenset({int(level)}))
            for level in np.unique(groups[:, trait])
        ]
    return [
        part
        for rows, at in divided
        for part in _parts(
            groups[rows], sizes[rows], labels[rows], (*conditions, (trait, at)), levels
        )
    ]


def _peeled(
    groups: np.ndarray, labels: np.ndarray, levels: Sequence[Levels]
) -> tuple[int, frozenset[int]] | None:
    """A trait and the levels at which exactly the groups with one label are; open trips first."""
    order = sorted(range(len(levels)), key=lambda i: (levels[i].trait not in _OPEN, i))
    for trait in order:
        for label in sorted(set(labels)):
            at = frozenset(int(level) for level in groups[labels == label, trait])
            if not np.isin(groups[labels != label, trait], list(at)).any():
                return trait, at
    return None


def _most_telling(groups: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> int:
    """The trait that leaves least uncertainty about the label, per customer."""
    varied = [i for i in range(groups.shape[1]) if len(set(groups[:, i])) > 1]
    return min(varied, key=lambda trait: (_uncertainty(groups[:, trait], sizes, labels), trait))


def _uncertainty(at: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for level in np.unique(at):
        inside = at == level
        counts = np.array([sizes[inside & (labels == label)].sum() for label in set(labels)])
        shares = counts[counts > 0] / counts.sum()
        total -= float(counts.sum() * (shares * np.log(shares)).sum())
    return round(total, 9)


def _needed(conditions: Conditions, groups: np.ndarray, members: np.ndarray) -> Conditions:
    """The conditions without those that no group with another label depends on."""
    kept = list(conditions)
    for condition in reversed(conditions):
        fewer = [each for each in kept if each != condition]
        if fewer and not (_meeting(fewer, groups) & ~members).any():
            kept = fewer
    return tuple(kept)


def _meeting(conditions: Sequence[tuple[int, frozenset[int]]], groups: np.ndarray) -> np.ndarray:
    """Whether each group meets all conditions."""
    met = np.ones(len(groups), dtype=bool)
    for trait, at in conditions:
        met &= np.isin(groups[:, trait], list(at))
    return met


def _sentence(parts: list[tuple[float, Conditions]], levels: Sequence[Levels]) -> str:
    """The parts, largest first; what they have in common is said once, in front."""
    ordered = [dict(conditions) for _, conditions in sorted(parts, key=lambda part: -part[0])]
    first, *others = ordered
    common = {t: at for t, at in first.items() if all(o.get(t) == at for o in others)}
    said = list(
        dict.fromkeys(
            _part({t: at for t, at in each.items() if t not in common}, levels) for each in ordered
        )
    )
    if len(said) > _MOST_PARTS:
        said = [*said[: _MOST_PARTS - 1], "others"]
    joint = "; or " if any(", " in part for part in said) else " or "
    whole, divided = _part(common, levels), joint.join(filter(None, said))
    text = ": ".join(filter(None, [whole, divided])) or "everybody else"
    return text[:1].upper() + text[1:]


def _part(conditions: Mapping[int, frozenset[int]], levels: Sequence[Levels]) -> str:
    """The conditions in the order of the traits. That there is no open trip goes without saying."""
    return ", ".join(
        " or ".join(_level(levels[trait], level) for level in sorted(at))
        for trait, at in sorted(conditions.items())
        if not (levels[trait].trait in _OPEN and at == frozenset({0}))
    )


def _level(each: Levels, level: int) -> str:
    return f"{LABELS[each.trait]} unknown" if level == UNKNOWN else each.words[level]
