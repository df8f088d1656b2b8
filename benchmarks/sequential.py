"""The experiment looked at every week: false alarms over all looks, and what looking early costs.

The same statistics as the readout's (Welch's test adjusted by CUPED, chi-squared or Fisher's exact
test), computed for thousands of splits; `check` compares them with the readout itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact, norm
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from traveltide_assets.experiment import looks, readout
from traveltide_assets.experiment.assignment import PERSONALISED, arms
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.metrics import BY_NAME
from traveltide_assets.stats.holm import holm

METRICS = ("bookings", "cancellations", "sessions")
PLANTED = (0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Weeks:
    """Customers with segments, what they did before, and in each week (a column per week)."""

    users: pd.Series
    segment: np.ndarray
    before: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray]

    @cached_property
    def groups(self) -> list[np.ndarray]:
        everybody = np.ones(len(self.users), bool)
        return [everybody, *(self.segment == name for name in sorted(set(self.segment)))]

    @cached_property
    def centred(self) -> dict[str, list[np.ndarray]]:
        """What each group did before, around its mean, by metric."""
        return {
            metric: [values[group] - values[group].mean() for group in self.groups]
            for metric, values in self.before.items()
        }


def of_customers(
    frame: pd.DataFrame, before: pd.DataFrame, weekly: pd.DataFrame, weeks: int
) -> Weeks:
    """`weekly` has a row per user and week with a session, where week 0 is the latest."""
    users = frame["user_id"]
    counts = {}
    for metric in METRICS:
        wide = weekly.pivot_table(
            index="user_id", columns="week", values=metric, aggfunc="sum", fill_value=0
        )
        wide = wide.reindex(index=users, columns=range(weeks - 1, -1, -1), fill_value=0)
        counts[metric] = wide.to_numpy(dtype="float64")
    earlier = before.reindex(users)
    return Weeks(
        users.reset_index(drop=True),
        frame["segment"].to_numpy(),
        {metric: earlier[metric].to_numpy(dtype="float64") for metric in METRICS},
        counts,
    )


def sizes(found: Weeks, treated: np.ndarray, metric: str, by_week: np.ndarray) -> np.ndarray:
    """The difference in standard errors, and its degrees of freedom: weeks x groups x 2."""
    rate = BY_NAME[metric].kind == "rate"
    rows = []
    for values in by_week.cumsum(axis=1).T:
        known = (values > 0).astype("float64") if rate else values
        rows.append(
            [
                (_rate(known[group], treated[group]), np.inf)
                if rate
                else _mean(known[group], earlier, treated[group])
                for group, earlier in zip(found.groups, found.centred[metric], strict=True)
            ]
        )
    return np.array(rows)


def z_values(found: np.ndarray) -> np.ndarray:
    """Differences in standard errors of a normal distribution with the same p-value."""
    size, freedom = found[..., 0], found[..., 1]
    return np.sign(size) * norm.isf(student.sf(np.abs(size), freedom))


def _mean(values: np.ndarray, earlier: np.ndarray, treated: np.ndarray) -> tuple[float, float]:
    """Welch's statistic, adjusted by CUPED; `earlier` has the mean 0."""
    spread = earlier @ earlier
    adjusted = values - (values @ earlier / spread) * earlier if spread > 0 else values
    one, other = adjusted[treated], adjusted[~treated]
    counts = np.array([len(one), len(other)])
    parts = np.array([one.var(ddof=1), other.var(ddof=1)]) / counts
    if not parts.sum() > 0:
        return np.nan, np.inf
    freedom = parts.sum() ** 2 / (parts**2 / (counts - 1)).sum()
    return float((one.mean() - other.mean()) / np.sqrt(parts.sum())), float(freedom)


def _rate(values: np.ndarray, treated: np.ndarray) -> float:
    one, of_one = int(values[treated].sum()), int(treated.sum())
    return _rates(one, int(values.sum()) - one, of_one, len(values) - of_one)


@lru_cache(maxsize=100_000)
def _rates(one: int, other: int, of_one: int, of_other: int) -> float:
    total, count = one + other, of_one + of_other
    if total in (0, count):
        return 0.0
    sign = np.sign(one / of_one - other / of_other)
    if min(total, count - total) * min(of_one, of_other) / count < 5:
        table = [[one, other], [of_one - one, of_other - other]]
        return float(sign * norm.isf(fisher_exact(table).pvalue / 2))
    pooled = total / count
    spread = np.sqrt(pooled * (1 - pooled) * (1 / of_one + 1 / of_other))
    return float((one / of_one - other / of_other) / spread)


def splits(found: Weeks, config: Config, count: int) -> list[np.ndarray]:
    salted = (config.model_copy(update={"salt": f"salt {n}"}) for n in range(count))
    return [arms(found.users, each) == PERSONALISED for each in salted]


def corrected(z: np.ndarray, weeks: int) -> np.ndarray:
    """The p-value of every look, corrected for the looks taken: splits x weeks x rows."""
    p = np.empty_like(z)
    for week in range(weeks):
        times = tuple((w + 1) / weeks for w in range(week + 1))
        p[:, week] = looks.p_values(z[:, week], times)
    return p


def after_holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction over the rows of every look."""
    return np.array([[holm(look) for look in split] for split in p])


def check(
    found: Weeks, config: Config, outcomes: Sequence[pd.DataFrame], treated: np.ndarray
) -> float:
    """The largest difference of p-values from those of the readout, over all looks and rows."""
    arm = np.where(treated, PERSONALISED, "control")
    assigned = pd.DataFrame({"user_id": found.users, "segment": found.segment, "arm": arm})
    before = pd.DataFrame(found.before, index=found.users)
    off = 0.0
    for week, known in enumerate(outcomes):
        table = readout.compare(assigned, known, before, config)
        for metric in METRICS:
            rows = table[table["metric"] == metric]
            ours = z_values(sizes(found, treated, metric, found.counts[metric][:, : week + 1]))[-1]
            theirs = rows["cuped_p_value"].fillna(rows["p_value"]).to_numpy(dtype="float64")
            off = max(off, float(np.nanmax(np.abs(2 * norm.sf(np.abs(ours)) - theirs))))
    return off


def cumulative(found: Weeks) -> list[pd.DataFrame]:
    """The outcomes after each week, as the readout takes them."""
    weeks = found.counts["bookings"].shape[1]
    return [
        pd.DataFrame(
            {
                metric: (sums > 0).astype("float64") if BY_NAME[metric].kind == "rate" else sums
                for metric in METRICS
                for sums in [found.counts[metric][:, : week + 1].sum(axis=1)]
            },
            index=found.users,
        )
        for week in range(weeks)
    ]


def run(found: Weeks, config: Config, count: int) -> None:
    """Print false alarms over all looks, the power lost, and when a planted effect is found."""
    weeks = found.counts["bookings"].shape[1]
    drawn = splits(found, config, count)
    off = check(found, config, cumulative(found), drawn[0])
    print(f"\n{weeks} weekly looks, {count} splits (p-values within {off:.1e} of the readout's)")
    z = {
        metric: z_values(np.array([sizes(found, t, metric, found.counts[metric]) for t in drawn]))
        for metric in METRICS
    }
    p = {metric: corrected(z[metric], weeks) for metric in METRICS}
    alarms = (p["bookings"][:, :, 0] <= config.alpha).any(axis=1)
    naive = (2 * norm.sf(np.abs(z["bookings"][:, :, 0])) <= config.alpha).any(axis=1)
    print(f"bookings of all customers, any look:         {_share(alarms)}")
    print(f"the same without bounds:                     {_share(naive)}")
    goals = (after_holm(p["bookings"]) <= config.alpha).any(axis=(1, 2))
    print(f"any goal, any row, any look, after Holm:     {_share(goals)}")
    both = after_holm(np.concatenate([p["cancellations"], p["sessions"]], axis=2))
    worse = np.concatenate([z["cancellations"] > 0, z["sessions"] < 0], axis=2)
    harm = ((both <= config.alpha) & worse).any(axis=(1, 2))
    print(f"harm to any guardrail, any row, any look:    {_share(harm)}", flush=True)
    print("\nplanted  one look  weekly looks  lost, points  found after Holm  median week found")
    for effect in PLANTED:
        _print_planted(found, config, drawn, effect)


def _print_planted(
    found: Weeks, config: Config, drawn: Sequence[np.ndarray], effect: float
) -> None:
    weeks = found.counts["bookings"].shape[1]
    rows = []
    for number, treated in enumerate(drawn):
        extra = np.random.default_rng(number).binomial(found.counts["bookings"].astype(int), effect)
        planted = found.counts["bookings"] + extra * treated[:, None]
        rows.append(sizes(found, treated, "bookings", planted))
    z = z_values(np.array(rows))
    p = corrected(z, weeks)
    better = z > 0
    single = ((2 * norm.sf(z[:, -1, 0]) <= config.alpha) & better[:, -1, 0]).mean()
    reached = (p[:, :, 0] <= config.alpha) & better[:, :, 0]
    by_holm = ((after_holm(p) <= config.alpha) & better)[:, :, 0]
    print(
        f"{effect:7.0%}{single:10.1%}{reached.any(axis=1).mean():14.1%}"
        f"{100 * (single - reached.any(axis=1).mean()):14.1f}"
        f"{by_holm.any(axis=1).mean():18.1%}{_median_week(by_holm):>19}",
        flush=True,
    )


def _median_week(reached: np.ndarray) -> str:
    """The first week by which half of the splits have found the effect."""
    share = np.maximum.accumulate(reached, axis=1).mean(axis=0)
    weeks = np.flatnonzero(share >= 0.5)
    return str(weeks[0] + 1) if len(weeks) else "never"


def _share(alarms: np.ndarray | np.bool_) -> str:
    alarms = np.asarray(alarms)
    low, high = proportion_confint(alarms.sum(), len(alarms), method="beta")
    return f"{alarms.mean():.1%} [{low:.1%}, {high:.1%}]"
