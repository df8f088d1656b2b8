"""A simulated month: what it is worth and costs, what decides it, and what is printed of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.cli.simulate import print_months, write_results
from traveltide_assets.defs.simulation import (
    COST_USD,
    CannotSimulate,
    Simulation,
    of_month,
    play,
    responded,
    spent,
)
from traveltide_assets.experiment.assignment import EXPLORATION, HOLDOUT, PERSONALISED
from traveltide_assets.sample import PERKS, SampleSpec, planted, write_sample
from traveltide_assets.sample.later_months import World

BAG, MEAL = "free_checked_bag", "free_hotel_meal"
TRUTH = pd.DataFrame(
    {BAG: [0.3, 0.0, 0.3, 0.3], MEAL: [0.0, 0.1, 0.0, 0.0]}, index=pd.Index([1, 2, 3, 4])
)


def offers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [1, 2, 3, 4],
            "arm": [PERSONALISED, PERSONALISED, EXPLORATION, HOLDOUT],
            "offer": [MEAL, MEAL, BAG, NO_OFFER],
            "strategy": "traits",
            "eligible": [[BAG, MEAL]] * 4,
        }
    )


def test_offers_are_valued_by_what_is_planted_among_those_who_got_their_own() -> None:
    learned = pd.Series([BAG, NO_OFFER, MEAL, MEAL], index=[1, 2, 3, 4])
    row = of_month("2023-07", offers(), TRUTH, 1_000.0, learned)
    assert row["customers"] == 4
    assert row["value"] == pytest.approx(50)
    assert row["learned"] == pytest.approx(150)
    assert row["oracle"] == pytest.approx(200)
    assert row["best_single"] == pytest.approx(150)
    assert row["chance"] == pytest.approx(100)
    assert np.isnan(of_month("2023-07", offers(), TRUTH, 1_000.0)["learned"])


def test_nobody_is_valued_with_a_perk_that_they_may_not_have() -> None:
    few = offers().assign(eligible=[[MEAL], [BAG, MEAL], [], []])
    row = of_month("2023-07", few, TRUTH, 1_000.0)
    # The first wants a bag, and may have none: a meal brings 0; the second wants a meal.
    assert row["oracle"] == pytest.approx(50)
    assert row["best_single"] == pytest.approx(50)
    assert row["chance"] == pytest.approx((0 + 50) / 2)


def test_the_setting_decides_the_months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation(1, 10, "none")
    assert simulation.settings(tmp_path, "2023-07").strategy == "learned"
    monkeypatch.setenv("TRAVELTIDE_STRATEGY", "traits")
    assert simulation.settings(tmp_path, "2023-07").strategy == "traits"


def test_only_redeemed_perks_cost_and_the_catalogue_may_say_how_much(tmp_path: Path) -> None:
    settings = Simulation(1, 10, "none").settings(tmp_path, "2023-07")
    catalogue = settings.perks_file.read_text("utf-8")
    priced = tmp_path / "perks.toml"
    priced.write_text(
        catalogue.replace(f'id = "{BAG}"', f'id = "{BAG}"\ncost_usd = 35'), encoding="utf-8"
    )
    responses = pd.DataFrame(
        {
            "offer": [BAG, BAG, MEAL, "control_offer", MEAL],
            "event": ["redeemed", "opened", "redeemed", "redeemed", "sent"],
        }
    )
    assert spent(responses, settings) == 2 * COST_USD
    assert spent(responses, settings.model_copy(update={"perks_file": priced})) == 35 + COST_USD


def test_every_month_explores_anew_and_knows_nothing_later(tmp_path: Path) -> None:
    simulation = Simulation(2, 10, "none", exploration=0.4, holdout=0.2)
    july, august = (simulation.settings(tmp_path, month) for month in ("2023-07", "2023-08"))
    assert july.partitions.last == "2023-07"
    assert july.exploration.share == 0.4
    assert july.campaign.holdout_share == 0.2
    assert july.exploration.salt != august.exploration.salt
    assert july.campaign.salt == august.campaign.salt
    assert july.lake == august.lake == tmp_path / "lake"


def test_a_month_lived_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    write_sample(tmp_path / "source", SampleSpec(users=80, active_share=1.0))
    world = World.read(tmp_path / "source")
    truth = planted.extra_trips(world.customers, PERKS, "traits")
    users = truth.index[::-1]
    sent = pd.DataFrame({"user_id": users, "offer": np.resize([BAG, MEAL, NO_OFFER], len(users))})

    def lived(offers: pd.DataFrame, seed: int) -> dict[str, bytes]:
        tables = responded(world, truth, offers, "2023-08", np.random.default_rng(seed))
        return {name: rows.to_csv(index=False).encode() for name, rows in tables.items()}

    once = lived(sent, 1)
    assert b"redeemed" in once["responses"]
    assert lived(sent.iloc[::-1], 1) == once, "it depends on the order of rows"
    assert lived(sent, 2)["responses"] != once["responses"]


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CannotSimulate, match="is not empty"):
        play(Simulation(1, 10, "none"), tmp_path, lambda _: pytest.fail("it ran"), print, print)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_the_table_and_the_picture_say_the_same(tmp_path: Path) -> None:
    months = pd.DataFrame(
        [
            of_month("2023-07", offers(), TRUTH, 1_000.0)
            | {"verdict": "nothing read yet", "in_words": "", "spent_usd": 60.0},
            of_month("2023-08", offers(), TRUTH, 1_000.0)
            | {"verdict": "too little data", "in_words": "It takes 9,000 rows."},
        ]
    )
    write_results(months, tmp_path)
    stored = pd.read_csv(tmp_path / "simulation.csv")
    assert list(stored["month"]) == ["2023-07", "2023-08"]
    assert (tmp_path / "simulation.png").read_bytes().startswith(b"\x89PNG")
    console = Console(file=io.StringIO(), width=80)
    print_months(console, months)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Spent on what was redeemed: 60 USD" in said
    assert "At the end of 2023-08: It takes 9,000 rows." in said
    assert max(map(len, said.splitlines())) <= 80
