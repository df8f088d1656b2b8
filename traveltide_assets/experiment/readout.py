"""The readout of the experiment: differences with intervals, tests, corrections and plain words.

Every customer counts in the arm and segment of the month of assignment, whatever happened
afterwards (intention to treat). Means are compared by Welch's t-test. If sessions measure the
metric, it is adjusted for the customer's behaviour before the start (CUPED), which narrows the
interval and does not shift it on average. Rates are compared by chi-squared, or by Fisher's exact
test if expected counts are small. P-values are corrected for the looks taken, then over metrics and
segments (Holm), goals and guardrails apart. A guardrail passes only if harm beyond the margin is
excluded (non-inferiority): that no harm is shown says nothing with few customers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, fisher_exact, norm
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from traveltide_assets.experiment import judging, looks, periods
from traveltide_assets.experiment.assignment import EVERYBODY, PERSONALISED, mismatch
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.effects import FEWEST
from traveltide_assets.experiment.judging import (
    BETTER,
    HARM,
    NO_DIFFERENCE,
    NO_HARM,
    NO_SPREAD,
    TOO_LITTLE,
    UNCLEAR,
    WORSE,
)
from traveltide_assets.experiment.metrics import BY_NAME, METRICS, Metric
from traveltide_assets.experiment.tables import READOUT

LOST = "outcomes missing unevenly"
_FEWEST_EXPECTED = 5
# The columns of the comparison, before verdicts are added.
_FIGURES = READOUT.column_names[:-3]
_LEVEL = 0.05  # Intervals are 95 % intervals, whatever the level of the tests.


@dataclass(frozen=True)
class Run:
    """The part of an experiment that can be read: from `start` to `until`, exclusive.

    `assigned_in` is the month of the assignment that holds for the whole experiment. `looks` are
    the times of the looks taken, this one last, as shares of the planned length: one per week.
    """

    start: dt.datetime
    until: dt.datetime
    planned_end: dt.datetime
    assigned_in: str
    looks: tuple[float, ...] = (1.0,)

    @property
    def length(self) -> dt.timedelta:
        return self.planned_end - self.start

    def after(self, weeks: int) -> Run:
        """What could be read of it after some weeks."""
        until = self.start + dt.timedelta(weeks=weeks)
        return replace(self, until=until, looks=self.looks[:weeks])

    @property
    def peeking(self) -> bool:
        """Whether it is read before the planned end."""
        return self.until < self.planned_end


@dataclass(frozen=True)
class Status:
    """What can be read as of a month: the run, if any, and the status in words."""

    words: str
    run: Run | None = None


def status(config: Config, month: str, assigned: Sequence[str]) -> Status:
    """The status as of the end of a month. `assigned` are the months with an assignment."""
    if config.start is None:
        return Status(
            "No experiment has been started: set experiment.start to the day of the first mailing."
        )
    if not periods.has_begun(config, month):
        return Status(f"The experiment starts on {config.start}, after the end of {month}.")
    weeks = periods.weeks_read(config.start, config, month)
    if weeks == 0:
        return Status(
            f"The experiment started on {config.start} and is read every week: its first is not "
            f"over by the end of {month}."
        )
    run = Run(
        start=periods.starts_at(config.start),
        until=periods.starts_at(config.start) + dt.timedelta(weeks=weeks),
        planned_end=periods.planned_end(config.start, config),
        assigned_in=periods.month_of_assignment(config.start),
        looks=periods.looks_at(weeks, config),
    )
    if run.assigned_in not in assigned:
        return Status(
            f"The experiment started on {config.start}, but {run.assigned_in}, whose campaign it "
            f"starts with, has not been decided: `traveltide run --month {run.assigned_in}`, then "
            f"{month} again."
        )
    read = f"Read from {config.start} to {_day_before(run.until)}"
    if not run.peeking:
        return Status(f"{read}, the planned end.", run)
    return Status(
        f"{read}, before the planned end on {_day_before(run.planned_end)}. Whoever looks early "
        "and stops at the first good news finds effects that do not exist: decide nothing that "
        "has not reached the bound of this look.",
        run,
    )


def _day_before(instant: dt.datetime) -> str:
    return f"{instant - dt.timedelta(days=1):%Y-%m-%d}"


def nothing() -> pd.DataFrame:
    """The empty readout of an experiment that has not started."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in READOUT.column_names})


def read(
    assignment: pd.DataFrame,
    outcomes: pd.DataFrame,
    before: pd.DataFrame,
    config: Config,
    run: Run,
) -> pd.DataFrame:
    """One row per metric and segment, and per metric for all customers.

    `outcomes` and `before` (from before the start) have a row per user (index) and a column per
    metric. A missing outcome was not measured.
    """
    table = compare(assignment, outcomes, before, config, run.looks)
    table["in_words"] = [_in_words(row, run.peeking) for _, row in table.iterrows()]
    return table.assign(read_until=run.until, peek=run.peeking)[list(READOUT.column_names)]


def compare(
    assignment: pd.DataFrame,
    outcomes: pd.DataFrame,
    before: pd.DataFrame,
    config: Config,
    times: Sequence[float] = (1.0,),
) -> pd.DataFrame:
    """The figures and verdicts of every metric in `outcomes`, at the last of the looks taken.

    `times` are those of the looks taken, as shares of the planned length.
    """
    users = assignment["user_id"]
    outcomes, before = outcomes.reindex(users), before.reindex(users)
    personalised = (assignment["arm"] == PERSONALISED).to_numpy()
    segment = assignment["segment"].to_numpy()
    rows = []
    for metric in (metric for metric in METRICS if metric.name in outcomes):
        values = outcomes[metric.name].to_numpy(dtype="float64")
        known = ~np.isnan(values)
        lost = mismatch(personalised[known], config.ratio)
        earlier = None
        if metric.name in before and before[metric.name].notna().all():
            earlier = before[metric.name].to_numpy(dtype="float64")
        for group in (EVERYBODY, *sorted(set(segment))):
            rows.append(
                {"metric": metric.name, "segment": group, "kind": metric.kind, "role": metric.role}
                | _compared(
                    metric,
                    values,
                    earlier,
                    personalised,
                    known & ((segment == group) | (group == EVERYBODY)),
                )
                | {"mismatch_p_value": lost}
            )
    return _with_verdicts(pd.DataFrame(rows, columns=list(_FIGURES)), config, times)


def _compared(
    metric: Metric,
    values: np.ndarray,
    earlier: np.ndarray | None,
    personalised: np.ndarray,
    rows: np.ndarray,
) -> dict[str, Any]:
    one, other = values[rows & personalised], values[rows & ~personalised]
    found: dict[str, Any] = {"customers_personalised": len(one), "customers_control": len(other)}
    if min(len(one), len(other)) < 2:
        return found
    found |= {"personalised": one.mean(), "control": other.mean()}
    found["difference"] = found["personalised"] - found["control"]
    if metric.kind == "rate":
        return found | rates(one, other)
    found |= {"test": "Welch t-test"} | _named(means(one, other))
    if earlier is None or min(len(one), len(other)) < FEWEST:
        return found
    adjusted = cuped(values[rows], earlier[rows])
    arm = personalised[rows]
    spread = values[rows].var()
    return found | {
        **_named(means(adjusted[arm], adjusted[~arm]), "cuped_"),
        "cuped_difference": adjusted[arm].mean() - adjusted[~arm].mean(),
        "variance_reduction": 1 - adjusted.var() / spread if spread > 0 else np.nan,
    }


def _named(test: tuple[float, float, float], prefix: str = "") -> dict[str, float]:
    return dict(zip((f"{prefix}{n}" for n in ("low", "high", "p_value")), test, strict=True))


def means(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """95 % interval of the difference of means, and Welch's p-value; NaN without any variance."""
    if not (one.std() > 0 or other.std() > 0):
        return (np.nan,) * 3
    both = CompareMeans(DescrStatsW(one), DescrStatsW(other))
    low, high = both.tconfint_diff(alpha=_LEVEL, usevar="unequal")
    return float(low), float(high), float(both.ttest_ind(usevar="unequal")[1])


def cuped(values: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Values minus their prediction from the same customers' earlier values. The mean stays."""
    spread = earlier.var()
    if not spread > 0:
        return values
    slope = np.cov(values, earlier, ddof=0)[0, 1] / spread
    return values - slope * (earlier - earlier.mean())


def rates(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The test of two rates, given zeros and ones: name, 95 % interval (Newcombe) and p-value."""
    yes = np.array([one.sum(), other.sum()])
    sizes = np.array([len(one), len(other)])
    table = np.array([yes, sizes - yes])
    low, high = confint_proportions_2indep(
        yes[0], sizes[0], yes[1], sizes[1], method="newcomb", alpha=_LEVEL
    )
    expected = np.outer(table.sum(axis=1), sizes) / sizes.sum()
    if not table.sum(axis=1).all():
        test, p_value = "Fisher exact", 1.0
    elif expected.min() < _FEWEST_EXPECTED:
        test, p_value = "Fisher exact", float(fisher_exact(table.astype(int)).pvalue)
    else:
        test = "chi-squared"
        p_value = float(chi2_contingency(table, correction=False).pvalue)
    return {"test": test, "low": float(low), "high": float(high), "p_value": p_value}


def _with_verdicts(table: pd.DataFrame, config: Config, times: Sequence[float]) -> pd.DataFrame:
    table = table.astype(dict.fromkeys(_FIGURES[5:-1], "float64"))
    figures = _deciding(table)
    table = table.assign(**judging.judged(figures, config, times, LOST))
    table["look_bound"] = looks.bounds(times, config.alpha)[-1]
    goals = figures[figures["role"] == "goal"]
    table["conditional_power"] = pd.Series(
        [_conditional_power(row, config, times) for _, row in goals.iterrows()],
        goals.index,
        dtype="float64",
    )
    counts = ["customers_personalised", "customers_control"]
    return table.astype(dict.fromkeys(counts, "int64"))


def _deciding(table: pd.DataFrame) -> pd.DataFrame:
    """What is judged of each row: the adjusted comparison if there is one, else the plain one."""
    p_value = table["cuped_p_value"].fillna(table["p_value"])
    low, high, difference = (_decided(table, name) for name in ("low", "high", "difference"))
    means = table["kind"] == "mean"
    fewest = table[["customers_personalised", "customers_control"]].min(axis=1)
    # A rate is 0 in both arms, or 1 in both.
    ends = table["personalised"].isin([0.0, 1.0]) & (table["personalised"] == table["control"])
    return pd.DataFrame(
        {
            "role": table["role"],
            "direction": table["metric"].map(
                {name: 1 if metric.more_is_better else -1 for name, metric in BY_NAME.items()}
            ),
            "difference": difference,
            "error": (high - low) / (2 * norm.isf(_LEVEL / 2)),
            # A Fisher exact p-value of 1 is no deviation.
            "deviation": norm.isf(p_value / 2),
            "other": table["control"],
            "mismatch_p_value": table["mismatch_p_value"],
            "enough": fewest >= np.where(means, FEWEST, 2),
            "same": p_value.isna() | ((table["role"] == "goal") & ~means & ends),
        }
    )


def _conditional_power(row: pd.Series, config: Config, times: Sequence[float]) -> float:
    error, now = row["error"], times[-1]
    if not error > 0:
        return float("nan")
    # The effect planned, in standard errors of the planned end: both grow with time.
    drift = config.relative_effect * row["other"] / error / np.sqrt(now)
    now_at = row["direction"] * row["difference"] / error
    return looks.conditional_power(float(now_at), times, config.alpha, float(drift))


def _decided(rows: pd.DataFrame, name: str) -> pd.Series:
    """A figure of the deciding comparison, which is the adjusted one if there is one."""
    return rows[f"cuped_{name}"].fillna(rows[name])


_SENTENCES = {
    BETTER: "The personalised perk does better than the control offer: {change}.",
    WORSE: "The personalised perk does worse than the control offer: {change}.",
    NO_DIFFERENCE: "No difference is shown: {change}. Anything in this interval may be true.",
    HARM: "The personalised perk does harm here: {change}.",
    NO_HARM: "Harm beyond the accepted margin is excluded: {change}.",
    UNCLEAR: "Harm beyond the accepted margin is neither shown nor excluded: {change}.",
    TOO_LITTLE: "Too little data to say anything.",
    NO_SPREAD: "Every customer has the same value, so there is nothing to compare. Has it been "
    "measured?",
    LOST: "Outcomes are missing more often in one arm than in the other, so nothing can be "
    "concluded: find out why first.",
}


def _in_words(row: pd.Series, peeking: bool) -> str:
    middle, *ends = (
        row[name] if np.isnan(row[f"cuped_{name}"]) else row[f"cuped_{name}"]
        for name in ("difference", "low", "high")
    )
    # As wide as the bound of this look is far; at a single look, the 95 % interval.
    wider = row["look_bound"] / norm.isf(_LEVEL / 2)
    numbers = [middle, *(middle + wider * (end - middle) for end in ends)]
    change = judging.in_words(numbers, row["kind"] == "rate")
    sentence = _SENTENCES[row["verdict"]].format(change=change)
    if peeking and row["verdict"] in (BETTER, WORSE, HARM):
        return f"The bound of this early look is reached. {sentence}"
    return f"Too early to decide. So far: {sentence}" if peeking else sentence
