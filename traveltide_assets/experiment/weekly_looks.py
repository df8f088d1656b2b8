"""The experiment, looked at after every week: what each look shows, and what the rule says then.

A look counts whether or not somebody saw it. So the readout computes every week that is over, with
the bound of that week, and the first look that reaches a bound stands: what later weeks show cannot
undo it. Futility alone does not bind: who goes on in spite of it may still reach a bound. Only the
last look knows what a file of outcomes says, since the file does not say when.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import ibis
import pandas as pd

from traveltide_assets.experiment import measurements, readout
from traveltide_assets.experiment.assignment import EVERYBODY
from traveltide_assets.experiment.config import Config
from traveltide_assets.experiment.readout import Run
from traveltide_assets.experiment.stopping import GO_ON, Decision, decide
from traveltide_assets.experiment.tables import LOOKS
from traveltide_assets.transforms import responses, traffic

_SHOWN = (
    *("metric", "role", "customers_personalised", "customers_control", "personalised", "control"),
    *("p_look", "p_holm", "look_bound", "conditional_power", "verdict", "in_words"),
)


@dataclass(frozen=True)
class Weekly:
    """The readout at the last look, and every look with what the rule says after it.

    `decided` is the decision of the look that stops, or that of the last; `week` is its week.
    """

    read: pd.DataFrame
    looks: pd.DataFrame
    decided: Decision
    week: int


def of_run(
    sessions: ibis.Table,
    answers: ibis.Table,
    customers: ibis.Table,
    arms: pd.DataFrame,
    config: Config,
    run: Run,
) -> Weekly | None:
    """Every look at the weeks of the run that the sessions cover; None if they cover none.

    `answers` are responses to offers, `customers` and `arms` the assignment of the month that the
    experiment started from.
    """
    known = (traffic.known_until(sessions) - run.start) // dt.timedelta(weeks=1)
    weeks = min(len(run.looks), known)
    if weeks < 1:
        return None
    run = run.after(weeks)
    before = measurements.from_sessions(
        traffic.between(sessions, customers, run.start - run.length, run.start)
        .to_pyarrow()
        .to_pandas(),
        arms["user_id"],
    )
    by_week = traffic.by_week(sessions, customers, run.until, weeks).to_pyarrow().to_pandas()
    answered = responses.by_week(answers, customers, run.until, weeks).to_pyarrow().to_pandas()
    measured = measurements.read_measured(config.outcomes_file) if config.outcomes_file else None
    if measured is not None:
        measurements.check_covers(measured, arms["user_id"])
    outcomes = [
        measurements.joined(
            measurements.from_responses(
                measurements.from_sessions(_up_to(by_week, back), arms["user_id"]),
                _up_to(answered, back) if len(answered) else None,
            ),
            measured if back == 0 else None,
        )
        for back in reversed(range(weeks))
    ]
    return at_looks(arms, outcomes, before, config, run)


def at_looks(
    arms: pd.DataFrame,
    outcomes: list[pd.DataFrame],
    before: pd.DataFrame,
    config: Config,
    run: Run,
) -> Weekly:
    """Every look, given what is known of each customer after week 1, 2, …: see `readout.read`."""
    tables: list[pd.DataFrame] = []
    decided, stopped_in = Decision(GO_ON, ""), 0
    for week, known in enumerate(outcomes, 1):
        look = run.after(week)
        read = readout.read(arms, known, before, config, look)
        new = decide(read, look.peeking, config)
        if decided.verdict == GO_ON or (new.bound and not decided.bound):
            decided, stopped_in = new, week
        shown = _of_look(read).assign(week=week, decision=decided.verdict, stopped_in=stopped_in)
        tables.append(shown)
    found = pd.concat(tables, ignore_index=True)
    found["stopped_in"] = found["stopped_in"].where(found["decision"] != GO_ON)
    return Weekly(read, found[list(LOOKS.column_names)], decided, stopped_in)


def nothing() -> pd.DataFrame:
    """The looks at an experiment that has not started."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in LOOKS.column_names})


def _up_to(by_week: pd.DataFrame, back: int) -> pd.DataFrame:
    """Counts per user without the latest weeks."""
    rows = by_week[by_week["week"] >= back]
    return rows.drop(columns="week").groupby("user_id", as_index=False).sum()


def _of_look(read: pd.DataFrame) -> pd.DataFrame:
    """The rows over all customers, with the difference that decides."""
    rows = read[read["segment"] == EVERYBODY]
    deciding = {
        name: rows[f"cuped_{name}"].fillna(rows[name]) for name in ("difference", "low", "high")
    }
    return rows[[*_SHOWN]].assign(**deciding)
