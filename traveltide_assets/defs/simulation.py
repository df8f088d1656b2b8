"""Plays the loop on generated customers: decide, release, mail, respond, read, learn, by month.

Every month is a run of the same jobs as `traveltide run`, and the responses to it land in the
source as a mailing tool would write them. What customers would do is planted, so what each month's
offers are worth is known and need not be estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from traveltide_assets.campaign import release_files
from traveltide_assets.catalogue.perks import NO_OFFER, load_perks
from traveltide_assets.defs import run as pipeline
from traveltide_assets.defs.instance.home import open_instance
from traveltide_assets.defs.run import OnStep, Say
from traveltide_assets.evidence.config import LEARNED
from traveltide_assets.experiment import policy_scorecard
from traveltide_assets.experiment.assignment import PERSONALISED
from traveltide_assets.experiment.campaign_outcomes import may_have
from traveltide_assets.lake.lake import Lake
from traveltide_assets.resources import open_lake
from traveltide_assets.sample import PERKS, SampleSpec, later_months, planted, write_sample
from traveltide_assets.sample.later_months import World
from traveltide_assets.sample.planted import Effect
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.months import next_month, shift
from traveltide_assets.segmentation.scaling import NUMERIC
from traveltide_assets.settings import Settings

FIRST, DECIDED_FIRST = "2023-01", "2023-07"
"""The first month of the generated sessions, and their last, which is decided first."""

COST_USD = 20.0
"""Cost of a redemption, for perks whose entry in the catalogue does not say."""

# The loop needs decisions, not narrow intervals on what the back-test says of them.
_QUICK = {
    "evidence": {
        "resamples": 100,
        "permutations": 100,
        "folds": 2,
        "refits": 2,
        "cuts": 1,
        # Others learn from those who were never mailed, and soon nearly everybody was.
        "fallback": "kmeans",
    },
    "prediction": {"folds": 2, "repeats": 1, "iterations": 10, "resamples": 200},
}
_OUTCOMES, _FEATURES = "gold/campaign_outcomes", "gold/user_features"
_NOT_YET = "nothing to learn from yet"


class CannotSimulate(TravelTideError):
    """The folder cannot be used; the message says why."""


@dataclass(frozen=True)
class Simulation:
    """What is played: for how many months, on how many customers, with which planted effect.

    The setting `strategy` decides the months; `learned` where it is not set.
    """

    months: int
    users: int
    effect: Effect
    seed: int = 7
    exploration: float = 0.3
    holdout: float = 0.1

    def settings(self, folder: Path, month: str) -> Settings:
        """The settings that decide a month. Every month draws anew who explores which perk."""
        given: dict[str, Any] = {
            "source": folder / "source",
            "lake": folder / "lake",
            "home": folder / "home",
            "seed": self.seed,
            "partitions": {"first": FIRST, "last": month},
            "exploration": {
                "share": self.exploration,
                "salt": f"exploration-{month}",
                # Those of which something is planted, whichever strategy decides until one learns.
                "weights": dict.fromkeys(PERKS, 1.0),
            },
            "campaign": {"holdout_share": self.holdout},
            "publish": None,
            "release": {"mode": "auto"},
            **_QUICK,
        }
        if "strategy" not in Settings().model_fields_set:
            given["strategy"] = LEARNED
        return Settings(**given)


def play(
    simulation: Simulation,
    folder: Path,
    build: Callable[[Settings], dg.Definitions],
    on_step: OnStep,
    say: Say,
) -> pd.DataFrame:
    """Play all months in a folder. One row per month decided, see `of_month`.

    The month after the last campaign is decided as well, since only then is that campaign read.
    `CannotSimulate` if the folder holds anything, `PipelineFailed` if a run fails.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CannotSimulate(f"{folder} is not empty: choose another folder, or remove it")
    source = folder / "source"
    # Only favourites that show in behaviour can be found in it.
    affinity = 1.0 if simulation.effect == "perks" else 0.0
    write_sample(source, SampleSpec(simulation.users, simulation.seed, 1.0, affinity))
    world = World.read(source)
    truth = planted.extra_trips(world.customers, PERKS, simulation.effect)
    rows = []
    for number in range(simulation.months + 1):
        month = shift(DECIDED_FIRST, number)
        settings = simulation.settings(folder, month)
        _decide(settings, month, build, on_step, say)
        lake = open_lake(settings)
        offers = _mailed(lake, month) if number < simulation.months else _released(lake, month)
        learned = _learned(lake, settings, month, offers)
        row = of_month(month, offers, truth, world.mean_spend(), learned) | _verdict(lake, month)
        if number < simulation.months:
            rng = np.random.default_rng([simulation.seed, number])
            tables = responded(world, truth, offers, next_month(month), rng)
            later_months.append(source, next_month(month), tables)
            row["spent_usd"] = spent(tables["responses"], settings)
        rows.append(row)
        say(f"{month}: {row['verdict']}")
    return pd.DataFrame(rows)


def of_month(
    month: str,
    offers: pd.DataFrame,
    truth: pd.DataFrame,
    mean_spend: float,
    learned: pd.Series | None = None,
) -> dict[str, Any]:
    """What a month's offers are worth: `value` and those to compare it with.

    All are expected revenue per customer, in USD, over what sending nothing brings, among those
    who get the offer that was chosen for them. A perk that somebody is not eligible for is never
    theirs. `learned` is what they would get by the policy learned so far, promoted or not; the
    argument has its choice by `user_id`. `oracle` gives everybody the perk that they want,
    `best_single` the same one, `chance` one at random.
    """
    ours = offers[offers["arm"] == PERSONALISED].set_index("user_id")
    likely = truth.loc[ours.index]
    likely = likely.where(_eligible(ours["eligible"], likely.columns))
    found = {
        "value": planted.of_offer(truth, ours["offer"]),
        "learned": np.nan if learned is None else planted.of_offer(truth, learned.loc[ours.index]),
        "oracle": likely.max(axis=1).fillna(0.0),
        "best_single": likely.fillna(0.0).mean().max(),
        "chance": likely.mean(axis=1).fillna(0.0),
    }
    return {
        "month": month,
        "strategy": str(offers["strategy"].iloc[0]),
        "customers": len(offers),
        **{name: float(np.mean(extra) * mean_spend) for name, extra in found.items()},
        "spent_usd": 0.0,
    }


def _eligible(perks: pd.Series, named: pd.Index) -> pd.DataFrame:
    """Whether each customer (row, by `user_id`) may have each perk (column)."""
    may = {perk: may_have(perks, perk) for perk in named}
    return pd.DataFrame(may, index=perks.index, columns=named)


def _decide(
    settings: Settings,
    month: str,
    build: Callable[[Settings], dg.Definitions],
    on_step: OnStep,
    say: Say,
) -> None:
    with open_instance(settings) as dagster:
        pipeline.run(build(settings), settings, month, dagster, on_step, say)


def _released(lake: Lake, month: str) -> pd.DataFrame:
    return lake.releases.current(month).frame(
        release_files.OFFERS, ["user_id", "arm", "offer", "strategy", "eligible"]
    )


def _mailed(lake: Lake, month: str) -> pd.DataFrame:
    """The offers of the month's release, which is marked as mailed."""
    lake.releases.mark_mailed(lake.releases.current(month))
    return _released(lake, month)


def _learned(lake: Lake, settings: Settings, month: str, offers: pd.DataFrame) -> pd.Series | None:
    """What the policy learned by a month would offer its customers; None without a log."""
    if lake.frame(_OUTCOMES, month).empty:
        return None
    known = {name: lake.frame(_FEATURES, name) for name in lake.months(_FEATURES)}
    names = [name for name in settings.policy.allowed(NUMERIC) if name in known[month]]
    features = pd.concat(
        rows[["user_id", *names]].assign(campaign=name) for name, rows in known.items()
    )
    found = policy_scorecard.explored(_outcomes(lake), features)
    if found is None:
        return None
    customers = known[month].set_index("user_id").loc[offers["user_id"]]
    inputs = customers[names].astype("float64")
    filled = inputs.fillna(inputs.mean()).fillna(0.0)[list(found.log.features)]
    names = list(found.log.actions)
    effects = policy_scorecard.learned(found.log, None, settings.seed).effects(filled)
    may = _eligible(offers.set_index("user_id")["eligible"], pd.Index(names))
    possible = may.assign(**{policy_scorecard.NONE: True}).to_numpy()
    best = np.where(possible, effects, -np.inf).argmax(axis=1)
    return pd.Series(np.array(names, dtype=object)[best], offers["user_id"])


def _outcomes(lake: Lake) -> pd.DataFrame:
    past = [lake.frame(_OUTCOMES, name) for name in lake.months(_OUTCOMES)]
    return pd.concat(past, ignore_index=True)


def _verdict(lake: Lake, month: str) -> dict[str, Any]:
    """What the policy scorecard says by the end of a month."""
    scorecard = lake.frame("gold/policy_scorecard", month)
    if scorecard.empty:
        said = policy_scorecard.too_few(_outcomes(lake))
        return {"explored": 0, "verdict": _NOT_YET, "in_words": said}
    first = scorecard.iloc[0]
    return {
        "explored": int(first["customers"]),
        "verdict": str(first["verdict"]),
        "in_words": str(first["in_words"]),
    }


def responded(
    world: World,
    truth: pd.DataFrame,
    offers: pd.DataFrame,
    month: str,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """The raw tables of the month after a mailing."""
    sent = offers[offers["offer"] != NO_OFFER].set_index("user_id")["offer"].sort_index()
    return later_months.lived(world, sent, planted.of_offer(truth, sent), month, rng)


def spent(responses: pd.DataFrame, settings: Settings) -> float:
    """What the redemptions cost, in USD. An offer that is no perk costs nothing."""
    perks = load_perks(settings.perks_file)
    costs = {perk.id: COST_USD if perk.cost_usd is None else perk.cost_usd for perk in perks}
    redeemed = responses.loc[responses["event"] == "redeemed", "offer"]
    return float(redeemed.map(costs).fillna(0.0).sum())
