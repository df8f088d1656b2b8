"""Is the evidence calibrated? Back-tests on generated customers without and with planted perks.

All strategies of the registry are tried at all cuts. If all customers behave the same, the verdicts
"supported" and "contradicted" are false alarms. They also are if the outcomes are permuted among
customers with the same numbers of earlier sessions. Alike customers still have trips of different
kinds, and those booked long ago are cancelled more often, whoever booked them; so their trips are
cancelled anew, each with the same chance. Customers without planted perks still differ by
age and family, as real ones do: older ones book more often, families check more bags. "Supported"
may then be right. With planted perks, each strategy should find the planted perk more often than
chance, and the verdict should be "supported". With planted traits, the young and the old stay
longer and families check more bags; a strategy that knows of traits should find both.

    python -m benchmarks.calibration --repetitions 100 --users 1500
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
from scipy.stats import binomtest

from benchmarks import pure
from traveltide_assets.catalogue.perks import Perk, load_perks
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.evidence.backtest import judge
from traveltide_assets.evidence.tables import CONTRADICTED, SUPPORTED, TOO_LITTLE
from traveltide_assets.evidence.trial import BackTest, Past, assign_from_past
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.months import shift
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.strategy import CannotFit, History, Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms import cuts

MONTH = "2023-07"
FEW = 0.05
_CANCELLED = ("cancelled_share_amount", "cancelled_share_opportunities")


@dataclass(frozen=True)
class Kind:
    """A kind of population: how it is generated, and whether traits are planted in it.

    `trips_alike` gives all trips that can be cancelled the same chance of it.
    """

    spec: SampleSpec
    repetitions: int
    traits: bool = False
    trips_alike: bool = False


@dataclass(frozen=True)
class Trait:
    """A trait of some customers, who do `times` as much of what a perk rewards as the others.

    `so_far` is the feature that counts what they did of it before a cut.
    """

    outcome: str
    so_far: str
    times: float
    has: Callable[[pd.DataFrame], pd.Series]


# About as strong as on the real cohort.
TRAITS = (
    Trait("nights_per_stay", "total_nights", 1.5, lambda f: (f["age"] < 25) | (f["age"] >= 60)),
    Trait("bags_per_flight", "total_checked_bags", 1.25, lambda f: f["has_children"].astype(bool)),
)


@dataclass(frozen=True)
class Population:
    """The features as of the month, what is known as of each cut and followed, planted perks."""

    features: pd.DataFrame
    pasts: tuple[Past, ...]
    planted: pd.Series


def population(spec: SampleSpec, settings: Settings, folder: Path) -> Population:
    write_sample(folder / "source", spec, "parquet")
    engine = DuckDB(folder / "scratch")
    source = Files(Folder(folder / "source"), engine, folder / "staging")
    config, fewest = settings.evidence, settings.cohort.min_sessions
    months = [f"2023-{number:02d}" for number in range(1, 8)]
    latest = cuts.latest(MONTH, config.months)
    with pure.in_memory() as keep:
        gold = pure.gold(source, settings.cohort, MONTH, months, keep)
        tables = (gold.users, gold.sessions, gold.flights, gold.hotels)
        pasts = tuple(
            Past(
                cut,
                _frame(cuts.features_at(*tables, settings.cohort, cut)),
                _frame(cuts.outcomes_between(*tables, fewest, cut, shift(cut, config.months))),
            )
            for cut in (latest, *cuts.before(MONTH, config.months, config.cuts))
        )
        features = _frame(gold.features)
    truth = pd.read_csv(folder / "source" / "truth.csv")
    planted = features[["user_id"]].merge(truth, on="user_id")["favourite_perk"]
    return Population(features, pasts, planted)


def _frame(table: ibis.Table) -> pd.DataFrame:
    return table.to_pandas().sort_values("user_id", ignore_index=True)


def with_traits(past: Past, seed: int) -> Past:
    """The same customers; those with a trait do more of it before a cut and after it."""
    earlier, outcomes = (frame.set_index("user_id") for frame in (past.earlier, past.outcomes))
    for place, trait in enumerate(TRAITS):
        having, rng = trait.has(earlier).fillna(False), np.random.default_rng([seed, place])
        having = having.index[having]
        for frame, name in ((earlier, trait.so_far), (outcomes, f"{trait.outcome}_amount")):
            amount = frame.loc[having, name].astype("float64")
            more = amount + rng.poisson(amount.fillna(0) * (trait.times - 1))
            frame[name] = frame[name].astype("float64")
            frame.loc[having, name] = more
    return Past(past.cut, earlier.reset_index(), outcomes.reset_index())


def with_trips_alike(past: Past, seed: int) -> Past:
    """The same customers; each of their trips that can be cancelled is, with the same chance."""
    outcomes, (amount, trips) = past.outcomes.copy(), _CANCELLED
    chance = outcomes[amount].sum() / outcomes[trips].sum()
    rng = np.random.default_rng([seed, int(past.cut.replace("-", ""))])
    outcomes[amount] = rng.binomial(outcomes[trips].astype("int64"), chance).astype("float64")
    return replace(past, outcomes=outcomes)


def permuted(back_test: BackTest) -> BackTest:
    """The same customers with each other's outcomes, of all cuts together, within strata."""
    order = next(back_test.permutations())[0]
    pasts = []
    for past, at in zip(back_test.pasts, back_test.rows, strict=True):
        row_of = np.zeros(len(order), dtype=int)
        row_of[at] = np.arange(len(at))
        others = past.outcomes.iloc[row_of[order[at]]].reset_index(drop=True)
        pasts.append(replace(past, outcomes=others.assign(user_id=past.outcomes["user_id"])))
    return replace(back_test, pasts=tuple(pasts))


def repetition(kind: Kind, seed: int, settings: Settings, perks: tuple[Perk, ...]) -> pd.DataFrame:
    """One row per strategy: the verdicts on the outcomes, and on permuted outcomes.

    With planted perks, also the share of customers who get theirs. With planted traits, also which
    of their outcomes are supported.
    """
    spec = replace(kind.spec, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        people = population(spec, settings, Path(folder))
    pasts: Sequence[Past] = people.pasts
    if kind.trips_alike:
        pasts = [with_trips_alike(past, seed) for past in pasts]
    if kind.traits:
        pasts = [with_traits(past, seed) for past in pasts]
    back_test = BackTest.prepare(pasts, settings.evidence, seed)
    nothing = permuted(back_test)
    strategies = build_strategies(settings, perks)
    tried = {name: assign_from_past(s, back_test) for name, s in strategies.items()}
    learnt = {
        name: assign_from_past(s, nothing)
        for name, s in strategies.items()
        if s.learns_from_outcomes
    }
    really, _ = judge(tried, back_test, perks)
    by_chance, _ = judge(tried | learnt, nothing, perks)
    latest = back_test.pasts[0]
    history = History(people.features, latest.earlier, latest.outcomes)
    rows = []
    for name, strategy in strategies.items():
        own = really[really["strategy"] == name]
        found, chance = own[_found(own)], by_chance[by_chance["strategy"] == name]
        tested = own[own["verdict"] != TOO_LITTLE]
        supported = own[own["verdict"] == SUPPORTED]
        rows.append(
            {
                "strategy": name,
                "supported": len(supported),
                "contradicted": len(found) - len(supported),
                "found": len(found),
                "perks": " ".join(found["perk"]),
                "after_shuffling": int(_found(chance).sum()),
                "recovered": _recovered(strategy, history, people) if spec.affinity else np.nan,
                "traits": " ".join(supported["outcome"].unique()),
                "tried": len(tested),
                "unlikely": int((2 * tested[["p_value", "p_below"]].min(axis=1) <= FEW).sum()),
            }
        )
    return pd.DataFrame(rows).assign(seed=seed)


def _found(judged: pd.DataFrame) -> pd.Series:
    return judged["verdict"].isin([SUPPORTED, CONTRADICTED])


def _recovered(strategy: Strategy, history: History, people: Population) -> float:
    """The share of customers who get the perk that was planted in them."""
    try:
        given = strategy.fit(history).assign(people.features)["perk"]
    except CannotFit:
        return 0.0
    return float((given.to_numpy() == people.planted.to_numpy()).mean())


def report(title: str, kind: Kind, rows: pd.DataFrame) -> None:
    """Print a row per strategy, and a summary of all strategies."""
    print(f"\n{title}: {rows['seed'].nunique()} repetitions of {kind.spec.users} customers")
    print("strategy       supported  contradicted  after shuffling  recovered  perks")
    for name, of_strategy in rows.groupby("strategy", sort=False):
        shares = of_strategy[["supported", "contradicted", "after_shuffling"]].gt(0).mean()
        recovered = of_strategy["recovered"].mean()
        which = Counter(" ".join(of_strategy["perks"]).split())
        print(
            f"{name:14} {shares['supported']:9.1%} {shares['contradicted']:13.1%} "
            f"{shares['after_shuffling']:16.1%} "
            f"{'' if pd.isna(recovered) else f'{recovered:.1%}':>10}  {dict(which)}"
        )
    share = rows["unlikely"].sum() / max(rows["tried"].sum(), 1)
    print(
        f"of {rows['tried'].sum()} two-sided p-values before correction, {share:.1%} are <= {FEW}"
    )
    for name in ("found", "after_shuffling"):
        _print_share(f"by any strategy, {name.replace('_', ' ')}", rows.groupby("seed")[name].sum())
    if kind.traits:
        for trait in TRAITS:
            found = rows["traits"].str.split().map(lambda names, own=trait: own.outcome in names)
            for name, own in [
                *found.groupby(rows["strategy"], sort=False),
                ("any strategy", found),
            ]:
                by_seed = own.groupby(rows.loc[own.index, "seed"]).any()
                _print_share(f"{trait.outcome} supported by {name}", by_seed)


def _print_share(what: str, by_seed: pd.Series) -> None:
    times = by_seed > 0
    interval = binomtest(int(times.sum()), len(times)).proportion_ci()
    print(f"{what}: {times.mean():.1%} (95 % interval {interval.low:.1%} to {interval.high:.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100, help="with identical customers")
    parser.add_argument("--realistic-repetitions", type=int, default=20)
    parser.add_argument("--planted-repetitions", type=int, default=5)
    parser.add_argument("--trait-repetitions", type=int, default=60)
    parser.add_argument("--users", type=int, default=1_500)
    parser.add_argument("--trait-users", type=int, default=6_000, help="as the real cohort has")
    parser.add_argument("--first-seed", type=int, default=0)
    chosen = parser.parse_args()
    # The defaults, independent of the caller's environment and traveltide.toml.
    settings = Settings.model_construct()
    perks = load_perks(settings.perks_file)
    spec = SampleSpec(users=chosen.users, active_share=1.0)
    alike = replace(spec, alike=True)
    plan = {
        "identical customers": Kind(alike, chosen.repetitions, trips_alike=True),
        "no planted perks": Kind(spec, chosen.realistic_repetitions),
        "planted perks, affinity 0.5": Kind(
            replace(spec, affinity=0.5), chosen.planted_repetitions
        ),
        "planted perks, affinity 1": Kind(replace(spec, affinity=1.0), chosen.planted_repetitions),
        "planted traits": Kind(
            replace(alike, users=chosen.trait_users),
            chosen.trait_repetitions,
            traits=True,
            trips_alike=True,
        ),
    }
    start = time.perf_counter()
    for title, kind in plan.items():
        tables: list[pd.DataFrame] = []
        try:
            for number in range(kind.repetitions):
                tables.append(repetition(kind, chosen.first_seed + number, settings, perks))
                print(
                    f"{title}: {number + 1} of {kind.repetitions}, "
                    f"{time.perf_counter() - start:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
        finally:
            # Whoever stops it after an hour sees what was found until then.
            if tables:
                report(title, kind, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    main()
