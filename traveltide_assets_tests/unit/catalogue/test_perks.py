"""The perk catalogue, affinities and the assignment of perks to segments."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.catalogue.perks import (
    NO_OUTCOME,
    PerkError,
    PerksMissing,
    Program,
    chosen,
    load_perks,
    of_program,
)
from traveltide_assets.segmentation.affinities import (
    affinities,
    assign,
    profiles,
    runner_up,
)
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.settings import Settings

PERKS = load_perks(Settings().perks_file)
CLASSIC = {
    "free_hotel_meal",
    "free_checked_bag",
    "no_cancellation_fees",
    "exclusive_discounts",
    "free_hotel_night_with_flight",
}
ENTRY = f"""
[[perk]]
id = "free_lunch"
title = "Free lunch"
audience = "eats"
headline = "Eat."
outcome = "{PERKS[0].outcome}"
features = {{ total_nights = 1.0 }}
"""


def best_total(affinity: np.ndarray) -> float:
    """The highest total of a one-to-one assignment, by trying every one."""
    values = affinity if affinity.shape[0] <= affinity.shape[1] else affinity.T
    rows, columns = values.shape
    return max(
        sum(values[row, column] for row, column in enumerate(chosen))
        for chosen in permutations(range(columns), rows)
    )


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        values,
        index=[f"segment {i}" for i in range(values.shape[0])],
        columns=[f"perk {i}" for i in range(values.shape[1])],
    )


SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))


@given(SHAPES)
def test_perks_go_one_to_one_to_segments_with_the_highest_total(
    shape: tuple[int, int, int],
) -> None:
    groups, perks, seed = shape
    affinity = frame(np.random.default_rng(seed).normal(size=(groups, perks)))
    perk = assign(affinity)
    own = pd.Series({group: affinity.loc[group, given] for group, given in perk.items()})
    # Of the segments that share a perk, one was matched with it and likes it most.
    assert own.groupby(perk).max().sum() == pytest.approx(best_total(affinity.to_numpy()))
    assert perk.nunique() == min(groups, perks)


@given(SHAPES)
def test_a_segment_beyond_the_perks_takes_its_best(shape: tuple[int, int, int]) -> None:
    groups, perks, seed = shape
    affinity = frame(np.random.default_rng(seed).normal(size=(groups, perks)))
    perk = assign(affinity)
    best = affinity.idxmax(axis=1)
    assert (perk != best).sum() < max(min(groups, perks), 1)
    assert (perk == best).sum() >= groups - perks


@given(SHAPES)
def test_the_order_of_the_segments_does_not_matter(shape: tuple[int, int, int]) -> None:
    groups, perks, seed = shape
    rng = np.random.default_rng(seed)
    affinity = frame(rng.normal(size=(groups, perks)))
    shuffled = affinity.iloc[rng.permutation(groups)]
    assert assign(shuffled)[affinity.index].equals(assign(affinity))


def test_the_runner_up_is_the_best_perk_besides_the_one_given() -> None:
    affinity = frame(np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]]))
    given_perks = pd.Series(["perk 1", "perk 1"], index=affinity.index)
    assert list(runner_up(affinity, given_perks)) == ["perk 0", "perk 2"]


def test_with_one_perk_only_it_is_its_own_runner_up() -> None:
    affinity = frame(np.array([[3.0], [1.0]]))
    perk = assign(affinity)
    assert list(perk) == list(runner_up(affinity, perk)) == ["perk 0", "perk 0"]


def test_affinity_is_the_weighted_mean_of_the_deviations(tmp_path: Path) -> None:
    path = tmp_path / "perks.toml"
    path.write_text(
        ENTRY.replace("total_nights = 1.0", "total_nights = 3.0, age = -1.0"), encoding="utf-8"
    )
    profile = pd.DataFrame({"total_nights": [2.0], "age": [0.5]}, index=["some"])
    found = affinities(profile, load_perks(path))
    assert found.loc["some", "free_lunch"] == pytest.approx((3 * 2.0 - 0.5) / 4)


def test_an_undefined_value_speaks_neither_for_nor_against() -> None:
    features = pd.DataFrame(dict.fromkeys(NUMERIC, 0.0), index=range(4)).assign(
        user_id=range(4), mean_nights=[1.0, 3.0, np.nan, np.nan]
    )
    profile = profiles(features, pd.Series(["few", "many", "none", "none"]))
    assert list(profile["mean_nights"].round(9)) == [-1.0, 1.0, 0.0]
    assert (profile.drop(columns="mean_nights") == 0).all(axis=None)


def test_the_catalogue_offers_the_five_perks_of_the_program() -> None:
    assert {perk.id for perk in PERKS} >= CLASSIC
    assert all(perk.title and perk.audience and perk.headline for perk in PERKS)


def test_a_perk_needs_nothing_but_an_entry_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "perks.toml"
    path.write_text(ENTRY, encoding="utf-8")
    (perk,) = load_perks(path)
    assert (perk.id, perk.features) == ("free_lunch", {"total_nights": 1.0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one perk"),
        (ENTRY + ENTRY, "ids must be unique"),
        (ENTRY.replace("total_nights", "total_knights"), "total_knights"),
        (ENTRY.replace("total_nights", "home_country"), "home_country"),
        (ENTRY.replace("1.0", "0.0"), "weights of free_lunch are zero"),
        (ENTRY.replace('title = "Free lunch"', ""), "title"),
        (ENTRY.replace("free_lunch", "Free Lunch"), "id"),
        (ENTRY.replace("{ total_nights = 1.0 }", "{}"), "features"),
        (ENTRY.replace(PERKS[0].outcome, "applause"), "applause"),
        (ENTRY + "price = 3", "price"),
        (ENTRY + 'programs = ["personas"]', "now called 'five_personas'"),
        ("[[perk]", "perks.toml"),
        ("perk = 3", "perks.toml"),
    ],
)
def test_a_catalogue_that_is_not_valid_is_refused_with_its_fault(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "perks.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PerkError) as error:
        load_perks(path)
    assert said in str(error.value)


def test_a_perk_may_say_that_no_behaviour_speaks_to_it(tmp_path: Path) -> None:
    path = tmp_path / "perks.toml"
    path.write_text(ENTRY.replace(PERKS[0].outcome, NO_OUTCOME), encoding="utf-8")
    (perk,) = load_perks(path)
    assert perk.outcome == NO_OUTCOME


def test_every_program_has_perks_and_each_of_the_classic_ones_can_be_tried() -> None:
    for program in get_args(Program):
        assert of_program(PERKS, program)
    assert all(perk.outcome != NO_OUTCOME for perk in of_program(PERKS, "classic"))


def test_chosen_perks_come_in_catalogue_order_and_missing_ones_are_named() -> None:
    found = chosen(PERKS, ["exclusive_discounts", "free_hotel_meal", "free_hotel_meal"], "Mine")
    assert [perk.id for perk in found] == ["free_hotel_meal", "exclusive_discounts"]
    with pytest.raises(PerksMissing, match="Mine needs free_lunch"):
        chosen(PERKS, ["free_lunch", "free_hotel_meal"], "Mine")


def test_a_catalogue_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PerkError, match=r"absent\.toml"):
        load_perks(tmp_path / "absent.toml")
