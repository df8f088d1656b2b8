"""Outcomes of customers in the experiment: from sessions, responses and a file of outcomes."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from traveltide_assets.experiment.metrics import BY_NAME, METRICS, Metric
from traveltide_assets.schema.errors import TravelTideError
from traveltide_assets.schema.text_file import UnreadableText, read_text

_FILE = "experiment.outcomes_file"
_USER_ID = re.compile(r"[0-9]{1,18}")
# Below a billion, so that no sum loses digits.
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")
_SEPARATORS = {";": "semicolon", "\t": "tab", "|": "bar"}


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


def from_responses(outcomes: pd.DataFrame, counts: pd.DataFrame | None) -> pd.DataFrame:
    """The outcomes with those that responses measure: 0 for whoever did not respond.

    `counts` has a row per user with a response. Without responses nothing is measured of them.
    """
    if counts is None:
        return outcomes
    table = counts.set_index("user_id").reindex(outcomes.index, fill_value=0)
    return outcomes.assign(**{name: (table[name] > 0).astype("float64") for name in table})


def read_measured(file: Path) -> Measured:
    """The outcomes in a CSV file with `user_id` and one or more metrics.

    An empty cell was not measured. A rate is 0 or 1, a mean is a number of at least 0, and every
    user occurs once. Raises `OutcomesError` for anything else, with the line.
    """
    try:
        read = read_text(file)
        reader = csv.reader(io.StringIO(read.text, newline=""), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnreadableText as error:
        raise OutcomesError(f"{_FILE}: {error}") from error
    except csv.Error as error:
        raise OutcomesError(f"{_FILE} {file}, line {reader.line_num}: {error}") from error
    if len(rows) < 2:
        raise OutcomesError(f"{_FILE} {file} has no {'rows' if rows else 'header and no rows'}")
    columns = _columns(rows[0][1], file)
    values: dict[int, list[float]] = {}
    for line, cells in rows[1:]:
        place = f"{_FILE} {file}, line {line}"
        if len(cells) != len(columns):
            more = (
                "is there a comma at its end, or a decimal comma?" if cells[len(columns) :] else ""
            )
            raise OutcomesError(
                f"{place}: it has {len(cells)} cells, but the header has {len(columns)}. {more}"
            )
        row = dict(zip(columns, cells, strict=True))
        if not _USER_ID.fullmatch(row["user_id"]):
            raise OutcomesError(f"{place}: user_id is not a whole number")
        if int(row["user_id"]) in values:
            raise OutcomesError(f"{place}: this user_id occurs more than once")
        values[int(row["user_id"])] = [
            _number(row[name], BY_NAME[name], place) for name in columns if name != "user_id"
        ]
    metrics = [name for name in columns if name != "user_id"]
    table = pd.DataFrame.from_dict(values, orient="index", columns=metrics, dtype="float64")
    if empty := [name for name in metrics if table[name].isna().all()]:
        raise OutcomesError(f"{_FILE} {file}: no value of {', '.join(empty)}; leave the column out")
    return Measured(table.rename_axis("user_id"), read.digest)


def _columns(header: list[str], file: Path) -> list[str]:
    columns = [name.lower() for name in header]
    place = f"{_FILE} {file}, line 1"
    if "" in columns:
        raise OutcomesError(f"{place}: a column has no name. Is there a comma at the line's end?")
    if len(columns) == 1 and (signs := [name for s, name in _SEPARATORS.items() if s in header[0]]):
        raise OutcomesError(f"{place}: the separator is a {signs[0]}; it must be a comma")
    if repeated := sorted({name for name in columns if columns.count(name) > 1}):
        raise OutcomesError(f"{place}: {', '.join(repeated)} occurs more than once")
    unknown = [name for name in columns if name not in BY_NAME and name != "user_id"]
    if unknown or "user_id" not in columns or len(columns) < 2:
        raise OutcomesError(
            f"{place}: the columns are {', '.join(columns)}; it needs user_id and one or more of "
            f"{', '.join(BY_NAME)}, and nothing else"
        )
    return columns


def _number(cell: str, metric: Metric, place: str) -> float:
    if not cell:
        return math.nan
    value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    if math.isnan(value) or (metric.kind == "rate" and value not in (0, 1)):
        expected = "0 or 1" if metric.kind == "rate" else "a number of at least 0"
        raise OutcomesError(f"{place}: {metric.name} must always be {expected}")
    return value


def check_covers(measured: Measured, users: pd.Series) -> None:
    """Raise `OutcomesError` if a file cannot be what was measured of the experiment's customers.

    If nobody in it has a 0 and customers are missing, it lists those with an outcome alone: whoever
    did not sign up, say, is not in it. Rates computed from it would be 1 in both arms.
    """
    table = measured.table.reindex(users)
    if not measured.table.index.isin(users).any():
        raise OutcomesError(
            f"{_FILE}: none of its {len(measured.table):,} user_ids is in the experiment, which "
            f"has {len(users):,} customers. Is it of another campaign, or are these other ids?"
        )
    for name in table:
        known = table[name].dropna()
        missing = len(table) - len(known)
        if len(known) and missing and (known > 0).all():
            raise OutcomesError(
                f"{_FILE}: {name} is above 0 for all {len(known):,} customers of the experiment "
                f"that have a value, and {missing:,} have none. It seems to list only customers "
                "with an outcome. Add the others, with 0"
            )


def joined(sessions: pd.DataFrame, measured: Measured | None) -> pd.DataFrame:
    """Both tables, one row per user of the first. Measured outcomes override those of sessions."""
    if measured is None:
        return sessions
    table = measured.table.reindex(sessions.index)
    return sessions.drop(columns=[c for c in table if c in sessions]).join(table)
