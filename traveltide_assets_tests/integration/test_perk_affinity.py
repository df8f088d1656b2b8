"""Perk affinity: ranks, memberships and the perk each customer ranks highest for."""

from __future__ import annotations

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import load_perks, of_program
from traveltide_assets.segmentation.perk_affinity import AffinityStrategy
from traveltide_assets.segmentation.strategy import History
from traveltide_assets_tests.conftest import LAST
from traveltide_assets_tests.support.project import Project

PERKS = load_perks(FOLDER / "perks.toml")
CLASSIC = [perk.id for perk in of_program(PERKS, "classic")]
STRATEGY = AffinityStrategy(of_program(PERKS, "classic"))


def test_no_perk_takes_more_than_a_quarter_of_the_real_customers(real_project: Project) -> None:
    features = real_project.frame("gold/user_features", LAST)
    assigned = STRATEGY.fit(History(features)).assign(features)
    shares = assigned["perk"].value_counts(normalize=True)
    assert set(shares.index) == set(CLASSIC)
    assert shares.between(0.15, 0.25).all()


def test_whoever_cancelled_more_than_half_gets_the_cancellation_perk(real_project: Project) -> None:
    features = real_project.frame("gold/user_features", LAST)
    assigned = STRATEGY.fit(History(features)).assign(features)
    perk = assigned["perk"][features["cancellation_rate"] > 0.5]
    assert (perk == "no_cancellation_fees").mean() > 0.9
