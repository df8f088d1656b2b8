"""Writes docs/analyst/published.md: `python -m tools.published`.

The page sets the figures of the published works on this case beside those of the strategies that
rebuild them, on the real cohort as of the end of July 2023; its text is in published.md.j2. It
reads that month from the lake of the settings, so `traveltide run` on the real tables comes first.
A test compares the page with them where they are present.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from sklearn.model_selection import train_test_split

from traveltide_assets.catalogue.perks import NO_OUTCOME, load_perks, titles
from traveltide_assets.resources import open_lake
from traveltide_assets.segmentation import published_kmeans, rule_groups, seven_segments
from traveltide_assets.segmentation.kmeans_wide import nearest
from traveltide_assets.segmentation.published_kmeans import PRESET, SEED
from traveltide_assets.segmentation.rule_groups import FittedRules
from traveltide_assets.segmentation.scaling import numeric
from traveltide_assets.segmentation.seven_segments import FittedSeven
from traveltide_assets.segmentation.strategy import History
from traveltide_assets.settings import Settings, load_settings
from traveltide_assets.stats.threads import one_thread

_TEMPLATE = Path(__file__).parent / "published.md.j2"
PAGE = Path(__file__).parents[1] / "docs" / "analyst" / "published.md"
MONTH = "2023-07"
_LAST_DAY = dt.date(2023, 7, 31)
_CLICKS = 22
_OLD = 65
_THERE_AND_BACK = 2

_GROUPS = {
    "Family Market": 1_330,
    "Premium High Engaged Other": 1_180,
    "Mid-Ranged High Engaged Core": 1_100,
    "Mid-Ranged High Engaged Other": 897,
    "Price Sensitive Buyer": 869,
    "Premium High Engaged Core": 622,
}
_SPEND = {"middling spend": 2_928, "premium spend": 1_802, "low spend": 1_268}
_OTHER_COUNTS = {"aged 35 to 49": 2_951, "on business": 13}
_PERSONAS = {
    "Family Adventurers": 1_692,
    "Business Travelers": 1_671,
    "Exploring Empty-Nesters": 1_221,
    "Globetrotters": 860,
    "Dreamers": 554,
}
_CLUSTERS = {
    "Discount Seekers": 0.34,
    "Premium Vacationers": 0.25,
    "Light Packers": 0.22,
    "Risk-Averse Planners": 0.19,
}
_SEVEN = {
    "Casual Deal Seekers": 0.271,
    "Business": 0.246,
    "Elite": 0.207,
    "Family": 0.101,
    "Senior": 0.095,
    "Cautious Loyalists": 0.066,
    "Memory Makers": 0.014,
}
_FLAGGED = "discounted_flight_rate_with_cancellations"
# Persona, column, what it is, what was published, how it is written, and what it is multiplied by.
_PROFILE = (
    ("Family Adventurers", "kept_trips", "trips kept", "1.66", "{:.2f}", 1),
    ("Family Adventurers", "has_children", "with children", "37 %", "{:.0f} %", 100),
    ("Family Adventurers", "cancelled", "cancelled, of trips", "39 %", "{:.0f} %", 100),
    ("Business Travelers", "kept_trips", "trips kept", "4.53", "{:.2f}", 1),
    ("Business Travelers", "total_flights", "flights", "4.04", "{:.2f}", 1),
    ("Business Travelers", "cancelled", "cancelled, of trips", "19 %", "{:.0f} %", 100),
    ("Exploring Empty-Nesters", "kept_trips", "trips kept", "3.0", "{:.2f}", 1),
    ("Exploring Empty-Nesters", "hotel_stays", "stays", "2.77", "{:.2f}", 1),
    ("Exploring Empty-Nesters", "total_flights", "flights", "2.67", "{:.2f}", 1),
    ("Exploring Empty-Nesters", "married", "married", "46 %", "{:.0f} %", 100),
    ("Globetrotters", "kept_trips", "trips kept", "1.74", "{:.2f}", 1),
    ("Globetrotters", "km", "km there and back", "4,899.5", "{:,.1f}", _THERE_AND_BACK),
    ("Dreamers", "fare", "fare, USD", "2,004.40", "{:,.2f}", 1),
    ("Dreamers", "bill", "hotel bill, USD", "1,764.89", "{:,.2f}", 1),
    ("Dreamers", "km", "km there and back", "11,985", "{:,.0f}", _THERE_AND_BACK),
)


@dataclass(frozen=True)
class Rebuilt:
    """A strategy fitted on the cohort: `assigned` has one row per customer, as `features` has."""

    fitted: Any
    assigned: pd.DataFrame
    features: pd.DataFrame
    titles: Mapping[str, str]

    @property
    def segment(self) -> pd.Series:
        return self.assigned["segment"]

    def sizes(self, what: str, published: Mapping[str, float]) -> str:
        """A table of the segments: published size, size here, perk. Sizes below 1 are shares."""
        shares = max(published.values()) < 1
        found = self.segment.value_counts(normalize=shares)
        given = self.assigned.groupby("segment")["perk"].first()
        written = _percent if shares else _number
        return _grid(
            (what, "published", "here", "perk"),
            (
                (name, written(size), written(found.get(name, 0)), self.titles[given[name]])
                for name, size in published.items()
            ),
        )


def render(features: pd.DataFrame, trips: pd.DataFrame) -> str:
    """The page, from `gold/user_features` and `gold/trips_final` of the real cohort's last month.

    Both have one row per customer or trip, in any order.
    """
    settings = Settings()
    perks = load_perks(settings.perks_file)
    features = features.sort_values("user_id", ignore_index=True)

    # Each is built whatever the settings say of its features: this is a comparison.
    def rebuilt(module: ModuleType, name: str) -> Rebuilt:
        fitted = module.build(name, settings, perks).fit(History(features))
        return Rebuilt(fitted, fitted.assign(features), features, titles(perks))

    environment = jinja2.Environment(
        autoescape=jinja2.select_autoescape(default_for_string=False),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "percent": _percent}
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        customers=len(features),
        untried=[perk.title for perk in perks if perk.outcome == NO_OUTCOME],
        kmeans=_kmeans(rebuilt(published_kmeans, "published_kmeans")),
        groups=_six_groups(rebuilt(rule_groups, "six_groups")),
        personas=_five_personas(rebuilt(rule_groups, "five_personas"), trips),
        seven=_seven(rebuilt(seven_segments, "seven_segments")),
    )


def _kmeans(work: Rebuilt) -> dict[str, Any]:
    cautious = work.segment == "Risk-Averse Planners"
    flagged = work.features["discounted_row_share_with_cancellations"].groupby(cautious).mean()
    shown = work.features["discount_usage_rate"].groupby(cautious).mean()
    return {
        "seed": SEED,
        "clusters": work.sizes("cluster", _CLUSTERS),
        "flagged": flagged[True],
        "flagged_others": flagged[False],
        "shown": shown[True],
        "shown_others": shown[False],
        "accuracy": _accuracy(work.features, work.segment),
    }


def _accuracy(features: pd.DataFrame, label: pd.Series) -> float:
    """Accuracy of a random forest that predicts the label from the preset's own features."""
    values = numeric(features, PRESET.features).fillna(0.0).to_numpy()
    learnt, tried, known, true = train_test_split(
        values, label.to_numpy(dtype=str), test_size=0.2, random_state=SEED
    )
    with one_thread():
        forest = RandomForestClassifier(random_state=SEED).fit(learnt, known)
        return float(forest.score(tried, true))


def _six_groups(work: Rebuilt) -> dict[str, Any]:
    fitted: FittedRules = work.fitted
    rules, features = fitted.rules, work.features
    known = rules.known(features)
    at_the_end = rules.model_copy(update={"ages_as_of": _LAST_DAY}).fit(History(features))
    never = features["total_trips"] == 0
    undefined = features[["mean_base_fare_booked", "mean_stay_price_booked"]].isna().all(axis=1)
    browsing = features["total_sessions"] - features["cancellation_sessions"]
    old = known["age"] >= _OLD
    return {
        "day": f"{rules.ages_as_of.day} {rules.ages_as_of:%B %Y}" if rules.ages_as_of else "",
        "sizes": work.sizes("group", _GROUPS),
        "counts": _grid(
            ("customers", "published", "here"),
            (
                (name, _number(size), _number(known[name].sum()))
                for name, size in (_SPEND | _OTHER_COUNTS).items()
            ),
        ),
        "undefined": int((undefined & known["premium spend"]).sum()),
        "never": int((undefined & never).sum()),
        "dropped": int((undefined & ~never).sum()),
        "moved": int((at_the_end.assign(features)["segment"] != work.segment).sum()),
        "clicks": _CLICKS,
        "engaged": float((features["mean_page_clicks"] * browsing >= _CLICKS).mean()),
        "premium_families": int((known["premium spend"] & features["has_children"]).sum()),
        "old": _flights(features[old]),
        "others": _flights(features[~old]),
    }


def _flights(features: pd.DataFrame) -> dict[str, float]:
    """Mean fare and distance per flight of these customers, and the fare of a kilometre."""
    measured = features[features["total_distance_km"] > 0]
    return {
        "fare": float(features["mean_base_fare"].mean()),
        "km": float(features["mean_distance_km"].mean()),
        "per_km": measured["total_base_fare"].sum() / measured["total_distance_km"].sum(),
    }


def _five_personas(work: Rebuilt, trips: pd.DataFrame) -> dict[str, Any]:
    customers = work.features.set_index("user_id").assign(persona=work.segment.to_numpy())
    some = customers["cancelled_trips"].where(customers["cancelled_trips"] > 0)
    customers["cancelled"] = some / customers["total_trips"]
    customers = customers.join(_of_trips(trips))
    columns = sorted({column for _, column, *_ in _PROFILE} | {"married", "has_children", _FLAGGED})
    mean = customers.groupby("persona")[columns].mean()
    dreamers = customers[customers["persona"] == "Dreamers"]
    nesters = mean.loc["Exploring Empty-Nesters"]
    return {
        "sizes": work.sizes("persona", _PERSONAS),
        "profile": _grid(
            ("figure", "published", "here"),
            (
                (f"{persona}: {what}", said, written.format(mean.loc[persona, column] * times))
                for persona, column, what, said, written, times in _PROFILE
            ),
        ),
        "dreamers": len(dreamers),
        "cancellers": int(dreamers["booked"].notna().sum()),
        "flagged": mean.loc["Dreamers", _FLAGGED],
        "nesters_married": nesters["married"],
        "nesters_children": nesters["has_children"],
        "family_children": mean.loc["Family Adventurers", "has_children"],
        "married": customers["married"].mean(),
        "children": customers["has_children"].mean(),
    }


def _of_trips(trips: pd.DataFrame) -> pd.DataFrame:
    """One row per customer with a trip: number, mean fare, hotel bill and distance of all trips.

    Trips cancelled later are included. Stored nights count at least one.
    """
    nights = trips["nights_stored"].clip(lower=1)
    bill = trips["rooms"] * trips["hotel_per_room_usd"] * nights
    return (
        trips.assign(bill=bill)
        .groupby("user_id")
        .agg(
            booked=("trip_id", "size"),
            fare=("base_fare_usd", "mean"),
            bill=("bill", "mean"),
            km=("distance_km", "mean"),
        )
    )


def _seven(work: Rebuilt) -> dict[str, Any]:
    fitted: FittedSeven = work.fitted
    points = fitted.space.place(work.features)
    label, _ = nearest(points, fitted.centroids)
    with one_thread():
        silhouette = silhouette_score(points, label)
    return {
        "indices": _grid(
            ("figure", "published", "here"),
            (
                ("silhouette", "0.148", f"{silhouette:.3f}"),
                ("Davies-Bouldin index", "1.95", f"{davies_bouldin_score(points, label):.2f}"),
                ("Calinski-Harabasz index", "576", _number(calinski_harabasz_score(points, label))),
            ),
        ),
        "sizes": work.sizes("segment", _SEVEN),
        "female": float((work.features["gender"] == "F").mean()),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _grid(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Write the page from the lake of the settings."""
    lake = open_lake(load_settings())
    features, trips = (
        lake.frame(f"gold/{name}", MONTH) for name in ("user_features", "trips_final")
    )
    PAGE.write_text(render(features, trips), encoding="utf-8")


if __name__ == "__main__":
    main()
