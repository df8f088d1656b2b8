"""What permutations give: one set of rounds for all outcomes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from traveltide_assets.evidence.lifts import Done, by_chance

CUSTOMERS, GROUPS, ROUND = 200, 3, 50


def behaviour(seed: int, effect: float) -> tuple[Done, np.ndarray]:
    """What customers did at two cuts, and groups; the first does more of it by the effect."""
    rng = np.random.default_rng(seed)
    given = rng.random((GROUPS, 2, CUSTOMERS)) < 0.3
    amount = rng.poisson(1.0 + effect * given[0]).astype(float)
    return Done(amount, rng.integers(1, 4, (2, CUSTOMERS)).astype(float)), given


def rounds(taken: list[int]) -> Iterator[np.ndarray]:
    """Twenty rounds of permutations; `taken` gets the number of each that was asked for."""
    rng = np.random.default_rng(1)
    for number in range(20):
        taken.append(number)
        yield np.stack([rng.permutation(CUSTOMERS) for _ in range(ROUND)])


def test_outcomes_that_are_asked_together_get_what_each_gets_alone() -> None:
    tested = [behaviour(2, effect=0.0), behaviour(3, effect=1.0), behaviour(4, effect=0.0)]
    together: list[int] = []
    found = by_chance(tested, rounds(together))
    alone: list[list[int]] = [[] for _ in tested]
    for each, given, taken in zip(found, tested, alone, strict=True):
        assert by_chance([given], rounds(taken)) == [each]
    # What chance reaches often ends early, and nobody draws more than the one that needs most.
    assert len(alone[0]) < len(alone[1]) == 20
    assert len(together) == 20


def test_nothing_to_ask_draws_no_permutation() -> None:
    taken: list[int] = []
    assert by_chance([], rounds(taken)) == []
    assert taken == []


def test_amounts_in_another_unit_give_the_same_lifts() -> None:
    done, given = behaviour(5, effect=0.5)
    (whole,) = by_chance([(done, given)], rounds([]))
    # Halves are exact in double precision, and whole numbers in single precision as well.
    (halves,) = by_chance([(Done(done.amount / 2, done.chances), given)], rounds([]))
    assert halves == whole
    (thirds,) = by_chance([(Done(done.amount / 3, done.chances), given)], rounds([]))
    assert [chance.mean for chance in thirds] == pytest.approx([chance.mean for chance in whole])
