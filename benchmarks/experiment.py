"""Is the experiment's readout calibrated, and is its power as planned? Real outcomes, many splits.

A/A: customers who all got the same treatment are assigned to arms with many salts. Every difference
that the readout finds is a false alarm: about 5 % of single tests may raise one, and at most 5 % of
families after Holm's correction. Then an effect is planted in the personalised arm: each booking
happens once more with the probability of the effect, and the share of customers who cancel rises by
the same factor. The readout should detect it as often as the plan says. Last, the experiment is
looked at every week (`sequential`).

    python -m benchmarks.experiment --source path/to/cohort --salts 1000

Without `--source`, customers are generated.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from benchmarks import pure, sequential
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.experiment import assignment, judging, plan, readout
from traveltide_assets.experiment import measurements as outcomes
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms import traffic

MONTH = "2023-07"
START = dt.date(2023, 6, 1)
WEEKS = 8
PLANTED = {"bookings": (0.05, 0.1, 0.15, 0.2), "cancellations": (0.2, 0.4, 0.6)}


@dataclass(frozen=True)
class Customers:
    """Customers with segment and perk, and their outcomes since the start and before it."""

    frame: pd.DataFrame
    after: pd.DataFrame
    before: pd.DataFrame
    weekly: pd.DataFrame


def customers(source: Path, folder: Path, settings: Settings) -> Customers:
    """The cohort of the month, segmented by k-means."""
    engine = DuckDB(folder / "scratch")
    tables = Files(Folder(source), engine, folder / "staging")
    start = dt.datetime.combine(START, dt.time())
    length = dt.timedelta(weeks=WEEKS)
    months = [f"{month:%Y-%m}" for month in pd.period_range("2023-01", MONTH, freq="M")]
    with pure.in_memory() as keep:
        gold = pure.gold(tables, settings.cohort, MONTH, months, keep)
        known, rows = gold.known(), (gold.sessions, gold.users)
        after, before = (
            outcomes.from_sessions(traffic.between(*rows, *period).to_pandas(), known["user_id"])
            for period in ((start, start + length), (start - length, start))
        )
        weekly = traffic.by_week(*rows, start + length, WEEKS).to_pandas()
    perks = load_perks(settings.perks_file)
    strategy = build_strategies(settings, perks)["kmeans"]
    return Customers(strategy.fit(History(known)).assign(known), after, before, weekly)


def split(found: Customers, config: Experiment, number: int) -> pd.DataFrame:
    """The random assignment of the customers to arms, with the salt of a number."""
    return assignment.assign(found.frame, config.model_copy(update={"salt": f"salt {number}"}))


def a_a(found: Customers, config: Experiment, salts: int) -> pd.DataFrame:
    """One row per salt, metric and segment: the readout without any effect."""
    tables = []
    for number in range(salts):
        arms = split(found, config, number)
        table = readout.compare(arms, found.after, found.before, config)
        tables.append(table.assign(salt=number))
    return pd.concat(tables, ignore_index=True)


def print_a_a(results: pd.DataFrame, config: Experiment) -> None:
    """False alarms of each test, and of the readout as a whole."""
    salts = results["salt"].nunique()
    print(f"\nA/A, {salts} salts: share of tests with p <= {config.alpha:g}")
    print(f"{'metric':15}{'test':22}{'all customers':>30}{'each segment':>16}")
    overall = results["segment"] == assignment.EVERYBODY
    for metric, rows in results.groupby("metric", sort=False):
        for test, column in (("", "p_value"), ("CUPED", "cuped_p_value")):
            if rows[column].isna().all():
                continue
            shown = test or " / ".join(sorted(set(rows["test"].dropna())))
            alarms = rows.loc[overall, column] <= config.alpha
            segments = rows.loc[~overall & rows[column].notna(), column] <= config.alpha
            print(f"{metric:15}{shown:36}{_share(alarms):>16}{segments.mean():16.1%}")
    low, high = proportion_confint(0.05 * salts, salts, method="beta")
    print(f"{'':15}5 % of {salts} salts would vary from {low:.1%} to {high:.1%}")
    goals = results[results["role"] == "goal"]
    family = (goals["p_holm"] <= config.alpha).groupby(goals["salt"]).any()
    print(f"any goal in any segment, after Holm: {_share(family)}")
    reduction = results[overall].groupby("metric", sort=False)["variance_reduction"].mean()
    print("variance CUPED explains:", reduction.dropna().map("{:.1%}".format).to_dict(), flush=True)


def _share(alarms: pd.Series) -> str:
    low, high = proportion_confint(alarms.sum(), len(alarms), method="beta")
    return f"{alarms.mean():.1%} [{low:.1%}, {high:.1%}]"


def planted(
    found: Customers, arms: pd.DataFrame, metric: str, effect: float, seed: int
) -> pd.DataFrame:
    """Outcomes with a relative effect on a metric planted in the personalised arm."""
    rng = np.random.default_rng(seed)
    after = found.after.copy()
    treated = after.index.isin(arms.loc[arms["arm"] == assignment.PERSONALISED, "user_id"])
    values = after[metric].to_numpy(copy=True)
    if metric == "cancellations":
        share = values.mean()
        joining = rng.random(len(values)) < effect * share / (1 - share)
        values[treated] = np.maximum(values, joining)[treated]
    else:
        values[treated] += rng.binomial(values.astype(int), effect)[treated]
    return after.assign(**{metric: values})


def print_power(found: Customers, config: Experiment, salts: int) -> None:
    """Planned and realised power over all customers, by metric and planted effect."""
    print(f"\nplanted effects, {salts} salts each, all customers")
    print("metric          effect    level  planned        realised [95 %]     CUPED  after Holm")
    splits = [split(found, config, number) for number in range(salts)]
    for metric, effects in PLANTED.items():
        for effect in effects:
            asked = config.model_copy(update={"relative_effect": effect})
            planned = plan.plan(splits[0], found.weekly, WEEKS, found.after.iloc[:0], asked)
            row = _overall(planned, metric)
            rows = []
            for number, arms in enumerate(splits):
                what = planted(found, arms, metric, effect, number)[[metric]]
                rows.append(_overall(readout.compare(arms, what, found.before, asked), metric))
            table = pd.DataFrame(rows)
            level = row["alpha"]
            cuped = table["cuped_p_value"]
            adjusted = f"{(cuped <= level).mean():.1%}" if cuped.notna().any() else "-"
            verdict = table["verdict"].isin([judging.BETTER, judging.HARM]).mean()
            print(
                f"{metric:15}{effect:7.0%}{level:9.4f}{row['power']:9.1%}"
                f"{_share(table['p_value'] <= level):>24}{adjusted:>10}{verdict:12.1%}",
                flush=True,
            )


def _overall(table: pd.DataFrame, metric: str) -> pd.Series:
    return table[(table["metric"] == metric) & (table["segment"] == assignment.EVERYBODY)].iloc[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="Folder of raw tables. Default: a sample.")
    parser.add_argument("--salts", type=int, default=1_000)
    parser.add_argument("--planted-salts", type=int, default=500)
    parser.add_argument("--look-salts", type=int, default=3_000)
    chosen = parser.parse_args()
    # The defaults, independent of the caller's environment and traveltide.toml.
    settings = Settings.model_construct()
    config = Experiment(start=START, weeks=WEEKS)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.source is None:
            write_sample(folder / "sample", SampleSpec(users=20_000, active_share=0.3))
        found = customers(chosen.source or folder / "sample", folder, settings)
    means = found.after.mean().map("{:.3f}".format).to_dict()
    print(f"{len(found.frame):,} customers as of {MONTH}, {WEEKS} weeks from {START}: {means}")
    weeks = sequential.of_customers(found.frame, found.before, found.weekly, WEEKS)
    sequential.run(weeks, config, chosen.look_salts)
    gc.freeze()  # statsmodels runs the garbage collector in every correction; skip our objects.
    loaded = time.perf_counter()
    if chosen.salts:
        results = a_a(found, config, chosen.salts)
        print_a_a(results, config)
        per_salt = (time.perf_counter() - loaded) / chosen.salts
        print(f"\n{1000 * per_salt:.0f} ms per split and readout")
        print_power(found, config, chosen.planted_salts)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
