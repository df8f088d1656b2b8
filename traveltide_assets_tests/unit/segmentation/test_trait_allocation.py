"""Perks for groups as an optimisation, tried against every possible allocation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.segmentation.trait_allocation import NOBODY, allocate


def missed(sizes: np.ndarray, perk: np.ndarray, least: np.ndarray, most: np.ndarray) -> float:
    """The number of customers by which the bounds are missed."""
    given_to = np.array([sizes[perk == p].sum() for p in range(len(least))])
    return float(np.maximum(least - given_to, 0).sum() + np.maximum(given_to - most, 0).sum())


def total(sizes: np.ndarray, scores: np.ndarray, perk: np.ndarray) -> float:
    return float(sum(sizes[g] * scores[g, p] for g, p in enumerate(perk) if p != NOBODY))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """A few groups, some of which may not get some perks, and bounds that may be impossible."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, perks = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    sizes = rng.integers(1, 40, groups)
    scores = np.where(rng.random((groups, perks)) < 0.7, rng.uniform(1, 2, (groups, perks)), np.nan)
    least = rng.integers(0, 20, perks).astype(float)
    return sizes, scores, least, least + rng.integers(0, 60, perks)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_every_group_gets_one_perk_it_may_get_and_no_allocation_is_better(
    problem: tuple[np.ndarray, ...],
) -> None:
    sizes, scores, least, most = problem
    found = allocate(sizes, scores, least, most)
    may = [
        [p for p in range(scores.shape[1]) if not np.isnan(row[p])] or [NOBODY] for row in scores
    ]
    assert all(perk in options for perk, options in zip(found, may, strict=True))
    every = [np.array(each) for each in product(*may)]
    fewest = min(missed(sizes, each, least, most) for each in every)
    assert missed(sizes, found, least, most) == pytest.approx(fewest, abs=1e-6)
    kept = [each for each in every if missed(sizes, each, least, most) <= fewest + 1e-6]
    best = max(total(sizes, scores, each) for each in kept)
    assert total(sizes, scores, found) == pytest.approx(best)


@given(problems(), st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_groups_does_not_matter(
    problem: tuple[np.ndarray, ...], order: object
) -> None:
    sizes, scores, least, most = problem
    rows = list(range(len(sizes)))
    order.shuffle(rows)  # type: ignore[attr-defined]
    one = allocate(sizes, scores, least, most)
    other = allocate(sizes[rows], scores[rows], least, most)
    assert list(one[rows]) == list(other)


def test_a_perk_gets_its_least_share_from_those_who_lose_least() -> None:
    scores = np.array([[1.5, 1.4], [1.5, 1.1]])
    free = allocate(np.array([10, 10]), scores, np.zeros(2), np.full(2, 20.0))
    bound = allocate(np.array([10, 10]), scores, np.array([0.0, 5.0]), np.full(2, 20.0))
    assert list(free) == [0, 0]
    assert list(bound) == [1, 0]
