"""Who gets which offer: within the limits always, exact in small cases, near the bound in large."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.experiment.learning.budget_allocation import (
    AllocationError,
    allocate,
    budget_curve,
)
from traveltide_assets.experiment.learning.scarcity import NOTHING


def case(seed: int, customers: int, offers: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 6, (customers, offers)) if seed % 2 else rng.uniform(0, 3, offers)
    values = rng.normal(0.5, 1.5, (customers, offers))
    if seed % 5 == 0:  # a few kinds of customers, all alike
        values = values[rng.integers(0, min(3, customers), customers)]
    values[rng.random(values.shape) < 0.1] = -np.inf
    return {
        "values": values,
        "costs": np.asarray(costs, dtype="float64"),
        "customer_caps": rng.integers(0, customers + 1, offers).astype("float64"),
        "cost_caps": np.where(rng.random(offers) < 0.5, np.inf, rng.uniform(0, customers, offers)),
    }


def keeps_limits(offer: np.ndarray, given: dict[str, Any], budget: float) -> bool:
    costs = np.broadcast_to(given["costs"], given["values"].shape)
    rows = np.flatnonzero(offer != NOTHING)
    cost = costs[rows, offer[rows]]
    offers = given["values"].shape[1]
    spent = np.bincount(offer[rows], cost, offers)
    counts = np.bincount(offer[rows], minlength=offers)
    return bool(
        cost.sum() <= budget
        and (spent <= given["cost_caps"] * (1 + 1e-12)).all()
        and (counts <= given["customer_caps"]).all()
        and (given["values"][rows, offer[rows]] > 0).all()
    )


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.integers(1, 120),
    st.integers(1, 5),
    st.floats(0, 1.5),
    st.sampled_from([0, 10**6]),
)
def test_no_limit_is_ever_exceeded(
    seed: int, customers: int, offers: int, share: float, exact_up_to: int
) -> None:
    given_case = case(seed, customers, offers)
    budget = share * customers
    found = allocate(**given_case, budget=budget, exact_up_to=exact_up_to)
    assert keeps_limits(found.offer, given_case, budget)
    assert found.value <= found.bound + 1e-9
    again = allocate(**given_case, budget=budget, exact_up_to=exact_up_to)
    assert (again.offer == found.offer).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 3), st.floats(0, 1.5))
def test_small_cases_are_solved_exactly(
    seed: int, customers: int, offers: int, share: float
) -> None:
    given_case = case(seed, customers, offers)
    budget = share * customers
    best = 0.0
    for chosen in product(range(-1, offers), repeat=customers):
        offer = np.array(chosen)
        if keeps_limits(offer, given_case, budget):
            rows = offer != NOTHING
            best = max(best, given_case["values"][rows, offer[rows]].sum())
    found = allocate(**given_case, budget=budget)
    assert found.exact
    assert found.value == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("kind", ["continuous", "five kinds", "own costs"])
def test_large_cases_reach_99_percent_of_the_bound(kind: str) -> None:
    rng = np.random.default_rng(3)
    customers, offers = 60_000, 9
    values = rng.gamma(1, 5, (customers, offers)) - 3
    costs = rng.uniform(1, 10, offers)
    if kind == "five kinds":
        values = rng.normal(1, 1, (5, offers))[rng.integers(0, 5, customers)]
    if kind == "own costs":
        costs = rng.lognormal(0, 1, (customers, offers))
    limits: dict[str, Any] = {
        "customer_caps": np.full(offers, 0.05 * customers),
        "cost_caps": np.full(offers, 0.2 * customers),
    }
    budget = 0.5 * customers
    found = allocate(values, costs, budget=budget, **limits)
    assert found.value >= 0.99 * found.bound
    assert keeps_limits(found.offer, {"values": values, "costs": costs, **limits}, budget)


def test_without_limits_everybody_gets_their_best_offer() -> None:
    values = np.random.default_rng(4).normal(size=(7_000, 3))
    found = allocate(values, [1.0, 1.0, 1.0])
    best = values.argmax(axis=1)
    assert (found.offer == np.where(values.max(axis=1) > 0, best, NOTHING)).all()
    assert found.value == pytest.approx(found.bound)


def test_a_larger_budget_is_never_worth_less_and_the_band_holds_the_truth() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0.5, 1, (8_000, 4))
    scores = values + rng.normal(0, 5, values.shape)
    curve = budget_curve(values, [1.0, 2.0, 3.0, 4.0], [0, 500, 2_000, 10_000], scores=scores)
    assert curve["expected"].is_monotonic_increasing
    assert (curve["cost"] <= curve["budget"]).all()
    assert curve["expected"].between(curve["low"], curve["high"]).all()
    assert curve.loc[0, "customers"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"values": np.array([[np.nan]])}, "values"),
        ({"costs": [-1.0]}, "at least 0"),
        ({"costs": [1.0, 2.0]}, "fit neither"),
        ({"budget": -1.0}, "budget"),
        ({"customer_caps": [1.0, 2.0]}, "caps"),
    ],
)
def test_limits_that_are_none_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(AllocationError, match=said):
        allocate(**({"values": np.ones((1, 1)), "costs": [1.0]} | change))  # type: ignore[arg-type]
