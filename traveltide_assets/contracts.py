"""One contract per table: columns, types, keys and their meaning.

A contract drives the storage schema, the Columns tab of the UI, the column descriptions and the
blocking schema check. Money is in US dollars, times have no zone (the source has none).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import ibis
import pyarrow as pa

from traveltide_assets.segmentation.perks import Perk, of_program
from traveltide_assets.transforms.features import CATALOGUE
from traveltide_assets.transforms.outcomes import OUTCOMES


@dataclass(frozen=True)
class Column:
    """A column: its Ibis type, its meaning, and whether a row may go without it."""

    name: str
    type: str
    description: str
    required: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A dataset of the lake: one row is what the description says, unique by `key`."""

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitioned: bool = False
    keeps_extra_columns: bool = False

    @property
    def path(self) -> str:
        return f"{self.layer}/{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)

    @cached_property
    def schema(self) -> ibis.Schema:
        return ibis.schema({column.name: column.type for column in self.columns})

    @property
    def arrow_schema(self) -> pa.Schema:
        return self.schema.to_pyarrow()


USERS = (
    Column("user_id", "int64", "Identifier of the user; grows with the sign-up date"),
    Column("birthdate", "date", "Date of birth"),
    Column("gender", "string", "F, M or O"),
    Column("married", "boolean", "Married at the time of the export"),
    Column("has_children", "boolean", "Has children at the time of the export"),
    Column("home_country", "string", "usa or canada"),
    Column("home_city", "string", "City of residence, lower case"),
    Column("home_airport", "string", "IATA code of the home airport"),
    Column("home_airport_lat", "float64", "Latitude of the home airport, degrees"),
    Column("home_airport_lon", "float64", "Longitude of the home airport, degrees"),
    Column("sign_up_date", "date", "Date of registration"),
)
SESSIONS = (
    Column("session_id", "string", "Identifier of the session: <user_id>-<32 hex digits>"),
    Column("user_id", "int64", "The user who browses"),
    Column("trip_id", "string", "The trip booked or cancelled in the session", required=False),
    Column("session_start", "timestamp(6)", "Start of the session, on a whole minute"),
    Column("session_end", "timestamp(6)", "End of the session"),
    Column("flight_discount", "boolean", "A flight discount was shown"),
    Column("hotel_discount", "boolean", "A hotel discount was shown"),
    Column("flight_discount_amount", "float64", "Flight discount, share of fare", required=False),
    Column("hotel_discount_amount", "float64", "Hotel discount, share of price", required=False),
    Column("flight_booked", "boolean", "A flight was booked in the session"),
    Column("hotel_booked", "boolean", "A hotel was booked in the session"),
    Column("page_clicks", "int64", "Pages clicked in the session"),
    Column("cancellation", "boolean", "The session cancels its trip"),
)
FLIGHTS = (
    Column("trip_id", "string", "The trip the flight belongs to"),
    Column("origin_airport", "string", "IATA code of the airport of departure"),
    Column("destination", "string", "City of destination, lower case"),
    Column("destination_airport", "string", "IATA code of the airport of destination"),
    Column("seats", "int64", "Seats booked"),
    Column("return_flight_booked", "boolean", "The return flight was booked as well"),
    Column("departure_time", "timestamp(6)", "Departure of the outbound flight"),
    Column("return_time", "timestamp(6)", "Departure of the return flight", required=False),
    Column("checked_bags", "int64", "Checked bags of the whole booking"),
    Column("trip_airline", "string", "Airline of the outbound flight"),
    Column("destination_airport_lat", "float64", "Latitude of the destination city, degrees"),
    Column("destination_airport_lon", "float64", "Longitude of the destination city, degrees"),
    Column("base_fare_usd", "float64", "Price of all seats and legs before discount, USD"),
)
HOTELS = (
    Column("trip_id", "string", "The trip the stay belongs to"),
    Column("hotel_name", "string", "Brand and city: 'Brand - city'"),
    Column("nights", "int64", "Nights as stored; one short in most stays"),
    Column("rooms", "int64", "Rooms booked"),
    Column("check_in_time", "timestamp(6)", "Check-in"),
    Column("check_out_time", "timestamp(6)", "Check-out, at 11:00"),
    Column(
        "hotel_per_room_usd",
        "float64",
        "Price of one room for one night before discount, USD",
        aliases=("hotel_price_per_room_night",),
    ),
)
SOURCES: dict[str, tuple[Column, ...]] = {
    "users": USERS,
    "sessions": SESSIONS,
    "flights": FLIGHTS,
    "hotels": HOTELS,
}
KEYS = {"users": "user_id", "sessions": "session_id", "flights": "trip_id", "hotels": "trip_id"}

PLACE = (
    Column("source_file", "string", "File the row comes from, or table and month of a database"),
    Column("source_row", "int64", "Number of the row in its file, or by its content, from 1"),
)


def _as_text(columns: Iterable[Column]) -> tuple[Column, ...]:
    return tuple(replace(column, type="string", required=False) for column in columns)


def _column(columns: tuple[Column, ...], name: str, **changes: object) -> Column:
    found = next(column for column in columns if column.name == name)
    return replace(found, **changes)  # type: ignore[arg-type]


def _raw(name: str) -> Table:
    return Table(
        "bronze",
        f"{name}_raw",
        f"One row per row of the source's {name}, as text, verbatim, in file order.",
        (*_as_text(SOURCES[name]), *PLACE),
        key=("source_file", "source_row"),
        partitioned=name == "sessions",
        keeps_extra_columns=True,
    )


SESSIONS_UNDATED = Table(
    "bronze",
    "sessions_undated",
    "One row per session of the source that belongs to no monthly partition, with the reason.",
    (*_as_text(SESSIONS), *PLACE, Column("reason", "string", "Why no month takes the row")),
    key=("source_file", "source_row"),
    keeps_extra_columns=True,
)


def _quarantine(name: str) -> Table:
    return Table(
        "silver",
        f"{name}_quarantine",
        f"One row per row of {name}_raw that could not be processed, with the reason.",
        (
            *_as_text(SOURCES[name]),
            *PLACE,
            Column("reason", "string", "Name of the first cleaning rule that refused the row"),
        ),
        key=("source_file", "source_row"),
        partitioned=name == "sessions",
        keeps_extra_columns=True,
    )


_NULL_IF_CANCELLATION = (
    "flight_discount",
    "hotel_discount",
    "flight_booked",
    "hotel_booked",
    "page_clicks",
)
_USERS_PROCESSED = Table(
    "silver",
    "users_processed",
    "One row per user, typed.",
    USERS,
    key=("user_id",),
)
_SESSIONS_PROCESSED = Table(
    "silver",
    "sessions_processed",
    "One row per session, typed. What the export writes into the flags, clicks and duration of a "
    "cancellation is an artefact, so these are null there.",
    (
        *(
            replace(column, required=False, description=f"{column.description}; null if cancelling")
            if column.name in _NULL_IF_CANCELLATION
            else column
            for column in SESSIONS
        ),
        Column("session_seconds", "int64", "Length, seconds; null if cancelling", required=False),
    ),
    key=("session_id",),
    partitioned=True,
)
_FLIGHTS_PROCESSED = Table(
    "silver",
    "flights_processed",
    "One row per trip with a flight, typed.",
    FLIGHTS,
    key=("trip_id",),
)
_HOTELS_PROCESSED = Table(
    "silver",
    "hotels_processed",
    "One row per trip with a hotel stay, typed, with the nights of the calendar.",
    (
        _column(HOTELS, "trip_id"),
        Column("hotel_brand", "string", "Brand of the hotel"),
        Column("hotel_city", "string", "City of the hotel, lower case", required=False),
        Column("nights", "int64", "Nights between the calendar dates, at least 1"),
        Column("nights_stored", "int64", "Nights as the source stores them"),
        Column("out_before_in", "boolean", "The check-out lies before the check-in"),
        *HOTELS[3:],
    ),
    key=("trip_id",),
)


def _final(table: Table, description: str) -> Table:
    name = table.name.replace("_processed", "_final")
    return replace(table, layer="gold", name=name, description=description, partitioned=True)


_TRIPS_FINAL = Table(
    "gold",
    "trips_final",
    "One row per trip that a cohort customer booked or cancelled, as of the end of the month.",
    (
        Column("trip_id", "string", "Identifier of the trip"),
        Column("user_id", "int64", "The customer"),
        Column("booked_at", "timestamp(6)", "Booking; null if before the data", required=False),
        Column("cancelled_at", "timestamp(6)", "Cancellation, if any so far", required=False),
        Column("status", "string", "cancelled, completed or upcoming"),
        Column("kind", "string", "package, flight or hotel"),
        Column("flight_discount", "boolean", "A flight discount was shown", required=False),
        Column("flight_discount_amount", "float64", "Share of the fare", required=False),
        Column("flight_discount_used", "boolean", "A discounted flight was booked"),
        Column("hotel_discount", "boolean", "A hotel discount was shown", required=False),
        Column("hotel_discount_amount", "float64", "Share of the price", required=False),
        Column("hotel_discount_used", "boolean", "A discounted hotel was booked"),
        Column("destination", "string", "City of the trip", required=False),
        Column("seats", "int64", "Seats booked", required=False),
        Column("checked_bags", "int64", "Checked bags", required=False),
        Column("return_flight_booked", "boolean", "Return flight as well", required=False),
        Column("trip_airline", "string", "Airline", required=False),
        Column("base_fare_usd", "float64", "Fare before discount, USD", required=False),
        Column("distance_km", "float64", "Great circle, one way, km", required=False),
        Column("hotel_brand", "string", "Brand of the hotel", required=False),
        Column("rooms", "int64", "Rooms booked", required=False),
        Column("nights", "int64", "Nights of the stay", required=False),
        Column("hotel_per_room_usd", "float64", "One room, one night, USD", required=False),
        Column("starts_at", "timestamp(6)", "Departure, or check-in", required=False),
        Column("ends_at", "timestamp(6)", "Return, or check-out", required=False),
        Column("lead_days", "float64", "Days from booking to start", required=False),
        Column("flight_spend_usd", "float64", "Fare after discount, USD", required=False),
        Column(
            "hotel_spend_usd",
            "float64",
            "Rooms x nights x price after discount, USD",
            required=False,
        ),
        Column("spend_usd", "float64", "Flight and hotel after discount, USD"),
    ),
    key=("trip_id",),
    partitioned=True,
)
_USER_FEATURES = Table(
    "gold",
    "user_features",
    "One row per cohort customer: the feature catalogue as of the end of the month.",
    (
        Column("user_id", "int64", "The customer"),
        *(
            Column(
                feature.name,
                feature.type,
                f"{feature.description} [{feature.unit}]",
                required=not feature.nullable,
            )
            for feature in CATALOGUE
        ),
    ),
    key=("user_id",),
    partitioned=True,
)
_EARLIER_FEATURES = Table(
    "gold",
    "earlier_features",
    "One row per cohort customer seen before the cut: the feature catalogue as of the cut.",
    tuple(replace(c, required=c.name == "user_id") for c in _USER_FEATURES.columns),
    key=("user_id",),
    partitioned=True,
)
_PERK_OUTCOMES = Table(
    "gold",
    "perk_outcomes",
    "One row per cohort customer: what they did between the cut and the end of the month.",
    (
        Column("user_id", "int64", "The customer"),
        *(
            column
            for outcome in OUTCOMES
            for column in (
                Column(f"{outcome.name}_amount", "float64", f"Sum for: {outcome.description}"),
                Column(f"{outcome.name}_opportunities", "int64", "What the sum is divided by"),
            )
        ),
    ),
    key=("user_id",),
    partitioned=True,
)
_KMEANS_MODEL = Table(
    "gold",
    "kmeans_model",
    "One row per segment and feature of the fitted cluster model; nothing else is needed to "
    "assign a customer.",
    (
        Column("segment_rank", "int64", "Order of the segment by its profile, from 1"),
        Column("segment", "string", "Name of the segment"),
        Column("perk", "string", "Perk of the segment"),
        Column("position", "int64", "Position of the feature in the model, from 0"),
        Column("feature", "string", "Name of the feature"),
        Column("fill", "float64", "What an undefined value is replaced by: the cohort's mean"),
        Column("minimum", "float64", "Cohort minimum, scaled to 0"),
        Column("maximum", "float64", "Cohort maximum, scaled to 1"),
        Column("centroid", "float64", "Centroid in the unit of the feature"),
        Column("centroid_scaled", "float64", "Centroid on the scale of the model"),
        Column("model_version", "string", "Hash of features, scales and centroids"),
    ),
    key=("segment_rank", "position"),
    partitioned=True,
)
_KMEANS_DIAGNOSTICS = Table(
    "gold",
    "kmeans_diagnostics",
    "One row per number of clusters tried.",
    (
        Column("k", "int64", "Number of clusters"),
        Column("inertia", "float64", "Sum of squared distances to the centroids"),
        Column("silhouette", "float64", "Mean silhouette", required=False),
        Column("davies_bouldin", "float64", "Davies-Bouldin index", required=False),
        Column("calinski_harabasz", "float64", "Calinski-Harabasz index", required=False),
        Column("smallest_share", "float64", "Share of customers in the smallest cluster"),
        Column("scored_rows", "int64", "Customers the three indices were computed on"),
        Column("chosen", "boolean", "The number of clusters of the model"),
    ),
    key=("k",),
    partitioned=True,
)
_KMEANS_EXTRA = (
    Column("pca_x", "float64", "First principal component of the scaled features"),
    Column("pca_y", "float64", "Second principal component of the scaled features"),
    Column("model_version", "string", "Version of the cluster model"),
)
_PERK_EVIDENCE = Table(
    "gold",
    "perk_evidence",
    "One row per strategy and perk it gives: assigned as of the cut, measured after it.",
    (
        Column("strategy", "string", "The strategy"),
        Column("perk", "string", "The perk"),
        Column("outcome", "string", "The behaviour after the cut that the perk speaks to"),
        Column("customers", "int64", "Customers given the perk"),
        Column("opportunities", "int64", "Their opportunities after the cut"),
        Column("opportunities_others", "int64", "Opportunities of the others"),
        Column("mean", "float64", "Outcome per opportunity of those given", required=False),
        Column("mean_others", "float64", "Outcome per opportunity of the others", required=False),
        Column("lift", "float64", "Mean of those given / mean of the others", required=False),
        Column("lift_low", "float64", "Lower end of the 95 % bootstrap interval", required=False),
        Column("lift_high", "float64", "Upper end of the 95 % interval", required=False),
        Column(
            "lift_by_activity",
            "float64",
            "Mean lift among shuffles within equal numbers of earlier sessions",
            required=False,
        ),
        Column("p_value", "float64", "Share of shuffles with at least the lift", required=False),
        Column(
            "p_holm",
            "float64",
            "P-value corrected over all strategies and perks (Holm)",
            required=False,
        ),
        Column("verdict", "string", "supported, not supported or too little data"),
    ),
    key=("strategy", "perk"),
    partitioned=True,
)
_PERK_SIGNALS = Table(
    "gold",
    "perk_signals",
    "One row per perk: how many customers signal it, and which other perk says the same.",
    (
        Column("perk", "string", "The perk"),
        Column("strong_customers", "int64", "Customers at least one SD above the cohort"),
        Column("strong_share", "float64", "Their share of the cohort"),
        Column("most_redundant_with", "string", "The perk of the closest index", required=False),
        Column("rank_correlation", "float64", "Spearman's rho of both indices", required=False),
    ),
    key=("perk",),
    partitioned=True,
)
_SCORECARD = Table(
    "gold",
    "segmentation_scorecard",
    "One row per strategy: size, separation, stability and evidence on one yardstick.",
    (
        Column("strategy", "string", "The strategy"),
        Column("description", "string", "How it works"),
        Column("coverage", "float64", "Share of the cohort with a perk"),
        Column("segments", "int64", "Number of segments"),
        Column("smallest_share", "float64", "Of the smallest segment", required=False),
        Column("largest_share", "float64", "Of the largest segment", required=False),
        Column("silhouette", "float64", "In the space of all features", required=False),
        Column("davies_bouldin", "float64", "In the space of all features", required=False),
        Column("stability_bootstrap", "float64", "ARI with bootstrap refits", required=False),
        Column("stability_seed", "float64", "ARI with another seed", required=False),
        Column("persistence", "float64", "Share in the same segment as last month", required=False),
        Column("perks", "int64", "Number of perks given"),
        Column("supported_perks", "int64", "Perks the evidence supports"),
        Column("supported_share", "float64", "Share of customers given a supported perk"),
        Column("recommended", "boolean", "Gives most customers a supported perk"),
    ),
    key=("strategy",),
    partitioned=True,
)
_AGREEMENT = Table(
    "gold",
    "strategy_agreement",
    "One row per pair of strategies: do they see the same groups, and give the same perks?",
    (
        Column("strategy", "string", "One strategy"),
        Column("other", "string", "The other"),
        Column("adjusted_rand_index", "float64", "Of their segments"),
        Column("normalized_mutual_information", "float64", "Of their segments"),
        Column("same_perk_share", "float64", "Share of customers given the same perk"),
    ),
    key=("strategy", "other"),
    partitioned=True,
)
_DBSCAN_TRIAL = Table(
    "gold",
    "dbscan_trial",
    "One row per setting of DBSCAN tried in the space of the wide model: why it is no strategy.",
    (
        Column("min_samples", "int64", "Neighbours that make a point a core"),
        Column("eps_quantile", "float64", "Quantile of the k-distance curve"),
        Column("eps", "float64", "Radius of the neighbourhood"),
        Column("clusters", "int64", "Clusters found"),
        Column("noise_share", "float64", "Share of customers in no cluster"),
        Column("largest_share", "float64", "Share of customers in the largest cluster"),
        Column("silhouette", "float64", "Of the customers in clusters", required=False),
        Column("scored_rows", "int64", "Customers it was tried on"),
    ),
    key=("min_samples", "eps_quantile"),
    partitioned=True,
)

_EXPLORATION = Table(
    "gold",
    "exploration",
    "One row per topic, breakdown, group and measure: what the cohort looks like.",
    (
        Column("topic", "string", "customers, sessions, bookings, discounts and so forth"),
        Column("breakdown", "string", "What the rows are split by"),
        Column("group", "string", "One of the groups of the breakdown"),
        Column("position", "int64", "Order of the group in its breakdown"),
        Column("measure", "string", "count, share, cancelled_share and so forth"),
        Column("value", "float64", "The measure's value", required=False),
        Column("rows", "int64", "Customers, sessions or trips the value rests on"),
    ),
    key=("topic", "breakdown", "group", "measure"),
    partitioned=True,
)

_CAMPAIGN = Table(
    "gold",
    "campaign",
    "One row per customer who is invited or held out; nobody suppressed, nothing personal.",
    (
        Column("user_id", "int64", "The customer"),
        Column("perk", "string", "What is offered: the perk, or the experiment's control offer"),
        Column("headline", "string", "The line of the mail"),
        Column("segment", "string", "Name of the segment"),
        Column("holdout", "boolean", "Not written to, for comparison"),
    ),
    key=("user_id",),
    partitioned=True,
)
_CAMPAIGN_CHANGES = Table(
    "gold",
    "campaign_changes",
    "One row per customer who is written to now or was last month, but not alike.",
    (
        Column("user_id", "int64", "The customer"),
        Column("change", "string", "new, moved (another perk) or dropped"),
        Column("perk_before", "string", "What was offered last month", required=False),
        Column("perk", "string", "What is offered now", required=False),
    ),
    key=("user_id",),
    partitioned=True,
)
_EXPERIMENT_ASSIGNMENT = Table(
    "gold",
    "experiment_assignment",
    "One row per customer who takes part in the experiment, or would if one were started.",
    (
        Column("user_id", "int64", "The customer"),
        Column("segment", "string", "Name of the segment"),
        Column("perk", "string", "The customer's personalised perk"),
        Column("arm", "string", "personalised or control"),
        Column("offer", "string", "What the arm offers: the perk, or the control offer"),
    ),
    key=("user_id",),
    partitioned=True,
)
_METRIC_AND_SEGMENT = (
    Column("metric", "string", "What is measured per customer"),
    Column("segment", "string", "Name of the segment, or all customers"),
    Column("kind", "string", "mean (a count) or rate (did they or not)"),
    Column("role", "string", "goal, or guardrail: what must not suffer"),
)
_ARM_SIZES = (
    Column("customers_personalised", "int64", "Customers in the personalised arm"),
    Column("customers_control", "int64", "Customers in the control arm"),
)
_EXPERIMENT_PLAN = Table(
    "gold",
    "experiment_plan",
    "One row per metric and segment: what an experiment with these customers can find out.",
    (
        *_METRIC_AND_SEGMENT,
        *_ARM_SIZES,
        Column("baseline_from", "string", "sessions, or assumed"),
        Column("baseline_weeks", "float64", "Weeks that the baseline spans", required=False),
        Column("baseline_mean", "float64", "Mean per customer in these weeks", required=False),
        Column("baseline_sd", "float64", "Its standard deviation", required=False),
        Column("alpha", "float64", "Level of the test, corrected for several goals and segments"),
        Column("effect", "float64", "The effect worth finding, as a difference", required=False),
        Column("power", "float64", "Chance to find it", required=False),
        Column(
            "mean_after",
            "float64",
            "Mean that customers of an earlier cohort had in as many weeks after it",
            required=False,
        ),
        Column("power_after", "float64", "Chance to find it with that mean", required=False),
        Column(
            "detectable_effect",
            "float64",
            "Smallest difference found with the power asked for",
            required=False,
        ),
        Column("detectable_relative", "float64", "The same, relative to the mean", required=False),
        Column("customers_needed", "float64", "Customers to find the effect", required=False),
        Column(
            "weeks_needed",
            "float64",
            "Weeks with these customers to find the effect; null: not within the history",
            required=False,
        ),
        Column("verdict", "string", "enough, too few customers or no baseline"),
    ),
    key=("metric", "segment"),
    partitioned=True,
)
_EXPERIMENT_READOUT = Table(
    "gold",
    "experiment_readout",
    "One row per metric and segment of a started experiment; empty if none was started.",
    (
        *_METRIC_AND_SEGMENT,
        Column("test", "string", "Welch t-test, chi-squared or Fisher exact", required=False),
        *_ARM_SIZES,
        Column("personalised", "float64", "Mean or rate with the perk", required=False),
        Column("control", "float64", "Mean or rate with the control offer", required=False),
        Column("difference", "float64", "Personalised less control", required=False),
        Column("low", "float64", "Lower end of the 95 % interval", required=False),
        Column("high", "float64", "Upper end of the 95 % interval", required=False),
        Column("p_value", "float64", "Of the test", required=False),
        Column("cuped_difference", "float64", "Adjusted for what was before", required=False),
        Column("cuped_low", "float64", "Lower end of its 95 % interval", required=False),
        Column("cuped_high", "float64", "Upper end of its 95 % interval", required=False),
        Column("cuped_p_value", "float64", "Of the adjusted test", required=False),
        Column("variance_reduction", "float64", "Share of variance explained", required=False),
        Column(
            "p_holm",
            "float64",
            "Deciding p-value (adjusted if there is one), corrected over metrics and segments",
            required=False,
        ),
        Column("mismatch_p_value", "float64", "That outcomes are missing unevenly by chance"),
        Column("verdict", "string", "better, worse, no difference shown, harm and so forth"),
        Column("in_words", "string", "The verdict in plain words"),
        Column("read_until", "timestamp(6)", "First instant that was not read"),
        Column("peek", "boolean", "Read before the planned end"),
    ),
    key=("metric", "segment"),
    partitioned=True,
)


_EARLY_FEATURES = Table(
    "gold",
    "early_features",
    "One row per cohort customer and n = 1 to 5: the feature catalogue from their first n sessions "
    "alone, as if nothing had followed.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n: sessions that the row knows of"),
        *(replace(c, required=False) for c in _USER_FEATURES.columns[1:]),
    ),
    key=("user_id", "sessions_seen"),
    partitioned=True,
)

_EARLY_RULES = Table(
    "gold",
    "early_rules",
    "One row per cohort customer and n = 1 to 5: the perk that the rules of the deciding strategy, "
    "fitted on full histories, give from the first n sessions alone.",
    (
        Column("user_id", "int64", "The customer"),
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "The perk by the rules"),
    ),
    key=("user_id", "sessions_seen"),
    partitioned=True,
)


def _predictor(name: str, description: str) -> Table:
    return Table(
        "gold",
        name,
        description,
        (
            Column("model_version", "string", "Hash of the model and its schema"),
            Column("kind", "string", "Kind of the model"),
            Column("trained_on", "string", "The month whose customers it learnt from"),
            Column("strategy", "string", "The strategy whose perks it predicts"),
            Column("data_version", "string", "Hash of the features and perks learnt from"),
            Column("customers", "int64", "Customers it learnt from"),
            Column("perks", "array<string>", "The perks it knows, in the order of its answers"),
            Column("inputs", "array<string>", "Its inputs in their order; name=value for a text"),
            Column("mean", "array<float64>", "Mean of each input, for 1 session seen, for 2 ..."),
            Column("spread", "array<float64>", "Standard deviation of each input, likewise"),
            Column("onnx", "binary", "The model: an ONNX graph"),
        ),
        key=("model_version",),
        partitioned=True,
    )


_PREDICTOR_SCORES = Table(
    "gold",
    "predictor_scores",
    "One row per evaluation, model, n and metric: how well perks of unseen customers are "
    "predicted. The evaluation `leak: full history` predicts the perk from the very features that "
    "define it, and is no prediction.",
    (
        Column("evaluation", "string", "cross-validation, next month or leak: full history"),
        Column("model", "string", "Kind of model, or baseline"),
        Column("sessions_seen", "int64", "The n; 0 for the full history"),
        Column("metric", "string", "macro_f1, top2_accuracy, log_loss, brier, calibration_error"),
        Column("mean", "float64", "Mean over the folds"),
        Column("sd", "float64", "Standard deviation over the folds, 0 for one"),
        Column("trials", "int64", "Folds"),
        Column("customers", "int64", "Customers it was tried on"),
    ),
    key=("evaluation", "model", "sessions_seen", "metric"),
    partitioned=True,
)
_PREDICTOR_CONFUSION = Table(
    "gold",
    "predictor_confusion",
    "One row per n, perk and predicted perk: unseen customers of the chosen kind of model.",
    (
        Column("sessions_seen", "int64", "The n"),
        Column("perk", "string", "The perk with the full history"),
        Column("predicted", "string", "The perk predicted"),
        Column("customers", "float64", "Customers, mean over the repeats"),
        Column("share", "float64", "Their share of the perk's customers"),
    ),
    key=("sessions_seen", "perk", "predicted"),
    partitioned=True,
)
_PREDICTOR_IMPORTANCE = Table(
    "gold",
    "predictor_importance",
    "One row per input of the chosen kind of model: how much worse it gets on unseen customers "
    "when the input is shuffled.",
    (
        Column("input", "string", "The input"),
        Column("mean", "float64", "Growth of the log loss, mean over the folds"),
        Column("sd", "float64", "Standard deviation over the folds"),
        Column("trials", "int64", "Folds"),
    ),
    key=("input",),
    partitioned=True,
)
_PREDICTOR_RELIABILITY = Table(
    "gold",
    "predictor_reliability",
    "One row per n and tenth of the score: does a score of 0.7 come true in 70 %?",
    (
        Column("sessions_seen", "int64", "The n"),
        Column("bin", "int64", "Tenth of the score, from 0"),
        Column("customers", "float64", "Customers, mean over the repeats"),
        Column("mean_score", "float64", "Mean score of the perk predicted"),
        Column("hit_share", "float64", "Share whose perk it is"),
    ),
    key=("sessions_seen", "bin"),
    partitioned=True,
)
_PREDICTOR_PROMOTION = Table(
    "gold",
    "predictor_promotion",
    "One row per rival and n, and per rival for all n: the month's candidate against the model in "
    "service, the rules of the deciding strategy and the commonest perk, on customers that no "
    "model has learnt from. No row where there is no candidate.",
    (
        Column("candidate", "string", "Version of the candidate"),
        Column("in_service", "string", "Version of the model in service, if any", required=False),
        Column("sessions_seen", "int64", "The n; 0 for all n together, which decides"),
        Column("rival", "string", "model in service, rules of the strategy or majority perk"),
        Column("customers", "int64", "Held-out customers"),
        Column("loss_candidate", "float64", "Log loss of the candidate"),
        Column(
            "loss_rival",
            "float64",
            "Of the rival; the rules count with the shares of perks among those they send there",
        ),
        Column("f1_candidate", "float64", "Macro F1 of the candidate"),
        Column("f1_rival", "float64", "Of the rival"),
        Column("difference", "float64", "Log loss: candidate less rival, mean over customers"),
        Column("difference_low", "float64", "Lower end of its 95 % interval"),
        Column("difference_high", "float64", "Upper end of its 95 % interval"),
        Column("verdict", "string", "better, worse or no difference: of the candidate, beyond it"),
        Column("promoted", "boolean", "The candidate takes over; the same in every row"),
        Column("because", "string", "Why; the same in every row"),
    ),
    key=("sessions_seen", "rival"),
    partitioned=True,
)
_PERK_CATALOGUE = Table(
    "gold",
    "perk_catalogue",
    "One row per perk: the catalogue that the month was decided with, for those who only read the "
    "lake, as the service does. Other assets have it from the settings.",
    (
        Column("perk", "string", "The perk"),
        Column("position", "int64", "Place in the catalogue, from 0"),
        Column("title", "string", "What it is called"),
        Column("audience", "string", "For who it is"),
        Column("headline", "string", "What the customer reads"),
        Column("features", "array<string>", "Features that speak for it"),
        Column("weights", "array<float64>", "Their weights"),
    ),
    key=("perk",),
    partitioned=True,
)


def _segments(strategy: str, extra: tuple[Column, ...] = ()) -> Table:
    return Table(
        "gold",
        f"segments/{strategy}",
        f"One row per cohort customer: segment and perk by the {strategy} strategy.",
        (
            Column("user_id", "int64", "The customer"),
            Column("segment", "string", "Name of the segment"),
            Column("perk", "string", "The perk"),
            Column("score", "float64", "How clearly the customer belongs"),
            Column("reason", "string", "What made the perk"),
            *extra,
        ),
        key=("user_id",),
        partitioned=True,
    )


def perk_assignments(perks: Iterable[str]) -> Table:
    """The contract of `gold/perk_assignments` for the perks of a catalogue."""
    return Table(
        "gold",
        "perk_assignments",
        "One row per cohort customer: the perk to invite them with, and why.",
        (
            Column("user_id", "int64", "The customer"),
            Column("segment", "string", "Name of the segment"),
            Column("perk", "string", "The perk"),
            Column("runner_up", "string", "The perk with the next highest affinity"),
            Column("deciding_features", "string", "The features that decided, strongest first"),
            *(
                Column(f"affinity_{perk}", "float64", f"Affinity of the segment to {perk}, in SD")
                for perk in perks
            ),
            Column("strategy", "string", "The strategy that decided"),
            Column("model_version", "string", "Version of the model that decided"),
            Column("as_of_month", "string", "The month at whose end the decision was made"),
        ),
        key=("user_id",),
        partitioned=True,
    )


def _memberships(perks: Iterable[str]) -> tuple[Column, ...]:
    return tuple(
        Column(f"membership_{perk}", "float64", f"Degree of membership: {perk}") for perk in perks
    )


def build_tables(perks: tuple[Perk, ...]) -> dict[str, Table]:
    """Every contract by its path in the lake, for the perks of a catalogue."""
    tables = (
        *(_raw(name) for name in SOURCES),
        SESSIONS_UNDATED,
        _USERS_PROCESSED,
        _SESSIONS_PROCESSED,
        _FLIGHTS_PROCESSED,
        _HOTELS_PROCESSED,
        *(_quarantine(name) for name in SOURCES),
        _final(_USERS_PROCESSED, "One row per customer of the cohort."),
        _final(_SESSIONS_PROCESSED, "One row per session of a cohort customer in the window."),
        _final(_FLIGHTS_PROCESSED, "One row per flight of a trip that the cohort's sessions name."),
        _final(_HOTELS_PROCESSED, "One row per stay of a trip that the cohort's sessions name."),
        _TRIPS_FINAL,
        _USER_FEATURES,
        _KMEANS_MODEL,
        _KMEANS_DIAGNOSTICS,
        _segments("kmeans", _KMEANS_EXTRA),
        *(_segments(name) for name in ("kmeans_wide", "hierarchical", "personas", "propensity")),
        _segments("perk_affinity", _memberships(perk.id for perk in of_program(perks, "classic"))),
        _DBSCAN_TRIAL,
        _EARLIER_FEATURES,
        _PERK_OUTCOMES,
        _PERK_EVIDENCE,
        _PERK_SIGNALS,
        _SCORECARD,
        _AGREEMENT,
        _EXPLORATION,
        _EARLY_FEATURES,
        _EARLY_RULES,
        _predictor(
            "perk_predictor_candidate",
            "One row: the model of the month that predicts perks from first sessions, in service "
            "or not. No row where customers are too few.",
        ),
        _PREDICTOR_SCORES,
        _PREDICTOR_CONFUSION,
        _PREDICTOR_IMPORTANCE,
        _PREDICTOR_RELIABILITY,
        _PREDICTOR_PROMOTION,
        _predictor(
            "perk_predictor",
            "One row: the model in service as of the month, which may be an earlier month's. No "
            "row as long as none was promoted.",
        ),
        _PERK_CATALOGUE,
        perk_assignments(perk.id for perk in perks),
        _CAMPAIGN,
        _CAMPAIGN_CHANGES,
        _EXPERIMENT_ASSIGNMENT,
        _EXPERIMENT_PLAN,
        _EXPERIMENT_READOUT,
    )
    return {table.path: table for table in tables}
