"""Does learning keep its word? False promotions, coverage, planted traits, looks and allocation.

    python -m benchmarks.learning --repetitions 200 --splits 3000 --source path/to/cohort

Nothing planted: how often a policy is promoted, and how often intervals hold the truth. Planted
traits: the share of the oracle's gain over the best single offer that is reached after six months
of exploring. Looks: customers who were all treated alike are split at random and looked at every
week (A/A), then an effect is planted. Allocation: time and share of the bound. `--trial FOLDER`
adds half splits of a real trial. Every part prints a line per goal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from benchmarks import experiment
from traveltide_assets.experiment import assignment, judging, readout
from traveltide_assets.experiment.config import Config as Experiment
from traveltide_assets.experiment.learning import policy, policy_promotion, reward_model
from traveltide_assets.experiment.learning.budget_allocation import allocate
from traveltide_assets.experiment.learning.log import Log, folds_of
from traveltide_assets.experiment.learning.policy_value import METHODS, policy_value
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.settings import Settings

OFFERS = ("nothing", "bag", "meal", "night")
MONTHS, MONTHLY = 6, 1_500
FRESH = 50_000
PARTS = ("nothing", "coverage", "traits", "looks", "allocation")


def customers(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Traits as in the cohort: age, marriage, children, and two that mean nothing."""
    return pd.DataFrame(
        {
            "age": rng.normal(41, 12, rows).clip(17, 88),
            "married": rng.random(rows) < 0.44,
            "children": rng.random(rows) < 0.33,
            "tenure": rng.gamma(3, 60, rows),
            "sessions": rng.poisson(8, rows).astype(float),
        }
    )


def mean_reward(people: pd.DataFrame, effect: float) -> np.ndarray:
    """Customers by offers: the expected reward. Parents want bags, the married meals, all others
    nights."""
    wants = np.select([people["children"], people["married"]], [1, 2], 3)
    means = np.full((len(people), len(OFFERS)), 1.0)
    means[np.arange(len(people)), wants] += effect
    return means


def explored(rows: int, effect: float, seed: int) -> Log:
    """A log in which every offer was drawn with the same probability."""
    rng = np.random.default_rng(seed)
    people = customers(rows, rng)
    action = rng.integers(0, len(OFFERS), rows)
    reward = rng.gamma(1.0, mean_reward(people, effect)[np.arange(rows), action])
    return Log.of(people, np.array(OFFERS)[action], 1 / len(OFFERS), reward, OFFERS)


def share(hits: int, count: int) -> str:
    low, high = proportion_confint(hits, count, method="beta")
    return f"{hits / count:6.1%} [{low:.1%}, {high:.1%}] of {count:,}"


def nothing_planted(repetitions: int) -> None:
    """How often a policy is promoted where all customers are alike."""
    found = [
        policy_promotion.judge(explored(MONTHLY, 0.0, seed), seed=seed)
        for seed in range(repetitions)
    ]
    promoted = sum(one.promoted for one in found)
    print(f"nothing planted: promoted {share(promoted, repetitions)} (goal: at most 5 %)")
    held = 0
    for one in found:
        held += int(one.scorecard["low"].le(1).all() and one.scorecard["high"].ge(1).all())
    print(f"nothing planted: all simultaneous intervals hold {share(held, repetitions)} (95 %)")
    verdicts = pd.Series([one.verdict for one in found]).value_counts().to_dict()
    print(f"nothing planted: verdicts {verdicts}", flush=True)


def coverage(repetitions: int) -> None:
    """How often the interval of a fixed policy holds its value."""
    truth = mean_reward(customers(10**6, np.random.default_rng(0)), 0.5)[:, 1].mean()
    count = 5 * repetitions
    held = dict.fromkeys(METHODS, 0)
    for seed in range(count):
        log = explored(MONTHLY, 0.5, seed)
        expected = reward_model.cross_fitted(log, folds_of(MONTHLY, 3, seed), reward_model.linear)
        for method in METHODS:
            found = policy_value(log, log.always(1), method, expected)
            held[method] += found.low <= truth <= found.high
    for method, hits in held.items():
        print(f"coverage, {method}: {share(hits, count)} (goal: 95 ± 2 %)", flush=True)


def planted_traits(repetitions: int) -> None:
    """The share of the oracle's gain over the best single offer, after six months of exploring."""
    gains, promoted = [], 0
    for seed in range(repetitions):
        log = explored(MONTHS * MONTHLY, 0.5, seed)
        found = policy_promotion.judge(log, seed=seed)
        promoted += found.promoted
        people = customers(FRESH, np.random.default_rng(10**6 + seed))
        means = mean_reward(people, 0.5)
        single = int(means.mean(axis=0).argmax())
        chosen = found.policy.choose(people) if found.promoted else np.full(FRESH, single)
        reached = means[np.arange(FRESH), chosen].mean() - means[:, single].mean()
        gains.append(reached / (means.max(axis=1).mean() - means[:, single].mean()))
    print(f"planted traits: promoted {share(promoted, repetitions)}")
    print(
        f"planted traits: {np.mean(gains):.1%} of the oracle's gain on average, "
        f"{np.min(gains):.1%} at least (goal: 90 %)",
        flush=True,
    )


def weekly_outcomes(found: experiment.Customers) -> dict[str, np.ndarray]:
    """Customers by weeks, earliest first: counts of each measured metric."""
    users = found.frame["user_id"]
    return {
        name: found.weekly.pivot_table(
            index="user_id", columns="week", values=name, aggfunc="sum", fill_value=0
        )
        .reindex(index=users, columns=range(experiment.WEEKS - 1, -1, -1), fill_value=0)
        .to_numpy(dtype="float64")
        for name in ("bookings", "cancellations", "sessions")
    }


def verdicts_by_week(
    found: experiment.Customers, config: Experiment, number: int, effect: float, weekly: bool
) -> list[pd.DataFrame]:
    """The readout at each look, as it is, of one split with an effect planted on bookings."""
    arms = experiment.split(found, config, number)
    users = found.frame["user_id"]
    counts = weekly_outcomes(found)
    treated = users.isin(arms.loc[arms["arm"] == assignment.PERSONALISED, "user_id"]).to_numpy()
    rng = np.random.default_rng(number)
    more = rng.binomial(counts["bookings"].astype(int), effect)
    counts["bookings"] = counts["bookings"] + more * treated[:, None]
    tables = []
    for week in range(1, experiment.WEEKS + 1) if weekly else (experiment.WEEKS,):
        sums = {name: rows[:, :week].sum(axis=1) for name, rows in counts.items()}
        sums["cancellations"] = (sums["cancellations"] > 0).astype("float64")
        times = [one / experiment.WEEKS for one in range(1, week + 1)] if weekly else [1.0]
        outcomes = pd.DataFrame(sums, index=users)
        tables.append(readout.compare(arms, outcomes, found.before, config, times))
    return tables


def _first(tables: list[pd.DataFrame], *verdicts: str) -> int | None:
    """The first look (from 1) with one of the verdicts in any row."""
    return next((n for n, t in enumerate(tables, 1) if t["verdict"].isin(verdicts).any()), None)


def looks_every_week(source: Path | None, splits: int) -> None:
    """False alarms over all weekly looks, and what is found with a planted effect, and when."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if source is None:
            write_sample(folder / "sample", SampleSpec(users=20_000, active_share=0.3))
        found = experiment.customers(
            source or folder / "sample", folder, Settings.model_construct()
        )
    config = Experiment(start=experiment.START, weeks=experiment.WEEKS)
    print(f"looks: {len(found.frame):,} customers, {experiment.WEEKS} looks, {splits} A/A splits")
    alarms = {"goals": 0, "guardrails": 0}
    for number in range(splits):
        tables = verdicts_by_week(found, config, number, 0.0, weekly=True)
        alarms["goals"] += _first(tables, judging.BETTER, judging.WORSE) is not None
        alarms["guardrails"] += _first(tables, judging.HARM) is not None
    print(f"looks: false alarms, goals {share(alarms['goals'], splits)} (goal: 5 ± 1 %)")
    print(f"looks: false alarms, guardrails {share(alarms['guardrails'], splits)} (at most 5 %)")
    for effect in (0.1, 0.2):
        weeks, single = [], 0
        for number in range(max(splits // 4, 1)):
            tables = verdicts_by_week(found, config, number, effect, weekly=True)
            weeks.append(_first(tables, judging.BETTER))
            at_end = verdicts_by_week(found, config, number, effect, weekly=False)
            single += _first(at_end, judging.BETTER) is not None
        known = [week for week in weeks if week is not None]
        median = np.median([week or np.inf for week in weeks])
        print(
            f"looks: bookings {effect:+.0%} found {share(len(known), len(weeks))}, one look "
            f"{share(single, len(weeks))}, median week {median:g}",
            flush=True,
        )


def allocation(rows: int = 1_000_000, offers: int = 9) -> None:
    """Time and share of the bound."""
    rng = np.random.default_rng(1)
    costs = rng.uniform(1, 10, offers)
    own = rng.lognormal(0, 1, (rows, offers))
    kinds = rng.normal(1, 1, (5, offers))[rng.integers(0, 5, rows)]
    gamma = rng.gamma(1, 5, (rows, offers)) - 3
    caps = np.full(offers, 0.03 * rows)
    cases: dict[str, Callable[[], tuple[float, float, float]]] = {
        "budget": partial(_allocated, gamma, costs, 0.5 * rows, None),
        "budget and caps": partial(_allocated, gamma, costs, 1.0 * rows, caps),
        "five kinds of customers": partial(_allocated, kinds, costs, 0.5 * rows, caps),
        "a cost per customer": partial(_allocated, gamma, own, 0.2 * rows, caps),
    }
    for name, run in cases.items():
        seconds, worked, reached = run()
        print(
            f"allocation, {rows:,} x {offers}, {name}: {seconds:.1f} s ({worked:.1f} s of CPU), "
            f"{reached:.3%} of the bound (goals: 5 s, 99 %)",
            flush=True,
        )


def _allocated(
    values: np.ndarray, costs: np.ndarray, budget: float, caps: np.ndarray | None
) -> tuple[float, float, float]:
    began, worked = time.perf_counter(), time.process_time()
    found = allocate(values, costs, budget=budget, customer_caps=caps)
    seconds = time.perf_counter() - began, time.process_time() - worked
    if found.cost > budget:
        raise AssertionError(f"{found.cost} is over the budget of {budget}")
    return *seconds, found.value / found.bound


def half_splits(folder: Path, repetitions: int) -> None:
    """The net revenue of policies learned on half of a real trial's training file, on the rest."""
    rows = pd.read_csv(folder / "promotion_training.csv")
    features = rows[[column for column in rows if column.startswith("V")]]
    log = Log.of(features, rows["Promotion"], 0.5, 10.0 * rows["purchase"], ("No", "Yes"))
    costs = (0.0, 0.15)
    above = 0
    for seed in range(repetitions):
        half = folds_of(len(log), 2, seed) == 0
        learned = policy.learn(log.rows(half), costs, seed=seed)
        rest = log.rows(~half).net_of(costs)
        found = policy_value(rest, learned.choose(rest.features), "inverse_propensity")
        nobody = policy_value(rest, rest.always(0), "inverse_propensity")
        above += found.value > nobody.value
    print(f"half splits of the trial: worth more than nobody in {share(above, repetitions)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20, help="200 for the published figures")
    parser.add_argument("--splits", type=int, default=200, help="A/A splits, 3000 likewise")
    parser.add_argument("--source", type=Path, help="Folder of raw tables. Default: a sample.")
    parser.add_argument("--trial", type=Path, help="Folder of the real trial. Default: left out.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "allocation": allocation,
        "coverage": partial(coverage, chosen.repetitions),
        "looks": partial(looks_every_week, chosen.source, chosen.splits),
        "nothing": partial(nothing_planted, chosen.repetitions),
        "traits": partial(planted_traits, chosen.repetitions),
    }
    for name, run in parts.items():
        if name in chosen.parts:
            began = time.perf_counter()
            run()
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    if chosen.trial is not None:
        half_splits(chosen.trial, chosen.repetitions)


if __name__ == "__main__":
    main()
