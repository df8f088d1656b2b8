"""What customers did in the experiment: read from sessions, or from a table that was measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from traveltide_assets.experiment.metrics import BY_NAME, METRICS
from traveltide_assets.schema.errors import TravelTideError


class OutcomesError(TravelTideError, ValueError):
    """The table of outcomes is not what it should be; the message says where."""


@dataclass(frozen=True)
class Measured:
    """A table of outcomes: `user_id` as index, a column per metric; and its file's SHA-256."""

    table: pd.DataFrame
    digest: str


def from_sessions(counts: pd.DataFrame, users: pd.Series) -> pd.DataFrame:
    """A row per user (index) and a column per metric that sessions tell; no session means 0.

    `counts` has a row per user with a session, as of `transforms.traffic.between`.
    """
    table = counts.set_index("user_id").reindex(users, fill_value=0)
    values = {
        metric.name: table[metric.name] if metric.kind == "mean" else table[metric.name] > 0
        for metric in METRICS
        if metric.measured
    }
    return pd.DataFrame(values, index=table.index).astype("float64")


def read_measured(file: Path) -> Measured:
    """A CSV file with `user_id` and one or more metrics; an empty cell was not measured.

    A rate is 0 or 1, a mean a number from 0 on, every user comes once; anything else is an error.
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
        raise OutcomesError(f"experiment.outcomes_file {file}: a user_id comes more than once")
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
        expected = "0 or 1" if rate else "a number from 0 on"
        raise OutcomesError(f"experiment.outcomes_file {file}: {name} is not everywhere {expected}")


def joined(sessions: pd.DataFrame, measured: Measured | None) -> pd.DataFrame:
    """Both tables, a row per user of the first; what was measured goes before sessions."""
    if measured is None:
        return sessions
    table = measured.table.reindex(sessions.index)
    return sessions.drop(columns=[c for c in table if c in sessions]).join(table)
