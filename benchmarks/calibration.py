"""Is the evidence calibrated? Generated customers without and with planted perks.

Without planted perks a "supported" is a false alarm, unless the profile says something: the
generator lets age decide how often a customer books, as in the real data. So what followed is also
shuffled, after which every "supported" is a false alarm. With planted perks, each strategy should
find the planted perk more often than chance and the verdict should be "supported".

    python benchmarks/calibration.py --repetitions 100 --users 1500
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd

from traveltide_assets.engine import Engine
from traveltide_assets.months import shift
from traveltide_assets.sample import SampleSpec, write_sample
from traveltide_assets.segmentation import evidence
from traveltide_assets.segmentation.perks import Perk, load_perks
from traveltide_assets.segmentation.strategies import build_strategies
from traveltide_assets.segmentation.strategy import History, Strategy
from traveltide_assets.settings import Settings
from traveltide_assets.sources.files import Files
from traveltide_assets.transforms import cleaning, cohort, features, outcomes, trips

MONTH = "2023-07"


def frames(spec: SampleSpec, settings: Settings, folder: Path) -> dict[str, pd.DataFrame]:
    """Features as of the month and as of the cut, outcomes after it, and the planted truth."""
    write_sample(folder / "source", spec, "parquet")
    engine = Engine(folder / "scratch")
    source = Files(folder / "source", engine, folder / "staging")
    cut = shift(MONTH, -settings.evidence.months)
    sessions_raw = source.table("sessions")
    months = [f"2023-{number:02d}" for number in range(1, 8)]
    with (
        cleaning.clean_users(source.table("users")) as users,
        cleaning.clean_sessions(sessions_raw, users.processed, months) as sessions,
        cleaning.clean_flights(source.table("flights")) as flights,
        cleaning.clean_hotels(source.table("hotels")) as hotels,
    ):
        rule = settings.cohort
        members = cohort.cohort_users(users.processed, sessions.processed, rule, MONTH).cache()
        own = cohort.cohort_sessions(sessions.processed, members, rule, MONTH).cache()
        flown = cohort.named_by(flights.processed, own).cache()
        stayed = cohort.named_by(hotels.processed, own).cache()
        booked = trips.build_trips(own, members, flown, stayed, MONTH).cache()
        with members, own, flown, stayed, booked:
            lazily = {
                "features": features.user_features(members, own, booked, MONTH),
                "earlier": outcomes.earlier_features(members, own, flown, stayed, cut),
                "outcomes": outcomes.outcomes_after(members, own, booked, cut),
            }
            made = {
                name: table.to_pandas().sort_values("user_id").reset_index(drop=True)
                for name, table in lazily.items()
            }
    return {**made, "truth": pd.read_csv(folder / "source" / "truth.csv")}


def repetition(
    seed: int, users: int, affinity: float, settings: Settings, perks: tuple[Perk, ...]
) -> pd.DataFrame:
    """One row per strategy: is any perk supported, really and after shuffling what followed?

    Shuffled are outcomes among customers with equally many earlier sessions: then nothing says
    anything. With planted perks, also how many customers are given theirs.
    """
    spec = SampleSpec(users=users, seed=seed, active_share=1.0, affinity=affinity)
    with tempfile.TemporaryDirectory() as folder:
        data = frames(spec, settings, Path(folder))
    trial = evidence.Trial.prepare(data["earlier"], data["outcomes"], settings.evidence, seed)
    shuffled = trial.outcomes.iloc[trial.shuffles[:, 0]].reset_index(drop=True)
    nothing = replace(trial, outcomes=shuffled.assign(user_id=trial.outcomes["user_id"]))
    history = History(data["features"], data["earlier"], data["outcomes"])
    planted = data["features"][["user_id"]].merge(data["truth"], on="user_id")["favourite_perk"]
    rows = []
    for name, strategy in build_strategies(settings, perks).items():
        real = supported(strategy, trial, perks)
        row: dict[str, object] = {
            "strategy": name,
            "supported": len(real),
            "perks": " ".join(real),
            "after_shuffling": float("nan"),
            "recovered": float("nan"),
        }
        if affinity == 0:
            row["after_shuffling"] = len(supported(strategy, nothing, perks))
        else:
            given = strategy.fit(history).assign(data["features"])["perk"]
            row["recovered"] = float((given.to_numpy() == planted.to_numpy()).mean())
        rows.append(row)
    return pd.DataFrame(rows).assign(affinity=affinity, seed=seed)


def supported(strategy: Strategy, trial: evidence.Trial, perks: tuple[Perk, ...]) -> list[str]:
    """The perks of a strategy with the verdict "supported"."""
    given = evidence.assign_from_past(strategy, trial)
    verdicts = evidence.judge(strategy.name, given, trial, perks)
    return list(verdicts.loc[verdicts["verdict"] == evidence.SUPPORTED, "perk"])


def report(results: pd.DataFrame) -> None:
    """Print a row per strategy and affinity."""
    for affinity, rows in results.groupby("affinity"):
        print(f"\naffinity {affinity:g}, {rows['seed'].nunique()} repetitions")
        print("strategy       any supported after shuffling  recovered  perks")
        for name, row in rows.groupby("strategy", sort=False):
            shuffled = row["after_shuffling"].dropna().gt(0).mean()
            recovered = row["recovered"].mean()
            which = Counter(" ".join(row["perks"]).split())
            print(
                f"{name:14} {(row['supported'] > 0).mean():13.1%} {shuffled:15.1%} "
                f"{recovered:10.1%}  {dict(which)}"
            )
        anywhere = rows.groupby("seed")[["supported", "after_shuffling"]].sum().gt(0).mean()
        print(
            f"{'any of them':14} {anywhere['supported']:13.1%} {anywhere['after_shuffling']:15.1%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--planted-repetitions", type=int, default=5)
    parser.add_argument("--users", type=int, default=1_500)
    parser.add_argument("--affinity", type=float, nargs="*", default=[0.5, 1.0])
    chosen = parser.parse_args()
    # The defaults, whatever the environment and traveltide.toml of whoever runs this say.
    settings = Settings.model_construct()
    perks = load_perks(settings.perks_file)
    plan = [(0.0, seed) for seed in range(chosen.repetitions)]
    plan += [(a, seed) for a in chosen.affinity for seed in range(chosen.planted_repetitions)]
    start = time.perf_counter()
    tables = []
    for affinity, seed in plan:
        tables.append(repetition(seed, chosen.users, affinity, settings, perks))
        print(f"{len(tables)} of {len(plan)}, {time.perf_counter() - start:.0f} s", flush=True)
    report(pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    main()
