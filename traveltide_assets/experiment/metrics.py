"""The metrics of the experiment: what it is for, and the guardrails that must not suffer.

No session says whether an invitation was clicked or a perk signed up for, so these two come from a
table of outcomes that the mailing tool and the app have to deliver; until then the plan rests on
an assumed share. Everything else can be read from sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["mean", "rate"]
Role = Literal["goal", "guardrail"]


@dataclass(frozen=True)
class Metric:
    """One number per customer: a count (`mean`) or did they or not (`rate`).

    `more_is_better` says which direction is wanted; `measured` whether sessions tell it.
    """

    name: str
    title: str
    kind: Kind
    role: Role
    more_is_better: bool
    measured: bool


METRICS: tuple[Metric, ...] = (
    Metric("bookings", "bookings per customer", "mean", "goal", True, True),
    Metric("click_through", "customers who click the invitation", "rate", "goal", True, False),
    Metric("sign_ups", "customers who sign up for the offer", "rate", "goal", True, False),
    Metric("cancellations", "customers who cancel a trip", "rate", "guardrail", False, True),
    Metric("sessions", "browsing sessions per customer", "mean", "guardrail", True, True),
)
BY_NAME = {metric.name: metric for metric in METRICS}
