"""Is the evidence calibrated? Back-tests on generated customers without and with planted perks.

If all customers behave the same, the verdict "supported" is a false alarm. It is also one if the
outcomes are permuted among customers with the same number of earlier sessions. Customers without
planted perks still differ by age and family, as real ones do: older ones book more often, families
check more bags. "Supported" may then be right. With planted perks, each strategy should find the
planted perk more often than chance, and the verdict should be "supported".

    python -m benchmarks.calibration --repetitions 100 --users 1500
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
from scipy.stats import binomtest

from benchmarks import pure
from traveltide_assets.catalogue.perks import Perk, load_perks
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.evidence import backtest as evidence
from traveltide_assets.lake.storage.folder import Folder
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.schema.months import shift
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms import outcomes
from traveltide_assets.transforms.chain import features_of

MONTH = "2023-07"
FEW = 0.05


def frames(spec: SampleSpec, settings: Settings, folder: Path) -> dict[str, pd.DataFrame]:
    """Features as of the month and as of the cut, outcomes after the cut, and the planted perks."""
    write_sample(folder / "source", spec, "parquet")
    engine = DuckDB(folder / "scratch")
    source = Files(Folder(folder / "source"), engine, folder / "staging")
    cut = shift(MONTH, -settings.evidence.months)
    months = [f"2023-{number:02d}" for number in range(1, 8)]
    with pure.in_memory() as keep:
        gold = pure.gold(source, settings.cohort, MONTH, months, keep)
        fewest = settings.cohort.min_sessions
        users = outcomes.chosen_anyway(gold.users, gold.sessions, fewest, cut)
        lazily = {
            "features": gold.features,
            "earlier": features_of(
                users, outcomes.sessions_before(gold.sessions, cut), gold.flights, gold.hotels, cut
            ),
            "outcomes": outcomes.outcomes_after(users, gold.sessions, gold.trips, cut),
        }
        made = {
            name: table.to_pandas().sort_values("user_id", ignore_index=True)
            for name, table in lazily.items()
        }
    return {**made, "truth": pd.read_csv(folder / "source" / "truth.csv")}


def repetition(spec: SampleSpec, settings: Settings, perks: tuple[Perk, ...]) -> pd.DataFrame:
    """One row per strategy: the perks supported by the outcomes, and by permuted outcomes.

    With planted perks, also the share of customers who get theirs.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = frames(spec, settings, Path(folder))
    back_test = evidence.BackTest.prepare(
        data["earlier"], data["outcomes"], settings.evidence, spec.seed
    )
    permuted = back_test.outcomes.iloc[back_test.permutations[0]].reset_index(drop=True)
    nothing = replace(back_test, outcomes=permuted.assign(user_id=back_test.outcomes["user_id"]))
    history = History(data["features"], data["earlier"], data["outcomes"])
    planted = data["features"][["user_id"]].merge(data["truth"], on="user_id")["favourite_perk"]
    strategies = build_strategies(settings, perks)
    assigned = {name: evidence.assign_from_past(s, back_test) for name, s in strategies.items()}
    learnt = {
        name: evidence.assign_from_past(s, nothing)
        for name, s in strategies.items()
        if s.learns_from_outcomes
    }
    really = evidence.judge(assigned, back_test, perks)
    by_chance = supported(evidence.judge(assigned | learnt, nothing, perks))
    rows = []
    for name, strategy in strategies.items():
        recovered = float("nan")
        if spec.affinity > 0:
            given = strategy.fit(history).assign(data["features"])["perk"]
            recovered = float((given.to_numpy() == planted.to_numpy()).mean())
        tried = really[(really["strategy"] == name) & (really["verdict"] != evidence.TOO_LITTLE)]
        rows.append(
            {
                "strategy": name,
                "supported": len(supported(really).get(name, [])),
                "perks": " ".join(supported(really).get(name, [])),
                "after_shuffling": len(by_chance.get(name, [])),
                "recovered": recovered,
                "tried": len(tried),
                "unlikely": int((tried["p_value"] <= FEW).sum()),
            }
        )
    return pd.DataFrame(rows).assign(seed=spec.seed)


def supported(judged: pd.DataFrame) -> dict[str, list[str]]:
    """The perks with the verdict "supported", by strategy."""
    found = judged[judged["verdict"] == evidence.SUPPORTED]
    return {str(name): list(rows["perk"]) for name, rows in found.groupby("strategy")}


def report(title: str, rows: pd.DataFrame) -> None:
    """Print a row per strategy, and a summary of all strategies."""
    print(f"\n{title}: {rows['seed'].nunique()} repetitions")
    print("strategy       any supported  after shuffling  recovered  perks")
    for name, of_strategy in rows.groupby("strategy", sort=False):
        alarms = of_strategy[["supported", "after_shuffling"]].gt(0).mean()
        recovered = of_strategy["recovered"].mean()
        which = Counter(" ".join(of_strategy["perks"]).split())
        print(
            f"{name:14} {alarms['supported']:13.1%} {alarms['after_shuffling']:16.1%} "
            f"{'' if pd.isna(recovered) else f'{recovered:.1%}':>10}  {dict(which)}"
        )
    share = rows["unlikely"].sum() / max(rows["tried"].sum(), 1)
    print(f"of {rows['tried'].sum()} p-values before correction, {share:.1%} are {FEW} or less")
    for name in ("supported", "after_shuffling"):
        alarms = rows.groupby("seed")[name].sum() > 0
        interval = binomtest(int(alarms.sum()), len(alarms)).proportion_ci()
        print(
            f"by any strategy, {name.replace('_', ' ')}: {alarms.mean():.1%} "
            f"(95 % interval {interval.low:.1%} to {interval.high:.1%})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=100, help="with identical customers")
    parser.add_argument("--realistic-repetitions", type=int, default=20)
    parser.add_argument("--planted-repetitions", type=int, default=5)
    parser.add_argument("--users", type=int, default=1_500)
    parser.add_argument("--first-seed", type=int, default=0)
    chosen = parser.parse_args()
    # The defaults, independent of the caller's environment and traveltide.toml.
    settings = Settings.model_construct()
    perks = load_perks(settings.perks_file)
    spec = SampleSpec(users=chosen.users, active_share=1.0)
    plan = {
        "identical customers": (replace(spec, alike=True), chosen.repetitions),
        "no planted perks": (spec, chosen.realistic_repetitions),
        "planted perks, affinity 0.5": (replace(spec, affinity=0.5), chosen.planted_repetitions),
        "planted perks, affinity 1": (replace(spec, affinity=1.0), chosen.planted_repetitions),
    }
    start = time.perf_counter()
    for title, (kind, repetitions) in plan.items():
        tables = []
        for number in range(repetitions):
            seed = chosen.first_seed + number
            tables.append(repetition(replace(kind, seed=seed), settings, perks))
            print(
                f"{title}: {number + 1} of {repetitions}, {time.perf_counter() - start:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        if tables:
            report(title, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    main()
