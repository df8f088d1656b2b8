"""What a campaign did: those who were invited against those held out, and arms against each other.

It is computed from `gold/campaign_outcomes` alone, so whoever joined later is no part of it. Every
difference is adjusted for what was known before the start and for segments (`effects`). Verdicts
are those of `judging`, over the metrics and segments of a comparison; perks that were drawn are
compared with each other as one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.experiment import judging, looks
from traveltide_assets.experiment.assignment import (
    CONTROL,
    EVERYBODY,
    EXPLORATION,
    HOLDOUT,
    PERSONALISED,
    mismatch,
)
from traveltide_assets.experiment.campaign_outcomes import may_have
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.effects import FEWEST, Effect, effect
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
from traveltide_assets.experiment.metrics import OF_CAMPAIGNS, Metric
from traveltide_assets.experiment.tables import CAMPAIGN_READOUT
from traveltide_assets.schema.months import end_of, next_month

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
    `weights` are for customers who were not all as likely to be in their group. Comparisons of one
    `family` are corrected together.
    """

    name: str
    one: np.ndarray
    other: np.ndarray
    share: float | None
    answers: bool
    weights: np.ndarray | None = None
    family: str = ""


def comparisons(outcomes: pd.DataFrame, ratio: float, holdout: float) -> Iterator[Comparison]:
    """The comparisons that a campaign allows: both groups must have customers."""
    arm = outcomes["arm"].to_numpy()
    held = arm == HOLDOUT
    found = [
        Comparison(INVITED, ~held, held, 1 - holdout, answers=False),
        Comparison(ARMS, arm == PERSONALISED, arm == CONTROL, ratio, answers=True),
    ]
    return (each for each in (*found, *_explored(outcomes)) if each.one.any() and each.other.any())


def _explored(outcomes: pd.DataFrame) -> Iterator[Comparison]:
    """Each perk that was drawn against none and against each other, among those who may have both.

    A perk was drawn the likelier, the fewer others a customer could get: the weights make up for
    that.
    """
    arm, offer = outcomes["arm"].to_numpy(), outcomes["offer"].to_numpy()
    exploring, held = arm == EXPLORATION, arm == HOLDOUT
    weights = np.where(exploring, 1 / outcomes["probability"].to_numpy(dtype="float64"), 1.0)
    perks = sorted(set(offer[exploring]) - {NO_OFFER})
    may = {perk: may_have(outcomes["eligible"], perk) for perk in perks}
    drawn = {perk: exploring & (offer == perk) for perk in perks}
    for perk in perks:
        yield Comparison(
            f"{perk} against none", drawn[perk] & may[perk], held & may[perk], None, False, weights
        )
    for one, other in combinations(perks, 2):
        both = may[one] & may[other]
        yield Comparison(
            f"{one} against {other}",
            drawn[one] & both,
            drawn[other] & both,
            None,
            True,
            weights,
            EXPLORATION,
        )


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
    families: dict[str, list[pd.DataFrame]] = {}
    for each in comparisons(outcomes, config.ratio, holdout):
        families.setdefault(each.family or each.name, []).append(_compared(outcomes, each))
    tables = [
        _with_verdicts(pd.concat(found, ignore_index=True), config, times).assign(**shared)
        for found in families.values()
    ]
    table = pd.concat(tables, ignore_index=True) if tables else nothing()
    table["in_words"] = [_in_words(row) for _, row in table.iterrows()]
    return table


def _compared(outcomes: pd.DataFrame, groups: Comparison) -> pd.DataFrame:
    taking_part = groups.one | groups.other
    rows, treated = outcomes[taking_part], groups.one[taking_part]
    weights = None if groups.weights is None else groups.weights[taking_part]
    drawn = mismatch(treated, groups.share) if groups.share is not None else 1.0
    segments = rows["segment"].to_numpy()
    lines = []
    for metric in _measured(rows, groups):
        for segment in (EVERYBODY, *sorted(set(segments))):
            chosen = (segments == segment) | (segment == EVERYBODY)
            weighed = None if weights is None else weights[chosen]
            found = _effect(metric, rows[chosen], treated[chosen], segment == EVERYBODY, weighed)
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
    return pd.DataFrame(lines)


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


def _effect(
    metric: Metric,
    rows: pd.DataFrame,
    treated: np.ndarray,
    strata: bool,
    weights: np.ndarray | None,
) -> Effect:
    values, per = _values(metric, rows)
    before = rows[_BEFORE].to_numpy(dtype="float64") if len(rows) >= 2 * FEWEST else None
    segments = rows["segment"].to_numpy() if strata else None
    return effect(values, treated, before, segments, per, weights)


def _with_verdicts(table: pd.DataFrame, config: Config, times: Sequence[float]) -> pd.DataFrame:
    better = {metric.name: 1 if metric.more_is_better else -1 for metric in OF_CAMPAIGNS}
    sizes = table[["customers_one", "customers_other"]].min(axis=1)
    figures = table.assign(
        direction=table["metric"].map(better),
        deviation=table["difference"] / table["error"],
        enough=sizes >= FEWEST,
        same=~(table["error"] > 0),
    )
    return table.join(judging.judged(figures, config, times, UNEVEN))


_ALONE = (
    "Not beyond chance: {change}. Taken alone the interval leaves out 0; corrected for all that is "
    "compared and the looks taken, the p-value is {p_holm:.3f}."
)
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
    numbers = [row[name] for name in ("difference", "low", "high")]
    change = judging.in_words(numbers, row["kind"] == "rate")
    if np.isfinite(row["relative"]):
        shares = (row[name] for name in ("relative", "relative_low", "relative_high"))
        change += ", {:+.0%} ({:+.0%} to {:+.0%})".format(*shares)
    alone = row["verdict"] == NO_DIFFERENCE and (row["low"] > 0 or row["high"] < 0)
    sentence = _ALONE if alone else _SENTENCES[row["verdict"]]
    sentence = sentence.format(change=change, p_holm=row["p_holm"])
    if row["peek"] and row["verdict"] not in (BETTER, WORSE, HARM):
        return f"The horizon is not over. So far: {sentence}"
    return sentence
