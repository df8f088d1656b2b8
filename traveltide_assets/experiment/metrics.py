"""The metrics of the experiment: its goals, and the guardrails that must not get worse.

Sessions do not show clicks on invitations or sign-ups for perks. These two metrics come from a file
of outcomes that the mailing tool and the app have to provide; until then the plan uses assumed
rates. All other metrics come from sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["mean", "rate", "ratio"]
Role = Literal["goal", "guardrail"]


@dataclass(frozen=True)
class Metric:
    """One number per customer: a count or a sum (`mean`), yes or no (`rate`), or a `ratio` of sums.

    `more_is_better` gives the desired direction. `measured` says whether sessions measure it.
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

OF_CAMPAIGNS: tuple[Metric, ...] = (
    Metric("bookings", "bookings per customer", "mean", "goal", True, True),
    Metric("revenue", "revenue per customer, USD", "mean", "goal", True, True),
    Metric("net_margin", "margin less cost per customer, USD", "mean", "goal", True, True),
    Metric("click_through", "customers who click the invitation", "rate", "goal", True, False),
    Metric("sign_ups", "customers who sign up for the offer", "rate", "goal", True, False),
    Metric("redemptions", "customers who redeem the offer", "rate", "goal", True, False),
    Metric("revenue_per_booking", "revenue per booking, USD", "ratio", "guardrail", True, True),
    Metric("cancellations", "customers who cancel a trip", "rate", "guardrail", False, True),
    Metric("retention", "customers who come back later", "rate", "guardrail", True, True),
    Metric("unsubscribed", "customers who unsubscribe", "rate", "guardrail", False, False),
)
"""What is read of a campaign. Responses are measured of those alone who were written to."""
