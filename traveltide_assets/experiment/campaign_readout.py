"""What a campaign did: those who were invited against those held out, and arms against each other.

It is computed from `gold/campaign_outcomes` alone, so whoever joined later is no part of it. Every
difference is adjusted for what was known before the start and for segments (`effects`). P-values
are corrected for the looks taken, then over goals and segments, or over guardrails and segments, of
a comparison (Holm). A guardrail passes only if harm beyond the margin is excluded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from traveltide_assets.experiment import looks
from traveltide_assets.experiment.assignment import (
    CONTROL,
    EVERYBODY,
    EXPLORATION,
    HOLDOUT,
    PERSONALISED,
    mismatch,
)
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.effects import FEWEST, Effect, effect
from traveltide_assets.experiment.metrics import OF_CAMPAIGNS, Metric
from traveltide_assets.experiment.readout import (
    BETTER,
    HARM,
    NO_DIFFERENCE,
    NO_HARM,
    NO_SPREAD,
    TOO_LITTLE,
    UNCLEAR,
    WORSE,
)
from traveltide_assets.experiment.tables import CAMPAIGN_READOUT
from traveltide_assets.schema.months import end_of, next_month
from traveltide_assets.stats.holm import holm

INVITED = "invited against held out"
ARMS = "personalised against control"
UNEVEN = "groups not as large as drawn"
_COLUMNS = {
    "revenue": "revenue_capped_usd",
    "revenue_per_booking": "revenue_capped_usd",
    "net_margin": "net_margin_usd",
    "click_through": "clicks",
    "retention": "retained",
}
"""The columns of metrics that have another name."""

_BEFORE = ["bookings_before", "sessions_before", "revenue_before_usd"]


@dataclass(frozen=True)
class Comparison:
    """Two groups of a campaign's customers, and the share of the first that was drawn, if known.

    `answers` says whether both groups were written to, so that responses can be compared.
    """

    name: str
    one: np.ndarray
    other: np.ndarray
    share: float | None
    answers: bool


def comparisons(outcomes: pd.DataFrame, ratio: float, holdout: float) -> Iterator[Comparison]:
    """The comparisons that a campaign allows: both groups must have customers."""
    arm, offer = outcomes["arm"].to_numpy(), outcomes["offer"].to_numpy()
    held = arm == HOLDOUT
    found = [
        Comparison(INVITED, ~held, held, 1 - holdout, answers=False),
        Comparison(ARMS, arm == PERSONALISED, arm == CONTROL, ratio, answers=True),
    ]
    for perk in sorted(set(offer[arm == EXPLORATION])):
        drawn = (arm == EXPLORATION) & (offer == perk)
        found.append(Comparison(f"{perk} against none", drawn, held, None, answers=False))
    return (each for each in found if each.one.any() and each.other.any())


def times_of_looks(start: dt.datetime, end: dt.datetime, until: dt.datetime) -> tuple[float, ...]:
    """When a campaign has been read, as shares of its horizon: at ends of months, and now."""
    month, ends = f"{start:%Y-%m}", [until]
    while (ended := end_of(month)) < until:
        ends.append(ended)
        month = next_month(month)
    return tuple(sorted({(each - start) / (end - start) for each in ends}))


def read(outcomes: pd.DataFrame, config: Config, holdout: float) -> pd.DataFrame:
    """One row per campaign, comparison, metric and segment: see `gold/campaign_readout`."""
    tables = [
        _of_campaign(rows.reset_index(drop=True), config, holdout)
        for _, rows in outcomes.groupby("campaign", sort=True)
    ]
    found = pd.concat([nothing(), *tables], ignore_index=True) if tables else nothing()
    return found[list(CAMPAIGN_READOUT.column_names)]


def nothing() -> pd.DataFrame:
    """The readout without a campaign to read."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in CAMPAIGN_READOUT.column_names})


def _of_campaign(outcomes: pd.DataFrame, config: Config, holdout: float) -> pd.DataFrame:
    first = outcomes.iloc[0]
    times = times_of_looks(first["starts_at"], first["ends_at"], first["read_until"])
    shared = {
        "campaign": first["campaign"],
        "read_until": first["read_until"],
        "peek": not first["closed"],
        "look_bound": looks.bounds(times, config.alpha)[-1],
    }
    tables = [
        _compared(outcomes, comparison, config, times).assign(**shared)
        for comparison in comparisons(outcomes, config.ratio, holdout)
    ]
    table = pd.concat(tables, ignore_index=True) if tables else nothing()
    table["in_words"] = [_in_words(row) for _, row in table.iterrows()]
    return table


def _compared(
    outcomes: pd.DataFrame, groups: Comparison, config: Config, times: Sequence[float]
) -> pd.DataFrame:
    taking_part = groups.one | groups.other
    rows, treated = outcomes[taking_part], groups.one[taking_part]
    drawn = mismatch(treated, groups.share) if groups.share is not None else 1.0
    segments = rows["segment"].to_numpy()
    lines = []
    for metric in _measured(rows, groups):
        for segment in (EVERYBODY, *sorted(set(segments))):
            chosen = (segments == segment) | (segment == EVERYBODY)
            found = _effect(metric, rows[chosen], treated[chosen], segment == EVERYBODY)
            lines.append(
                {
                    "comparison": groups.name,
                    "metric": metric.name,
                    "segment": segment,
                    "kind": metric.kind,
                    "role": metric.role,
                    "customers_one": int(treated[chosen].sum()),
                    "customers_other": int((~treated[chosen]).sum()),
                    "mismatch_p_value": drawn,
                    **asdict(found),
                }
            )
    return _with_verdicts(pd.DataFrame(lines), config, times)


def _measured(rows: pd.DataFrame, groups: Comparison) -> Iterator[Metric]:
    """The metrics that can be compared: responses only where both groups could respond."""
    answered = rows[["clicks", "sign_ups", "redemptions", "unsubscribed"]].to_numpy().any()
    for metric in OF_CAMPAIGNS:
        # Retention needs half of the horizon, the margin its rate and costs.
        known = rows[_column(metric)].notna().all()
        if known and (metric.measured or (groups.answers and answered)):
            yield metric


def _column(metric: Metric) -> str:
    return _COLUMNS.get(metric.name, metric.name)


def _values(metric: Metric, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
    """The values of a metric per customer, and what a ratio divides them by."""
    values = rows[_column(metric)].to_numpy(dtype="float64")
    if metric.kind == "ratio":
        return values, rows["bookings"].to_numpy(dtype="float64")
    return (values > 0).astype("float64") if metric.kind == "rate" else values, None


def _effect(metric: Metric, rows: pd.DataFrame, treated: np.ndarray, strata: bool) -> Effect:
    values, per = _values(metric, rows)
    before = rows[_BEFORE].to_numpy(dtype="float64") if len(rows) >= 2 * FEWEST else None
    return effect(values, treated, before, rows["segment"].to_numpy() if strata else None, per)


def _with_verdicts(table: pd.DataFrame, config: Config, times: Sequence[float]) -> pd.DataFrame:
    goals = (table["role"] == "goal").to_numpy()
    distance = table["difference"] / table["error"]
    table["p_look"] = [looks.p_value(float(z), times) for z in distance]
    table["p_margin"] = np.nan
    for rows in (goals, ~goals):
        table.loc[rows, "p_holm"] = holm(table.loc[rows, "p_look"].to_numpy())
    beyond = [_p_margin(row, config, times) for _, row in table[~goals].iterrows()]
    table.loc[~goals, "p_margin"] = holm(beyond)
    table["verdict"] = [_verdict(row, config) for _, row in table.iterrows()]
    return table


def _direction(row: pd.Series) -> int:
    (metric,) = (metric for metric in OF_CAMPAIGNS if metric.name == row["metric"])
    return 1 if metric.more_is_better else -1


def _p_margin(row: pd.Series, config: Config, times: Sequence[float]) -> float:
    """One-sided p-value of the guardrail being worse by at least the margin."""
    if not row["error"] > 0:
        return float("nan")
    margin = config.guardrail_margin * row["other"]
    distance = (_direction(row) * row["difference"] + margin) / row["error"]
    both = looks.p_value(float(distance), times)
    return both / 2 if distance > 0 else 1 - both / 2


def _verdict(row: pd.Series, config: Config) -> str:
    if row["mismatch_p_value"] < config.mismatch_alpha:
        return UNEVEN
    if min(row["customers_one"], row["customers_other"]) < FEWEST:
        return TOO_LITTLE
    if not row["error"] > 0:
        return NO_SPREAD
    gained, shown = _direction(row) * row["difference"] > 0, row["p_holm"] <= config.alpha
    if row["role"] == "guardrail":
        if shown and not gained:
            return HARM
        return NO_HARM if row["p_margin"] <= config.alpha else UNCLEAR
    if not shown:
        return NO_DIFFERENCE
    return BETTER if gained else WORSE


_SENTENCES = {
    BETTER: "More than chance: {change}.",
    WORSE: "Less than chance allows: {change}.",
    NO_DIFFERENCE: "No difference is shown: {change}. Anything in this interval may be true.",
    HARM: "Harm: {change}.",
    NO_HARM: "Harm beyond the accepted margin is excluded: {change}.",
    UNCLEAR: "Harm beyond the accepted margin is neither shown nor excluded: {change}.",
    TOO_LITTLE: "Too few customers to say anything.",
    NO_SPREAD: "Every customer has the same value, so there is nothing to compare.",
    UNEVEN: "The groups are not as large as they were drawn, so nothing can be concluded: find out "
    "why first.",
}


def _in_words(row: pd.Series) -> str:
    percent = row["kind"] == "rate"
    factor, digits, unit = (100, 1, " points") if percent else (1, 3, "")
    numbers = [factor * row[name] for name in ("difference", "low", "high")]
    change = "{:+.{d}f} ({:+.{d}f} to {:+.{d}f}){u}".format(*numbers, d=digits, u=unit)
    if np.isfinite(row["relative"]):
        shares = (row[name] for name in ("relative", "relative_low", "relative_high"))
        change += ", {:+.0%} ({:+.0%} to {:+.0%})".format(*shares)
    sentence = _SENTENCES[row["verdict"]].format(change=change)
    if row["peek"] and row["verdict"] not in (BETTER, WORSE, HARM):
        return f"The horizon is not over. So far: {sentence}"
    return sentence
