"""From raw tables to perks with pure functions alone: the work of the assets without Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import ibis
import pandas as pd

from traveltide_assets.campaign import steady
from traveltide_assets.catalogue.perks import (
    Perk,
    alternatives,
    features_of,
    of_program,
    titles,
)
from traveltide_assets.defs.checks.decisions import out_of_range
from traveltide_assets.report import charts
from traveltide_assets.segmentation import affinities, cluster_model, kmeans
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings
from traveltide_assets.sources.base import Source
from traveltide_assets.transforms import chain
from traveltide_assets.transforms.cleaning.cleaned import Cleaned
from traveltide_assets.transforms.cleaning.judge import (
    clean_flights,
    clean_hotels,
    clean_sessions,
    clean_users,
)
from traveltide_assets.transforms.config import Config as Cohort

Keep = Callable[[str, ibis.Table], ibis.Table]
"""Stores a table under its path in the lake, and returns the stored table."""


@dataclass(frozen=True)
class Gold:
    """The customers of the cohort, their rows and their features."""

    users: ibis.Table
    sessions: ibis.Table
    flights: ibis.Table
    hotels: ibis.Table
    trips: ibis.Table
    features: ibis.Table

    def known(self) -> pd.DataFrame:
        """One row per customer, in order: the features."""
        return self.features.to_pandas().sort_values("user_id", ignore_index=True)


@contextmanager
def in_memory() -> Iterator[Keep]:
    """Keeps tables in the engine until the end of the block."""
    with ExitStack() as stack:
        yield lambda path, table: stack.enter_context(table.cache())


def gold(source: Source, rule: Cohort, month: str, months: Sequence[str], keep: Keep) -> Gold:
    """The cohort as of the end of a month, from the sessions of the given months of the source."""
    silver = processed(source, months, keep)
    made = {f"silver/{name}_processed": table for name, table in silver.items()}
    for step in chain.STEPS:
        inputs = {name: made[path] for name, path in step.inputs.items()}
        with step.compute(inputs, rule, month, chain.cached) as table:
            made[step.path] = keep(step.path, table)
    users, sessions, flights, hotels, trips = (
        made[f"gold/{name}_final"] for name in ("users", "sessions", "flights", "hotels", "trips")
    )
    return Gold(users, sessions, flights, hotels, trips, made["gold/user_features"])


def processed(source: Source, months: Sequence[str], keep: Keep) -> dict[str, ibis.Table]:
    """The four tables, cleaned."""

    def stored(name: str, cleaned: Cleaned) -> ibis.Table:
        with cleaned:
            keep(f"silver/{name}_quarantine", cleaned.quarantine)
            return keep(f"silver/{name}_processed", cleaned.processed)

    raw = {name: keep(f"bronze/{name}_raw", source.table(name)) for name in ("users", "sessions")}
    users = stored("users", clean_users(raw["users"]))
    sessions = stored("sessions", clean_sessions(raw["sessions"], users, months))
    flights = keep("bronze/flights_raw", source.table("flights"))
    hotels = keep("bronze/hotels_raw", source.table("hotels"))
    return {
        "users": users,
        "sessions": sessions,
        "flights": stored("flights", clean_flights(flights)),
        "hotels": stored("hotels", clean_hotels(hotels)),
    }


def assignments(
    known: pd.DataFrame, settings: Settings, catalogue: tuple[Perk, ...]
) -> pd.DataFrame:
    """One row per customer: the perk from k-means."""
    strategy = build_strategies(settings, catalogue)["kmeans"]
    return affinities.assignments(known, strategy.fit(History(known)).assign(known), catalogue)


def decided(
    features: ibis.Table, settings: Settings, catalogue: tuple[Perk, ...], keep: Keep
) -> None:
    """The k-means model, its segments and perks, their pictures, and the slow checks."""
    config = settings.kmeans
    seed = settings.seed
    sample = kmeans.sample(features, config, seed)
    model = kmeans.fit(sample, config, seed, of_program(catalogue, "classic"), None)
    tried = kmeans.diagnose(sample, model, config, seed)
    keep("gold/kmeans_model", ibis.memtable(model.to_frame()))
    keep("gold/kmeans_diagnostics", ibis.memtable(tried))
    segments = keep(
        "gold/segments/kmeans", cluster_model.segment(features, model, catalogue, sample)
    )
    shown = kmeans.sample(segments, config, seed)
    profile = affinities.profiles(sample, shown["segment"])[list(model.features)]
    weighed = features.select("user_id", *features_of(catalogue)).order_by("user_id")
    given = affinities.assignments(
        weighed.to_pyarrow().to_pandas(), segments.to_pyarrow().to_pandas(), catalogue
    )
    decision = steady.steadied(
        given, None, None, alternatives(catalogue, given["perk"]), settings.decision.keep_margin
    ).assign(strategy="kmeans", as_of_month=settings.partitions.last)
    keep("gold/perk_assignments", ibis.memtable(decision))
    for chart in (
        charts.correlations(sample[list(model.features)]),
        charts.elbow(tried),
        charts.scatter(shown, shown["segment"], seed),
        charts.profile(profile),
        charts.perk_counts(given, titles(catalogue)),
    ):
        charts.png(chart)
    out_of_range(features)
