"""Power analysis of the experiment: power, detectable effect, customers and weeks needed.

The baseline of a metric measured from sessions is what the participants did in the latest weeks, as
many as the experiment will last: today's traffic. But customers are in the cohort because they were
active, and they become less active once selected (regression to the mean). So the plan also uses
what participants who were in the cohort of an earlier month did in as many weeks after it. It calls
the customers enough only if they are enough with both baselines. Rates that sessions do not measure
are assumed. Goals are planned at the strictest level of Holm's correction over goals and segments,
so that the correction costs no more power than planned. Guardrails are planned at the level itself.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator

import ibis
import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower, TTestIndPower
from statsmodels.stats.proportion import proportion_effectsize

from traveltide_assets.experiment import looks, measurements, periods
from traveltide_assets.experiment.assignment import CONTROL, EVERYBODY, PERSONALISED
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.metrics import METRICS, Metric
from traveltide_assets.experiment.tables import PLAN
from traveltide_assets.schema.months import end_of
from traveltide_assets.transforms import cohort, traffic
from traveltide_assets.transforms.config import Config as CohortConfig

ENOUGH, TOO_FEW, UNKNOWN = "enough", "too few customers", "no baseline"
_DAYS_OF_A_WEEK = 7
_FEWEST = 2
_MANY = 500
_LEAST, _MOST = 1e-6, 1e3
_FEWEST_FOLLOWED = 100


def weeks_of_history(first: dt.datetime | None, end: dt.datetime, config: Config) -> int:
    """The number of whole weeks of sessions before `end` that a baseline may use."""
    if first is None:
        return 0
    return int(min((end - first).days // _DAYS_OF_A_WEEK, config.history_weeks))


def of_month(
    sessions: ibis.Table,
    customers: ibis.Table,
    arms: pd.DataFrame,
    month: str,
    config: Config,
    rule: CohortConfig,
) -> pd.DataFrame:
    """The plan as of the end of a month.

    `customers` is the month's assignment lazily, `arms` the same in memory.
    """
    end = end_of(month)
    known = sessions.filter(sessions.session_start < end)
    weeks = weeks_of_history(traffic.first_session(known), end, config)
    weekly = traffic.by_week(known, customers, end, weeks).to_pyarrow().to_pandas()
    return plan(arms, weekly, weeks, _followed(known, rule, config, month), config)


def _followed(sessions: ibis.Table, rule: CohortConfig, config: Config, month: str) -> pd.DataFrame:
    """The outcomes of an earlier cohort's customers in the weeks after it."""
    earlier = periods.latest_followed_up(config, month)
    chosen = cohort.active(sessions, rule, earlier)
    since = end_of(earlier)
    counts = traffic.between(sessions, chosen, since, since + dt.timedelta(weeks=config.weeks))
    # Sorted, since the last digit of a mean depends on the order.
    users = chosen.order_by("user_id").to_pyarrow().to_pandas()["user_id"]
    return measurements.from_sessions(counts.to_pyarrow().to_pandas(), users)


def plan(
    assignment: pd.DataFrame,
    weekly: pd.DataFrame,
    weeks: int,
    followed: pd.DataFrame,
    config: Config,
) -> pd.DataFrame:
    """One row per metric and segment, and per metric for all customers.

    `weekly` has a row per user and week with a session: `week`, where 0 is the latest of `weeks`
    weeks, and the counts of `transforms.traffic`. `followed` has a row per customer (index) of the
    earlier cohort and a column per metric: their outcomes after it.
    """
    groups = dict(_groups(assignment))
    goals = sum(metric.role == "goal" for metric in METRICS) * max(len(groups), 1)
    rows = []
    for metric in METRICS:
        table = _cumulative(weekly, assignment["user_id"], metric, weeks)
        alpha = config.alpha / goals if metric.role == "goal" else config.alpha
        for segment, members in groups.items():
            n = [int((assignment.loc[members, "arm"] == a).sum()) for a in (PERSONALISED, CONTROL)]
            baseline = _baselines(metric, table, members.to_numpy(), config)
            after = followed[followed.index.isin(assignment.loc[members, "user_id"])]
            named = {"metric": metric.name, "segment": segment, "kind": metric.kind}
            rows.append(
                named | {"role": metric.role} | _planned(metric, baseline, after, n, alpha, config)
            )
    return pd.DataFrame(rows, columns=list(PLAN.column_names))


def _groups(assignment: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    yield EVERYBODY, pd.Series(True, index=assignment.index)
    for segment in sorted(assignment["segment"].unique()):
        yield segment, assignment["segment"] == segment


def _cumulative(
    weekly: pd.DataFrame, users: pd.Series, metric: Metric, weeks: int
) -> np.ndarray | None:
    """Customers by weeks: the metric over the latest 1, 2, … weeks. None if not measured."""
    if not metric.measured or weeks == 0:
        return None
    wide = weekly.pivot_table(
        index="user_id", columns="week", values=metric.name, aggfunc="sum", fill_value=0
    ).reindex(index=users, columns=range(weeks), fill_value=0)
    sums = wide.to_numpy(dtype="float64").cumsum(axis=1)
    return sums if metric.kind == "mean" else (sums > 0).astype("float64")


def _baselines(
    metric: Metric, table: np.ndarray | None, members: np.ndarray, config: Config
) -> pd.DataFrame:
    """Mean and standard deviation of the metric by number of weeks (index). Empty if unknown."""
    if not metric.measured:
        share = float(getattr(config, f"assumed_{metric.name}"))
        spread = float(np.sqrt(share * (1 - share)))
        return pd.DataFrame({"mean": [share], "sd": [spread]}, index=[config.weeks])
    if table is None or members.sum() < _FEWEST:
        return pd.DataFrame({"mean": [], "sd": []}, dtype="float64")
    rows = table[members]
    weeks = range(1, rows.shape[1] + 1)
    return pd.DataFrame({"mean": rows.mean(axis=0), "sd": rows.std(axis=0, ddof=1)}, index=weeks)


def _planned(
    metric: Metric,
    baselines: pd.DataFrame,
    after: pd.DataFrame,
    n: list[int],
    alpha: float,
    config: Config,
) -> dict[str, object]:
    row: dict[str, object] = {
        "baseline_from": "sessions" if metric.measured else "assumed",
        "customers_personalised": n[0],
        "customers_control": n[1],
        "alpha": alpha,
        "verdict": UNKNOWN,
    }
    if baselines.empty or min(n) < _FEWEST:
        return row
    weeks = int(min(config.weeks, baselines.index.max()))
    mean, sd = baselines.loc[weeks]
    row |= {"baseline_weeks": weeks, "baseline_mean": mean, "baseline_sd": sd}
    size = effect_size(metric, mean, sd, config.relative_effect)
    if not np.isfinite(size):
        return row
    ratio = n[1] / n[0]
    needed = _solve(metric, n[0], alpha=alpha, power=config.power, ratio=ratio, nobs1=n[0])
    reached = [
        week
        for week, (m, s) in baselines.iterrows()
        if effect_size(metric, m, s, config.relative_effect) >= needed
    ]
    power = float(_power(metric, n[0]).power(size, n[0], alpha, ratio=ratio))
    chances = [power]
    if metric.measured and len(after) >= _FEWEST_FOLLOWED:
        quiet, spread = after[metric.name].mean(), after[metric.name].std(ddof=1)
        size = effect_size(metric, quiet, spread, config.relative_effect)
        chances.append(float(_power(metric, n[0]).power(size, n[0], alpha, ratio=ratio)))
        row |= {"mean_after": quiet, "power_after": chances[-1]}
        # The customers needed are computed from the quieter weeks, if they are known.
        mean, sd = quiet, spread
    if not np.isfinite(size):
        return row | {"power": power, "verdict": TOO_FEW}
    row |= _with_looks(min(chances), alpha, config.weeks)
    one = _solve(metric, n[0], alpha=alpha, power=config.power, ratio=ratio, effect_size=size)
    detectable = _relative(metric, mean, sd, needed)
    # Today's traffic does not tell how many of the quieter weeks are needed.
    known = reached and all(chance >= config.power for chance in chances[1:])
    return row | {
        "effect": config.relative_effect * mean,
        "power": power,
        "detectable_effect": detectable * mean,
        "detectable_relative": detectable,
        "customers_needed": float(np.ceil(one * (1 + ratio))),
        "weeks_needed": float(min(reached)) if known else np.nan,
        "verdict": ENOUGH if all(c >= config.power for c in chances) else TOO_FEW,
    }


def _with_looks(power: float, alpha: float, weeks: int) -> dict[str, float]:
    """Power and expected end with a look every week, where one look at the end has `power`."""
    drift = float(norm.isf(alpha / 2) - norm.isf(power)) if 0 < power < 1 else float("nan")
    if not np.isfinite(drift):
        return {"power_with_looks": power, "expected_weeks": float("nan")}
    found = looks.prospect([(week + 1) / weeks for week in range(weeks)], alpha, drift)
    return {"power_with_looks": found.power, "expected_weeks": found.expected * weeks}


def effect_size(metric: Metric, mean: float, sd: float, relative: float) -> float:
    """Cohen's d (means) or h (rates) of a relative change; NaN if it is undefined.

    A factor on a count is also a factor on its standard deviation, in the arm with the effect.
    """
    if metric.kind == "mean":
        pooled = sd * np.sqrt((1 + (1 + relative) ** 2) / 2)
        return float(relative * mean / pooled) if pooled > 0 and mean > 0 else float("nan")
    changed = mean * (1 + relative)
    return float(proportion_effectsize(changed, mean)) if 0 < mean < changed < 1 else float("nan")


def _relative(metric: Metric, mean: float, sd: float, size: float) -> float:
    """The relative change for an effect size; NaN if no change is that large."""
    most = _MOST if metric.kind == "mean" else min(_MOST, (1 - _LEAST) / mean - 1)
    if not effect_size(metric, mean, sd, most) > size:
        return float("nan")
    return float(brentq(lambda r: effect_size(metric, mean, sd, r) - size, _LEAST, most))


def _power(metric: Metric, customers: float) -> TTestIndPower | NormalIndPower:
    # With many customers both agree, and rounding spoils the tails of the noncentral t
    # distribution.
    small = metric.kind == "mean" and customers < _MANY
    return TTestIndPower() if small else NormalIndPower()


def _solve(metric: Metric, n: int, **known: float) -> float:
    with warnings.catch_warnings():
        # If the root search does not converge, statsmodels warns and the result is NaN.
        warnings.simplefilter("ignore")
        found = _power(metric, n).solve_power(**known)
    value = float(np.atleast_1d(found)[0])
    return value if value > 0 else float("nan")
