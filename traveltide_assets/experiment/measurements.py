"""Outcomes of customers in the experiment, from sessions and from a file of measured outcomes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from traveltide_assets.experiment.metrics import BY_NAME, METRICS
from traveltide_assets.schema.errors import TravelTideError


class OutcomesError(TravelTideError, ValueError):
    """The file of outcomes is not valid. The message says where."""


@dataclass(frozen=True)
class Measured:
    """Measured outcomes (index `user_id`, a column per metric), and the SHA-256 of their file."""

    table: pd.DataFrame
    digest: str


def from_sessions(counts: pd.DataFrame, users: pd.Series) -> pd.DataFrame:
    """A row per user (index), a column per metric that sessions measure. 0 without a session.

    `counts` has a row per user with a session, from `transforms.traffic.between`.
    """
    table = counts.set_index("user_id").reindex(users, fill_value=0)
    values = {
        metric.name: table[metric.name] if metric.kind == "mean" else table[metric.name] > 0
        for metric in METRICS
        if metric.measured
    }
    return pd.DataFrame(values, index=table.index).astype("float64")


def read_measured(file: Path) -> Measured:
    """The outcomes in a CSV file with `user_id` and one or more metrics.

    An empty cell was not measured. A rate is 0 or 1, a mean is a number of at least 0, and every
    user occurs once. Raises `OutcomesError` for anything else.
    """
    try:
        content = file.read_bytes()
        table = pd.read_csv(file, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise OutcomesError(
            f"experiment.outcomes_file {file} cannot be read as CSV: {error}"
        ) from error
    columns = [str(name) for name in table.columns]
    unknown = [name for name in columns if name not in BY_NAME and name != "user_id"]
    if unknown or "user_id" not in columns or len(columns) < 2:
        raise OutcomesError(
            f"experiment.outcomes_file {file} has the columns {', '.join(columns)}; it needs "
            f"user_id and one or more of {', '.join(BY_NAME)}, and nothing else"
        )
    if not pd.api.types.is_integer_dtype(table["user_id"]):
        raise OutcomesError(f"experiment.outcomes_file {file}: user_id is not a whole number")
    if table["user_id"].duplicated().any():
        raise OutcomesError(f"experiment.outcomes_file {file}: a user_id occurs more than once")
    for name in columns:
        if name != "user_id":
            _check_values(table[name], name, file)
    values = table.set_index("user_id").astype("float64")
    return Measured(values, hashlib.sha256(content).hexdigest())


def _check_values(values: pd.Series, name: str, file: Path) -> None:
    numbers = pd.to_numeric(values, errors="coerce")
    present = numbers.dropna()
    rate = BY_NAME[name].kind == "rate"
    wrong = (numbers.isna() & values.notna()).any() or not (
        present.isin([0, 1]) if rate else present.between(0, float("inf"), inclusive="left")
    ).all()
    if wrong:
        expected = "0 or 1" if rate else "a number of at least 0"
        raise OutcomesError(f"experiment.outcomes_file {file}: {name} must always be {expected}")


def joined(sessions: pd.DataFrame, measured: Measured | None) -> pd.DataFrame:
    """Both tables, one row per user of the first. Measured outcomes override those of sessions."""
    if measured is None:
        return sessions
    table = measured.table.reindex(sessions.index)
    return sessions.drop(columns=[c for c in table if c in sessions]).join(table)
