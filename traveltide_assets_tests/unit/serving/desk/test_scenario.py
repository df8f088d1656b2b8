"""Scenarios as a form sends them, and as they are saved."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.schema.errors import SettingsError
from traveltide_assets.serving.desk import what_if
from traveltide_assets.serving.desk.scenario import NotAScenario, Scenario, save
from traveltide_assets.settings import Settings, load_settings

PLAIN = Settings()
KNOWN = what_if.choices(PLAIN)
BASE = Scenario.decided("traits", PLAIN)


def of(*pairs: tuple[str, str]) -> Scenario:
    return Scenario.of(pairs, BASE, KNOWN.strategies, KNOWN.perks, KNOWN.features)


def test_what_is_not_named_is_as_decided() -> None:
    assert of() == BASE
    assert of(("holdout", "20")).holdout == 0.2
    assert of(("leave", "free_hotel_meal"), ("forbid", "age")).forbidden == ("age",)


@given(
    st.sampled_from(sorted(KNOWN.strategies)),
    st.lists(st.sampled_from([perk.id for perk in KNOWN.perks]), max_size=3),
    st.lists(st.sampled_from(KNOWN.features), max_size=3),
    st.integers(0, 50),
    st.integers(50, 100),
)
def test_an_address_says_all_of_a_scenario(
    strategy: str, left: list[str], forbidden: list[str], least: int, most: int
) -> None:
    asked = of(
        ("strategy", strategy),
        *(("leave", perk) for perk in left),
        *(("forbid", name) for name in forbidden),
        ("least", str(least)),
        ("most", str(most)),
    )
    assert of(*asked.pairs()) == asked


@pytest.mark.parametrize(
    "pair",
    [
        ("strategy", "propensity"),
        ("strategy", "<script>"),
        ("leave", "../../etc/passwd"),
        ("forbid", "no_such_feature"),
        ("holdout", "101"),
        ("holdout", "-1"),
        ("least", "nan"),
        ("least", "1e1"),
        ("most", "5"),
        ("exploration", "101"),
        ("margin", "0"),
        ("budget", "1000"),
        ("budget", "1e9"),
        ("max_customers.free_checked_bag", "1.5"),
        ("cost_usd.no_such_perk", "1"),
        ("outcome.free_checked_bag", "1"),
        ("lake", "s3://elsewhere"),
    ],
)
def test_what_cannot_be_decided_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(NotAScenario):
        of(pair)


def test_a_saved_scenario_is_what_a_run_decides_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Settings(scenarios=tmp_path / "scenarios")
    asked = of(("leave", "free_checked_bag"), ("forbid", "age"), ("holdout", "25"), ("least", "5"))
    file = save("no-bags", asked, place, "Made of a release")
    monkeypatch.setenv("TRAVELTIDE_SCENARIO", str(file))
    monkeypatch.setenv("TRAVELTIDE_CAMPAIGN__HOLDOUT_SHARE", "0.3")
    read = load_settings()
    assert read.strategy == "traits"
    assert read.policy.forbidden_features == ("gender", "age")
    assert read.campaign.holdout_share == 0.25
    assert read.traits.min_share == 0.05
    kept = {perk.id: perk for perk in load_perks(PLAIN.perks_file) if perk.id != "free_checked_bag"}
    assert {perk.id: perk for perk in load_perks(read.perks_file)} == kept


def test_money_is_saved_with_a_catalogue_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = of(
        ("exploration", "10"),
        ("margin", "15"),
        ("budget", "2500.5"),
        ("cost_usd.free_checked_bag", "35"),
        ("expected_redemption.free_checked_bag", "12.5"),
        ("max_customers.free_checked_bag", "300"),
        ("max_cost_usd.free_checked_bag", ""),
    )
    assert of(*asked.pairs()) == asked
    file = save("money", asked, Settings(scenarios=tmp_path), "Made of a release")
    monkeypatch.setenv("TRAVELTIDE_SCENARIO", str(file))
    read = load_settings()
    assert read.exploration.share == 0.1
    assert (read.economics.margin_rate, read.economics.budget_usd) == (0.15, 2500.5)
    bag = {perk.id: perk for perk in load_perks(read.perks_file)}["free_checked_bag"]
    assert (bag.cost_usd, bag.expected_redemption, bag.max_customers) == (35, 0.125, 300)
    assert read.perks_file != PLAIN.perks_file
    set_before = PLAIN.model_copy(update={"economics": read.economics, "scenarios": tmp_path})
    with pytest.raises(NotAScenario, match="cannot take back the margin"):
        save("none", BASE, set_before, "Made of a release")


def test_a_price_that_the_catalogue_has_is_no_change() -> None:
    bag = next(perk for perk in KNOWN.perks if perk.id == "free_checked_bag")
    said = "" if bag.cost_usd is None else str(bag.cost_usd)
    assert of(("cost_usd.free_checked_bag", said)) == BASE


def test_a_name_that_is_taken_or_is_none_is_refused(tmp_path: Path) -> None:
    place = Settings(scenarios=tmp_path)
    save("mine", BASE, place, "Made of a release")
    before = (tmp_path / "mine.toml").read_bytes()
    for name in ("mine", "", "../mine", "a/b", "-a", "A", "a" * 41, "mine.toml", "con\n"):
        with pytest.raises(NotAScenario):
            save(name, BASE, place, "Made of a release")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]
    assert (tmp_path / "mine.toml").read_bytes() == before


def test_a_text_of_the_catalogue_is_saved_as_it_is(tmp_path: Path) -> None:
    odd = 'Ends "here" \\ [[perk]] \u2028 \U0001f9f3'
    (tmp_path / "perks.toml").write_text(
        PLAIN.perks_file.read_text("utf-8").replace('"Free hotel meal"', repr(odd), 1), "utf-8"
    )
    place = Settings(scenarios=tmp_path / "to", perks_file=tmp_path / "perks.toml")
    save("odd", of(("leave", "free_checked_bag")), place, "Made of a release")
    saved = tomllib.loads((tmp_path / "to" / "odd.perks.toml").read_text("utf-8"))["perk"]
    titles: dict[str, Any] = {perk["id"]: perk["title"] for perk in saved}
    given = tomllib.loads((tmp_path / "perks.toml").read_text("utf-8"))["perk"]
    assert titles == {p["id"]: p["title"] for p in given if p["id"] != "free_checked_bag"}


def test_a_scenario_may_not_set_where_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.toml").write_text('lake = "elsewhere"\n')
    monkeypatch.setenv("TRAVELTIDE_SCENARIO", str(tmp_path / "bad.toml"))
    with pytest.raises(SettingsError, match="it may not set lake"):
        load_settings()
