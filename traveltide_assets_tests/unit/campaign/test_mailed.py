"""Once a perk was sent, what its customers do says what the perk does, not what they prefer."""

from __future__ import annotations

from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest

from traveltide_assets.campaign.mailed import campaigns, sent_before
from traveltide_assets.campaign.release_files import ARMS, ASSIGNMENTS, CAMPAIGN, OFFERS
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.evidence.backtest import judge
from traveltide_assets.evidence.config import Config as Evidence
from traveltide_assets.evidence.tables import SUPPORTED
from traveltide_assets.evidence.trial import BackTest, Past
from traveltide_assets.experiment.assignment import CONTROL
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.lake.release import MANIFEST, Damaged
from traveltide_assets.settings import Settings
from traveltide_assets.transforms.cuts import untouched
from traveltide_assets_tests.unit.campaign.test_released import MONTH, frames, put, with_offers

LATER = "2023-10"
BAG = next(p for p in load_perks(Settings().perks_file) if p.id == "free_checked_bag")
NONE = Experiment()


def test_a_release_that_was_not_mailed_reaches_nobody(tmp_path: Path) -> None:
    releases, _ = put(tmp_path, frames())
    found = sent_before(releases, NONE, LATER)
    assert found.empty
    assert list(found.columns) == ["user_id", "decided_in"]


def test_a_mailed_release_reaches_all_but_the_holdout_and_those_offered_nothing(
    tmp_path: Path,
) -> None:
    tables = with_offers(frames())
    tables[OFFERS].loc[tables[OFFERS]["user_id"] == 1, "offer"] = "none"
    tables[CAMPAIGN].loc[tables[CAMPAIGN]["user_id"] == 1, "perk"] = "none"
    releases, made = put(tmp_path, tables)
    releases.mark_mailed(made)
    found = sent_before(releases, NONE, LATER)
    held_out = tables[CAMPAIGN].loc[tables[CAMPAIGN]["holdout"], "user_id"]
    assert 1 not in set(held_out)
    assert set(found["user_id"]) == set(tables[ASSIGNMENTS]["user_id"]) - set(held_out) - {1}
    assert len(held_out) > 0
    assert set(found["decided_in"]) == {MONTH}


def test_a_release_of_an_earlier_version_says_who_was_mailed_and_not_what_was_offered(
    tmp_path: Path,
) -> None:
    releases, made = put(tmp_path, frames())
    releases.mark_mailed(made)
    assert len(sent_before(releases, NONE, LATER)) > 0
    assert campaigns(releases, NONE, LATER) == {}


def test_what_is_mailed_after_a_month_does_not_reach_into_it(tmp_path: Path) -> None:
    releases, made = put(tmp_path, frames())
    releases.mark_mailed(made)
    assert sent_before(releases, NONE, MONTH).empty
    assert len(sent_before(releases, NONE, "2023-08")) > 0


def test_the_control_arm_counts_as_untouched(tmp_path: Path) -> None:
    tables = with_offers(frames(running=True), running=True)
    releases, made = put(tmp_path, tables, running=True)
    releases.mark_mailed(made)
    found = set(sent_before(releases, NONE, LATER)["user_id"])
    control = set(tables[ARMS].loc[tables[ARMS]["arm"] == CONTROL, "user_id"])
    assert control
    assert not found & control
    assert found == set(tables[ARMS]["user_id"]) - control


def test_an_experiment_that_has_begun_was_mailed_whether_or_not_anybody_marked_it(
    tmp_path: Path,
) -> None:
    releases, _ = put(tmp_path, frames(running=True), running=True)
    begun = Experiment(start="2023-08-01", weeks=12)
    assert len(sent_before(releases, begun, "2023-08")) > 0
    assert sent_before(releases, Experiment(start="2023-10-01"), "2023-08").empty


def test_a_mailed_release_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    releases, made = put(tmp_path, frames())
    releases.mark_mailed(made)
    next(tmp_path.rglob(MANIFEST)).write_text("{}")
    with pytest.raises(Damaged, match="was mailed and is damaged"):
        sent_before(releases, NONE, LATER)


def test_the_effect_of_a_perk_is_not_taken_for_a_preference(tmp_path: Path) -> None:
    """Nobody prefers anything, and a bag that is offered is a bag more. Nothing is supported."""
    tables = frames(customers=6_000)
    releases, made = put(tmp_path, tables)
    releases.mark_mailed(made)
    mailed = sent_before(releases, NONE, LATER)
    rng, users = np.random.default_rng(0), tables[ASSIGNMENTS]["user_id"]
    has_bag = tables[ASSIGNMENTS]["perk"] == "bag"
    offered = has_bag & users.isin(mailed["user_id"])
    bags = rng.poisson(np.where(offered, 1.3, 1.0)).astype(float)
    everybody = pd.DataFrame({"user_id": users, "total_sessions": 5})
    outcomes = pd.DataFrame(
        {"user_id": users, "bags_per_flight_amount": bags, "bags_per_flight_opportunities": 1}
    )

    def verdict(earlier: pd.DataFrame) -> str:
        config = Evidence(resamples=400, permutations=400)
        trial = BackTest.prepare([Past("2023-07", earlier, outcomes)], config, seed=1)
        (known,) = trial.pasts
        given = np.where(known.earlier["user_id"].isin(users[has_bag]), BAG.id, "other")
        pooled, _ = judge({"any": [pd.Series(given, dtype=object)]}, trial, [BAG])
        return str(pooled["verdict"].iloc[0])

    left = untouched(ibis.memtable(everybody), ibis.memtable(mailed), LATER).to_pandas()
    assert 0.1 * len(users) < len(left) < 0.3 * len(users)
    assert verdict(everybody) == SUPPORTED
    assert verdict(left) != SUPPORTED
