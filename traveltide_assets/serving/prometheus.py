"""Prometheus metrics of the service. No label identifies a customer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one service, in their own registry.

    `age` gives the seconds since what is in service was last known to be what the lake holds.
    """

    def __init__(self, age: Callable[[], float | None], problems: Sequence[str]) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "traveltide_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "traveltide_request_seconds",
            "Time until the response",
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.customers = Counter(
            "traveltide_customers_scored", "Customers given a prediction", registry=registry
        )
        self.events = Counter("traveltide_events_logged", "Events logged", registry=registry)
        self.reloads = Counter(
            "traveltide_reloads", "Loads from the lake", ("outcome",), registry=registry
        )
        self.ended = Counter(
            "traveltide_workers_ended",
            "Processes ended over a question",
            ("reason",),
            registry=registry,
        )
        self.model = Gauge(
            "traveltide_model", "The model in service", ("version", "month"), registry=registry
        )
        self.since = Gauge(
            "traveltide_snapshot_loaded_timestamp_seconds",
            "When what is in service was loaded, 0: nothing is",
            registry=registry,
        )
        self.age = Gauge(
            "traveltide_snapshot_age_seconds",
            "Time since what is in service was last known to be what the lake holds",
            registry=registry,
        )
        self.age.set_function(lambda: math.nan if (found := age()) is None else found)
        self._problems = Gauge(
            "traveltide_lake_problem",
            "1 for what keeps the service from the lake's present state",
            ("problem",),
            registry=registry,
        )
        # Routes and methods are few, and finding a label takes longer than counting.
        self._count = functools.cache(self._requests.labels)
        self._time = functools.cache(self._seconds.labels)
        self._kinds = tuple(problems)
        self.problem(None)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._count(method, route, status).inc()
        self._time(route).observe(seconds)

    def problem(self, present: str | None) -> None:
        """Show one problem, or none."""
        for kind in self._kinds:
            self._problems.labels(kind).set(kind == present)
