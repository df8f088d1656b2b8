"""Prometheus metrics of the service. No label identifies a customer."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one service, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "traveltide_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "traveltide_request_seconds",
            "Time until the response",
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.customers = Counter(
            "traveltide_customers_scored", "Customers given a prediction", registry=registry
        )
        self.reloads = Counter(
            "traveltide_reloads", "Loads from the lake", ("outcome",), registry=registry
        )
        self.model = Gauge(
            "traveltide_model", "The model in service", ("version", "month"), registry=registry
        )
