"""The peer: perks of the same customers in pandas and scikit-learn, as an expert would write it.

It reads only the columns needed, with the fast parser and their types. Everything is a group-by
over whole columns. The cleaning rules are those of `transforms/cleaning`, on typed values. Text
that does not have the type of its column ends the program instead of going to quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.preprocessing import MinMaxScaler

from traveltide_assets.catalogue.perks import Perk
from traveltide_assets.schema.months import SECONDS_PER_DAY, end_of
from traveltide_assets.segmentation.config import Config
from traveltide_assets.transforms.cohort import window
from traveltide_assets.transforms.config import LONG_LEAD_DAYS
from traveltide_assets.transforms.config import Config as Cohort
from traveltide_assets.transforms.features.expressions import LONG_HAUL_KM, SHORT_TRIP_NIGHTS
from traveltide_assets.transforms.trips import EARTH_RADIUS_KM

_NUMBERS = {
    "user_id": "int64",
    "page_clicks": "int64",
    "seats": "int64",
    "checked_bags": "int64",
    "rooms": "int64",
    "home_airport_lat": "float64",
    "home_airport_lon": "float64",
    "destination_airport_lat": "float64",
    "destination_airport_lon": "float64",
    "base_fare_usd": "float64",
    "hotel_per_room_usd": "float64",
    "flight_discount_amount": "float64",
    "hotel_discount_amount": "float64",
}
_FLAGS = (
    "married",
    "has_children",
    "flight_discount",
    "hotel_discount",
    "flight_booked",
    "hotel_booked",
    "cancellation",
)
_TIMES = (
    "birthdate",
    "sign_up_date",
    "session_start",
    "session_end",
    "departure_time",
    "return_time",
    "check_in_time",
    "check_out_time",
)
_COLUMNS = {
    "users": "user_id birthdate married has_children home_country home_airport home_airport_lat "
    "home_airport_lon sign_up_date",
    "sessions": "session_id user_id trip_id session_start session_end flight_discount "
    "hotel_discount flight_discount_amount hotel_discount_amount flight_booked hotel_booked "
    "page_clicks cancellation",
    "flights": "trip_id origin_airport destination destination_airport seats departure_time "
    "return_time checked_bags destination_airport_lat destination_airport_lon base_fare_usd",
    "hotels": "trip_id hotel_name rooms check_in_time check_out_time hotel_per_room_usd",
}

_BOOKING = (
    "flight_booked",
    "hotel_booked",
    "flight_discount",
    "hotel_discount",
    "flight_discount_amount",
    "hotel_discount_amount",
)


def read(folder: Path, name: str) -> pd.DataFrame:
    """The columns of a table that are needed, typed."""
    columns = _COLUMNS[name].split()
    table = pd.read_csv(
        folder / f"{name}.csv",
        usecols=columns,
        dtype={c: _NUMBERS.get(c, "bool" if c in _FLAGS else "str") for c in columns}
        | dict.fromkeys((c for c in columns if c in _TIMES), "str"),
        engine="pyarrow",
    )
    for column in set(columns) & set(_TIMES):
        table[column] = pd.to_datetime(table[column], format="ISO8601")
    return table


def users(folder: Path) -> pd.DataFrame:
    table = read(folder, "users")
    sound = (
        ~(table["birthdate"] > table["sign_up_date"])
        & table["home_airport_lat"].abs().le(90)
        & table["home_airport_lon"].abs().le(180)
    )
    return table[sound].drop_duplicates("user_id", keep="last")


def sessions(folder: Path, users: pd.DataFrame) -> pd.DataFrame:
    table = read(folder, "sessions")
    amounts = table[["flight_discount_amount", "hotel_discount_amount"]].round(2)
    table[amounts.columns] = amounts
    named = table["trip_id"].notna()
    books = table["flight_booked"] | table["hotel_booked"]
    sound = (
        table["page_clicks"].ge(0)
        & ~(table["session_end"] < table["session_start"])
        & amounts.fillna(0).apply(lambda amount: amount.between(0, 1)).all(axis=1)
        & (named | ~(books | table["cancellation"]))
        & table["user_id"].isin(users["user_id"])
    )
    return visits(table[sound].drop_duplicates("session_id", keep="last"))


def visits(table: pd.DataFrame) -> pd.DataFrame:
    """One row per valid session, without what a cancellation pretends."""
    # The flags, clicks and duration of a cancellation session are artefacts, so they do not count.
    browsing = ~table["cancellation"]
    table = table.copy()
    for flag in ("flight_discount", "hotel_discount", "flight_booked", "hotel_booked"):
        table[flag] &= browsing
    for column in ("page_clicks", "flight_discount_amount", "hotel_discount_amount"):
        table[column] = table[column].where(browsing)
    length = _seconds(table["session_start"], table["session_end"])
    return table.assign(browsing=browsing, session_seconds=length.where(browsing)).drop(
        columns="session_end"
    )


def flights(folder: Path) -> pd.DataFrame:
    table = read(folder, "flights")
    sound = (
        table[["seats", "checked_bags", "base_fare_usd"]].ge(0).all(axis=1)
        & ~(table["return_time"] < table["departure_time"])
        & table["destination_airport_lat"].abs().le(90)
        & table["destination_airport_lon"].abs().le(180)
    )
    return table[sound].drop_duplicates("trip_id", keep="last")


def hotels(folder: Path) -> pd.DataFrame:
    table = read(folder, "hotels")
    sound = table[["rooms", "hotel_per_room_usd"]].ge(0).all(axis=1)
    return stays(table[sound].drop_duplicates("trip_id", keep="last"))


def stays(table: pd.DataFrame) -> pd.DataFrame:
    """One row per valid stay, with its nights by the calendar, its brand and its city."""
    nights = (table["check_out_time"].dt.normalize() - table["check_in_time"].dt.normalize()).dt
    parts = table["hotel_name"].str.rsplit(" - ", n=1, expand=True)
    return table.assign(
        nights=nights.days.clip(lower=1),
        hotel_brand=parts[0].str.strip(),
        hotel_city=parts[1].str.strip(),
    ).drop(columns="hotel_name")


def trips(
    sessions: pd.DataFrame,
    users: pd.DataFrame,
    flights: pd.DataFrame,
    hotels: pd.DataFrame,
    month: str,
) -> pd.DataFrame:
    """One row per trip booked in the window."""
    named = sessions[sessions["trip_id"].notna()]
    booked = named[named["flight_booked"] | named["hotel_booked"]]
    booked = booked.sort_values(["session_start", "session_id"]).drop_duplicates("trip_id")
    booked = booked[["trip_id", "user_id", "session_start", *_BOOKING]].rename(
        columns={"session_start": "booked_at"}
    )
    cancelled = named.loc[named["cancellation"], "trip_id"].unique()
    homes = users[["user_id", "home_airport", "home_airport_lat", "home_airport_lon"]]
    t = booked.merge(homes, on="user_id").merge(flights, on="trip_id", how="left")
    t = t.merge(hotels, on="trip_id", how="left")
    t["cancelled"] = t["trip_id"].isin(cancelled)
    t["starts_at"] = t["departure_time"].fillna(t["check_in_time"])
    t["ends_at"] = t["return_time"].fillna(t["check_out_time"]).fillna(t["departure_time"])
    t["completed"] = ~t["cancelled"] & ~(t["ends_at"] >= end_of(month))
    t["lead_days"] = _seconds(t["booked_at"], t["starts_at"]) / SECONDS_PER_DAY
    for part in ("flight", "hotel"):
        t[f"{part}_discount"] &= t[f"{part}_booked"]
        t[f"{part}_share"] = t[f"{part}_discount_amount"].where(t[f"{part}_discount"]).fillna(0)
    fare = t["base_fare_usd"] * (1 - t["flight_share"])
    stay = t["hotel_per_room_usd"] * t["nights"] * t["rooms"] * (1 - t["hotel_share"])
    t["spend_usd"] = fare.fillna(0) + stay.fillna(0)
    t["distance_km"] = _distance(t)
    days = (t["ends_at"].dt.normalize() - t["starts_at"].dt.normalize()).dt.days
    t["short"] = days <= SHORT_TRIP_NIGHTS
    return t


def features(
    users: pd.DataFrame, sessions: pd.DataFrame, trips: pd.DataFrame, month: str
) -> pd.DataFrame:
    """One row per customer: the features, named as in the catalogue."""
    end = pd.Timestamp(end_of(month))
    last_day = end - pd.Timedelta(days=1)
    u = users.sort_values("user_id").set_index("user_id")
    f = u[["married", "has_children", "home_country"]].copy()
    f["age"] = _months(u["birthdate"], last_day) // 12
    f["tenure_months"] = _months(u["sign_up_date"], last_day)
    _add_sessions(f, sessions, end)
    _add_trips(f, trips, end)
    saved = f["savings_per_km"]
    scaled = ((saved - saved.min()) / (saved.max() - saved.min())).fillna(0)
    rates = f["discounted_flight_rate"].fillna(0) * f["mean_flight_discount"].fillna(0)
    f["bargain_hunter_index"] = rates * scaled
    f["recency_score"] = _quintile(-f["days_since_last_session"])
    f["frequency_score"] = _quintile(f["completed_trips"] + f["upcoming_trips"])
    f["monetary_score"] = _quintile(f["total_spend"])
    return f.reset_index()


def _add_sessions(f: pd.DataFrame, sessions: pd.DataFrame, end: pd.Timestamp) -> None:
    s = sessions.assign(
        booking=sessions["flight_booked"] | sessions["hotel_booked"],
        discounted=sessions["flight_discount"] | sessions["hotel_discount"],
        flight_amount=sessions["flight_discount_amount"].where(sessions["flight_discount"]),
        hotel_amount=sessions["hotel_discount_amount"].where(sessions["hotel_discount"]),
    )
    by_user = s.groupby("user_id")
    flags = ["cancellation", "browsing", "booking", "discounted"]
    sums = by_user[[*flags, "flight_discount", "hotel_discount"]].sum()
    means = by_user[["page_clicks", "session_seconds", "flight_amount", "hotel_amount"]].mean()
    browsing = sums["browsing"].where(sums["browsing"] > 0)
    f["total_sessions"] = by_user.size()
    f["cancellation_sessions"] = sums["cancellation"]
    f["mean_page_clicks"] = means["page_clicks"]
    f["median_page_clicks"] = by_user["page_clicks"].median()
    f["mean_session_seconds"] = means["session_seconds"]
    since = (end - by_user["session_start"].max()).dt.total_seconds()
    f["days_since_last_session"] = since / SECONDS_PER_DAY
    f["session_cancellation_rate"] = sums["cancellation"] / f["total_sessions"]
    f["conversion_rate"] = sums["booking"] / browsing
    f["discount_usage_rate"] = sums["discounted"] / browsing
    for part in ("flight", "hotel"):
        f[f"{part}_discount_rate"] = sums[f"{part}_discount"] / browsing
        f[f"mean_{part}_discount"] = means[f"{part}_amount"]


def _add_trips(f: pd.DataFrame, t: pd.DataFrame, end: pd.Timestamp) -> None:
    kept = ~t["cancelled"]
    still_open = kept & (t["starts_at"] >= end)
    long_lead = t["lead_days"] > LONG_LEAD_DAYS
    flown = kept & t["flight_booked"] & t["seats"].notna()
    stayed = kept & t["hotel_booked"] & t["nights"].notna()
    measured = flown & t["distance_km"].notna()
    hotel = t["hotel_brand"] + " - " + t["destination"].fillna(t["hotel_city"])
    saved = (t["base_fare_usd"] * t["flight_discount_amount"].fillna(0)).round(4)
    solo = t["seats"].fillna(t["rooms"]) == 1
    counted = pd.DataFrame(
        {
            "user_id": t["user_id"],
            "trips": 1,
            "completed": t["completed"],
            "upcoming": kept & ~t["completed"],
            "cancelled": t["cancelled"],
            "long_lead": long_lead,
            "cancelled_long_lead": long_lead & t["cancelled"],
            "open": still_open,
            "open_long_lead": still_open & long_lead,
            "discounted": t["flight_discount"] | t["hotel_discount"],
            "flown": flown,
            "discounted_flights": flown & t["flight_discount"],
            "measured": measured,
            "long": measured & (t["distance_km"] > LONG_HAUL_KM),
            "saved": saved.where(measured & t["flight_discount"]),
            "seats": t["seats"].where(flown),
            "bags": t["checked_bags"].where(flown),
            "fare": t["base_fare_usd"].where(flown),
            "km": t["distance_km"].where(measured),
            "lead": t["lead_days"].round(6).where(kept),
            "led": kept & t["lead_days"].notna(),
            "stayed": stayed,
            "nights": t["nights"].where(stayed),
            "rooms": t["rooms"].where(stayed),
            "price": t["hotel_per_room_usd"].where(stayed),
            "kept": kept,
            "packages": kept & t["flight_booked"] & t["hotel_booked"],
            "spend": t["spend_usd"].where(kept),
            "weekend": kept & t["starts_at"].dt.day_of_week.isin([4, 5]) & t["short"],
            "solo": kept & solo & t["short"],
        }
    )
    sums = counted.groupby("user_id").sum().reindex(f.index, fill_value=0)
    hotels = hotel[stayed].groupby(t["user_id"]).nunique().reindex(f.index, fill_value=0)

    def per(part: str, whole: str) -> pd.Series:
        return sums[part] / sums[whole].where(sums[whole] > 0)

    f["total_trips"], f["completed_trips"] = sums["trips"], sums["completed"]
    f["upcoming_trips"], f["cancelled_trips"] = sums["upcoming"], sums["cancelled"]
    f["long_lead_trips"] = sums["long_lead"]
    f["cancelled_long_lead_trips"] = sums["cancelled_long_lead"]
    f["open_trips"], f["open_trips_long_lead"] = sums["open"], sums["open_long_lead"]
    ahead = _seconds(pd.Series(end, t.index), t["starts_at"]) / SECONDS_PER_DAY
    by_user = t["user_id"][still_open]
    f["days_to_next_departure"] = ahead[still_open].groupby(by_user).min()
    f["longest_open_lead_days"] = t["lead_days"][still_open].groupby(by_user).max()
    f["cancellation_rate"] = per("cancelled", "trips")
    f["discounted_booking_rate"] = per("discounted", "trips")
    f["total_flights"] = sums["flown"]
    f["discounted_flight_rate"] = per("discounted_flights", "flown")
    f["savings_per_km"] = per("saved", "km")
    f["mean_seats"] = per("seats", "flown")
    f["total_checked_bags"], f["mean_checked_bags"] = sums["bags"], per("bags", "flown")
    f["total_base_fare"], f["mean_base_fare"] = sums["fare"], per("fare", "flown")
    f["total_distance_km"], f["mean_distance_km"] = sums["km"], per("km", "measured")
    f["long_haul_share"] = per("long", "measured")
    f["mean_lead_days"] = per("lead", "led")
    f["hotel_stays"], f["distinct_hotels"] = sums["stayed"], hotels
    f["total_nights"], f["mean_nights"] = sums["nights"], per("nights", "stayed")
    f["mean_rooms"], f["mean_room_price"] = per("rooms", "stayed"), per("price", "stayed")
    f["package_rate"] = per("packages", "kept")
    f["total_spend"] = sums["spend"]
    f["weekend_trip_share"] = per("weekend", "kept")
    f["short_solo_trip_share"] = per("solo", "kept")


@dataclass(frozen=True)
class Tables:
    """The valid rows of the four tables."""

    users: pd.DataFrame
    sessions: pd.DataFrame
    flights: pd.DataFrame
    hotels: pd.DataFrame


def tables(folder: Path) -> Tables:
    """The valid rows of the CSV files. Nothing is kept of the others."""
    known = users(folder)
    return Tables(known, sessions(folder, known), flights(folder), hotels(folder))


def customers(valid: Tables, rule: Cohort, month: str) -> pd.DataFrame:
    """The features of everybody in the cohort."""
    made = valid.sessions
    start, end = window(rule, month)
    inside = made["session_start"] < end
    if start is not None:
        inside &= made["session_start"] >= start
    made = made[inside]
    active = made.groupby("user_id")["user_id"].transform("size") >= rule.min_sessions
    made = made[active]
    known = valid.users[valid.users["user_id"].isin(made["user_id"])]
    booked = trips(made, known, valid.flights, valid.hotels, month)
    return features(known, made, booked, month)


def assignments(
    known: pd.DataFrame, config: Config, seed: int, perks: tuple[Perk, ...]
) -> pd.DataFrame:
    """One row per customer: the perk of their k-means segment. Each segment gets another perk."""
    values = known[list(config.features)].astype("float64")
    scaled = MinMaxScaler().fit_transform(values.fillna(values.mean()))
    k = config.k if isinstance(config.k, int) else 4
    labels = KMeans(k, n_init=config.restarts, random_state=seed).fit_predict(scaled)
    weighed = sorted({name for perk in perks for name in perk.features})
    numbers = known[weighed].astype("float64")
    deviations = ((numbers - numbers.mean()) / numbers.std(ddof=0)).fillna(0)
    profile = deviations.groupby(labels).mean()
    weights = pd.DataFrame({p.id: p.features for p in perks}).reindex(weighed).fillna(0)
    affinity = profile @ (weights / weights.abs().sum())
    segment, perk = linear_sum_assignment(affinity.to_numpy(), maximize=True)
    given = dict(zip(segment, affinity.columns[perk], strict=True))
    return pd.DataFrame({"user_id": known["user_id"], "perk": pd.Series(labels).map(given)})


def _seconds(start: pd.Series, end: pd.Series) -> pd.Series:
    """Whole seconds between two times, each truncated to seconds."""
    return (end.dt.floor("s") - start.dt.floor("s")).dt.total_seconds()


def _months(start: pd.Series, end: pd.Timestamp) -> pd.Series:
    months = (end.year - start.dt.year) * 12 + end.month - start.dt.month
    return months - (start.dt.day > end.day)


def _quintile(value: pd.Series) -> pd.Series:
    share = (value.rank(method="min") - 1) / max(len(value) - 1, 1)
    return np.minimum(np.floor(share * 5) + 1, 5)


def _distance(t: pd.DataFrame) -> pd.Series:
    """Great-circle distance from the home airport in km. Null for flights that start elsewhere."""
    lat1, lat2 = np.radians(t["home_airport_lat"]), np.radians(t["destination_airport_lat"])
    dlon = np.radians(t["destination_airport_lon"] - t["home_airport_lon"])
    a = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin(dlon / 2) ** 2
    km = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(a, 1.0)))
    return km.round(3).where(t["origin_airport"] == t["home_airport"])
