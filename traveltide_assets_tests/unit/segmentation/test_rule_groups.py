"""Rule segments: everybody in exactly one, thresholds as declared, clear refusals."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import PerkError, Program, load_perks, of_program
from traveltide_assets.segmentation.affinities import assignments
from traveltide_assets.segmentation.rule_groups import RuleError, RuleStrategy, load_rules
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets_tests.support.customers import customers

PERKS = load_perks(FOLDER / "perks.toml")
STRATEGIES = {
    name: load_rules(FOLDER / f"{name}.toml", PERKS) for name in ("six_groups", "five_personas")
}
PROGRAMS: list[tuple[str, Program]] = [
    ("six_groups", "six_groups"),
    ("five_personas", "five_personas"),
]
HEAD = 'name = "mine"\ntitle = "Mine"\ndescription = "Mine"\nprogram = "classic"\n'
REST = '[[segment]]\nname = "Rest"\nperk = "free_checked_bag"\ndescription = "The rest"\n'


def segment(conditions: str, name: str = "Some", perk: str = "free_hotel_meal") -> str:
    return (
        f'[[segment]]\nname = "{name}"\nperk = "{perk}"\ndescription = "Some"\n'
        f"conditions = [{conditions}]\n"
    )


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def rules(folder: Path, *segments: str) -> RuleStrategy:
    return load_rules(write(folder, HEAD + "".join(segments) + REST), PERKS)


def decide(strategy: RuleStrategy, features: pd.DataFrame) -> pd.DataFrame:
    return strategy.fit(History(features)).assign(features)


@pytest.mark.parametrize("name", STRATEGIES)
@given(features=customers())
@settings(max_examples=30)
def test_any_customer_is_in_exactly_one_segment(name: str, features: pd.DataFrame) -> None:
    strategy = STRATEGIES[name]
    assigned = decide(strategy, features)
    assert tuple(assigned.columns) == ASSIGNMENT
    assert assigned["user_id"].tolist() == features["user_id"].tolist()
    perks = {segment.name: segment.perk for segment in strategy.segments}
    assert assigned["perk"].tolist() == [perks[segment] for segment in assigned["segment"]]
    assert assigned["score"].between(0, 1).all()
    assert assigned["reason"].str.len().gt(0).all()


@pytest.mark.parametrize("name", STRATEGIES)
@given(features=customers())
@settings(max_examples=30)
def test_the_order_of_the_customers_does_not_matter(name: str, features: pd.DataFrame) -> None:
    straight = decide(STRATEGIES[name], features).sort_values("user_id", ignore_index=True)
    turned = decide(STRATEGIES[name], features.iloc[::-1]).sort_values("user_id", ignore_index=True)
    pd.testing.assert_frame_equal(straight, turned)


@given(features=customers())
@settings(max_examples=30)
def test_a_customer_is_in_the_first_segment_whose_conditions_hold(features: pd.DataFrame) -> None:
    segment = decide(STRATEGIES["five_personas"], features).set_index(features.index)["segment"]
    kept = features["kept_trips"]
    assert (segment == "Dreamers").equals(kept < 1)
    assert (segment == "Business Travelers").equals(kept >= 4)
    discounted = (features["discounted_flight_rate_with_cancellations"] > 0.55) | (
        features["discounted_hotel_rate_with_cancellations"] > 0.55
    )
    late = features["mean_lead_days_with_cancellations"] <= 5
    # A customer whose kept trips are unknown is neither in the first two nor outside of them.
    between = ~(kept < 1) & ~(kept >= 4)
    assert (segment == "Globetrotters").equals(between & (discounted | late))


@given(features=customers())
@settings(max_examples=50)
def test_the_six_groups_follow_spend_children_and_age(features: pd.DataFrame) -> None:
    found = decide(STRATEGIES["six_groups"], features).set_index(features.index)["segment"]
    fare, stay = features["mean_base_fare_booked"], features["mean_stay_price_booked"]
    low = (fare <= 500) & (stay <= 500)
    middling = ~low & (fare.between(500, 1000, "right") | stay.between(500, 1000, "right"))
    days = (dt.date(2025, 11, 30) - dt.date(1970, 1, 1)).days - features["birth_day"]
    age = days // 365
    core = (age >= 35) & (age < 50)
    business = (
        age.between(30, 55)
        & (features["package_rate_booked"] >= 1)
        & (features["mean_seats_booked"] <= 1)
        & (features["mean_checked_bags_booked"] <= 1)
        & (features["mean_nights_booked"] <= 3)
        & (features["weekday_departure_rate"] > 0.6)
    )
    expected = np.select(
        [
            ~low & ~middling & core,
            ~low & ~middling,
            features["has_children"] & ~business,
            middling & core,
            middling,
        ],
        [
            "Premium High Engaged Core",
            "Premium High Engaged Other",
            "Family Market",
            "Mid-Ranged High Engaged Core",
            "Mid-Ranged High Engaged Other",
        ],
        "Price Sensitive Buyer",
    )
    assert found.tolist() == expected.tolist()


def test_whoever_never_booked_is_premium_as_the_work_counts() -> None:
    nobody = pd.DataFrame({"user_id": [1], "has_children": [True]}).assign(
        **dict.fromkeys(STRATEGIES["six_groups"].inputs - {"has_children"}, np.nan)
    )
    found = decide(STRATEGIES["six_groups"], nobody)
    assert found["segment"].tolist() == ["Premium High Engaged Other"]


DEFINED = """
[[definition]]
name = "stays long"
conditions = [{ feature = "mean_nights", comparison = ">=", quantile = 0.5 }]
[[definition]]
name = "single and away"
conditions = [
    { feature = "married", comparison = "is false" },
    { feature = "stays long", comparison = "is true" },
]
"""


def test_a_definition_is_named_like_a_feature_and_may_be_denied(tmp_path: Path) -> None:
    away = DEFINED + segment('{ feature = "single and away", comparison = "is true" }', "Away")
    denied = segment('{ feature = "stays long", comparison = "is false" }', "Short")
    strategy = rules(tmp_path, away, denied)
    assigned = decide(strategy, five())
    # The fifth never stays. A comparison of nothing does not hold, so its denial does.
    assert assigned["segment"].tolist() == ["Short", "Short", "Away", "Rest", "Short"]
    assert assigned["reason"].tolist()[2:4] == ["single and away", "fits no other segment"]
    assert strategy.inputs == {"mean_nights", "married"}


@given(
    days=st.lists(st.integers(-40_000, 20_000), min_size=1, max_size=20), years=st.integers(1, 90)
)
def test_an_age_on_a_day_counts_whole_years_of_365_days(days: list[int], years: int) -> None:
    day = dt.date(1970, 1, 1) + dt.timedelta(days=10_000)
    condition = {"feature": "age", "comparison": ">=", "value": years}
    strategy = RuleStrategy.model_validate(
        {
            "name": "mine",
            "title": "Mine",
            "description": "Mine",
            "program": "classic",
            "ages_as_of": day,
            "segment": [
                {"name": "Old", "perk": "a", "description": "Old", "conditions": [condition]},
                {"name": "Rest", "perk": "b", "description": "Rest"},
            ],
        }
    )
    features = pd.DataFrame({"user_id": range(len(days)), "age": 1, "birth_day": days})
    old = decide(strategy, features)["segment"] == "Old"
    assert old.tolist() == [10_000 - born >= 365 * years for born in days]
    assert strategy.inputs == {"age", "birth_day"}


@pytest.mark.parametrize(
    ("condition", "members"),
    [
        ('feature = "mean_nights", comparison = ">=", value = 3', [3, 4]),
        ('feature = "mean_nights", comparison = ">", value = 3', [4]),
        ('feature = "mean_nights", comparison = "<=", value = 2', [1, 2]),
        ('feature = "mean_nights", comparison = "<", value = 2', [1]),
        ('feature = "mean_nights", comparison = "is missing"', [5]),
        ('feature = "mean_nights", comparison = ">=", quantile = 0.5', [3, 4]),
        ('feature = "married", comparison = "is true"', [2, 4]),
        ('feature = "married", comparison = "is false"', [1, 3, 5]),
    ],
)
def test_each_comparison_takes_whom_it_says(
    tmp_path: Path, condition: str, members: list[int]
) -> None:
    assigned = decide(rules(tmp_path, segment(f"{{ {condition} }}")), five())
    assert assigned.loc[assigned["segment"] == "Some", "user_id"].tolist() == members


def five() -> pd.DataFrame:
    """Customers 1 to 5, who stay 1 to 4 nights and, the fifth, never."""
    return pd.DataFrame(
        {
            "user_id": range(1, 6),
            "mean_nights": [1.0, 2.0, 3.0, 4.0, np.nan],
            "married": [False, True, False, True, False],
        }
    )


LONG = '{ feature = "mean_nights", comparison = ">=", quantile = 0.5 }'
MARRIED = '{ feature = "married", comparison = "is true" }'


def test_all_conditions_must_hold_unless_any_is_asked_for(tmp_path: Path) -> None:
    both = segment(f"{LONG}, {MARRIED}")
    assigned = decide(rules(tmp_path, both), five())
    assert assigned["segment"].eq("Some").tolist() == [False, False, False, True, False]
    either = decide(rules(tmp_path, both + "any = true\n"), five())
    assert either["segment"].eq("Some").tolist() == [False, True, True, True, False]
    assert either["reason"].tolist() == [
        "fits no other segment",
        "married",
        "nights per stay >= 2.5",
        "nights per stay >= 2.5, married",
        "fits no other segment",
    ]


@pytest.mark.parametrize(
    ("comparison", "scores"), [(">=", [1, 1 / 3, 2 / 3, 1, 1]), ("<=", [1, 1 / 2, 1, 1, 1])]
)
def test_the_score_is_the_share_of_those_who_meet_the_condition_by_no_more(
    tmp_path: Path, comparison: str, scores: list[float]
) -> None:
    condition = f'{{ feature = "mean_nights", comparison = "{comparison}", value = 2 }}'
    assigned = decide(rules(tmp_path, segment(condition)), five())
    assert assigned["score"].tolist() == pytest.approx(scores)


def test_a_quantile_is_that_of_the_customers_fitted_on(tmp_path: Path) -> None:
    fitted = rules(tmp_path, segment(LONG)).fit(History(five()))
    longer = five().assign(mean_nights=100.0)
    assert set(fitted.assign(longer)["segment"]) == {"Some"}
    assert set(fitted.assign(longer)["reason"]) == {"nights per stay >= 2.5"}


def test_nobody_meets_a_quantile_of_a_feature_that_nobody_has(tmp_path: Path) -> None:
    unknown = five().assign(mean_nights=np.nan)
    assert set(decide(rules(tmp_path, segment(LONG)), unknown)["segment"]) == {"Rest"}


TEN_KM = '{ feature = "total_distance_km", comparison = ">=", value = 10 }'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (segment('{ feature = "shoe_size", comparison = ">", value = 1 }') + REST, "shoe_size"),
        (segment('{ feature = "age", comparison = "about", value = 1 }') + REST, "comparison"),
        (segment('{ feature = "age", comparison = ">" }') + REST, "a value or a quantile"),
        (
            segment('{ feature = "age", comparison = ">", value = 1, quantile = 0.1 }') + REST,
            "not both",
        ),
        (segment('{ feature = "age", comparison = ">", quantile = 75 }') + REST, "quantile"),
        (segment('{ feature = "age", comparison = "is true" }') + REST, "is a number"),
        (segment('{ feature = "married", comparison = ">", value = 0 }') + REST, "yes or no"),
        (
            segment('{ feature = "age", comparison = "is missing", value = 0 }') + REST,
            "takes no threshold",
        ),
        (segment(TEN_KM, perk="lounge_access") + REST, "unknown perk 'lounge_access'"),
        (segment(TEN_KM) + segment(TEN_KM) + REST, "must be unique"),
        (segment(TEN_KM), "must have no conditions"),
        (segment("") + REST, "only the last segment"),
        (DEFINED + DEFINED + REST, "must be unique"),
        (DEFINED.replace('name = "stays long"', 'name = "age"') + REST, "unknown feature"),
        ('[[definition]]\nname = "age"\nconditions = [' + MARRIED + "]\n" + REST, "among features"),
        (
            DEFINED.replace(
                'feature = "mean_nights", comparison = ">=", quantile = 0.5',
                'feature = "single and away", comparison = "is true"',
            )
            + REST,
            "not defined before it",
        ),
        ('[[definition]]\nname = "all"\nconditions = []\n' + REST, "at least 1"),
        ("definition = 3\n" + REST, "definition"),
        ("", "segment"),
        ("segment = [", "mine.toml"),
    ],
)
def test_a_wrong_catalogue_is_refused_by_file_and_entry(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path, HEAD + text)
    with pytest.raises(RuleError, match=message) as refusal:
        load_rules(path, PERKS)
    assert str(path) in str(refusal.value)


def test_a_refusal_names_the_segment_and_the_condition(tmp_path: Path) -> None:
    wrong = segment(f'{TEN_KM}, {{ feature = "shoe_size", comparison = ">", value = 1 }}')
    with pytest.raises(RuleError, match=r"segment 1 \('Some'\), conditions 2, feature: .*shoe_si"):
        rules(tmp_path, wrong)


def test_a_catalogue_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"none\.toml"):
        load_rules(tmp_path / "none.toml", PERKS)


def test_each_group_and_persona_has_a_perk_of_its_own_and_the_program_has_no_others() -> None:
    for name, program in PROGRAMS:
        given = [segment.perk for segment in STRATEGIES[name].segments]
        assert sorted(given) == sorted(perk.id for perk in of_program(PERKS, program))


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_the_runner_up_is_another_perk_of_the_same_program(name: str, program: Program) -> None:
    rng = np.random.default_rng(5)
    features = pd.DataFrame({f.name: rng.integers(0, 6, 200).astype(float) for f in CATALOGUE})
    features = features.assign(user_id=range(200), has_children=rng.random(200) < 0.3)
    decided = assignments(features, decide(STRATEGIES[name], features), PERKS)
    assert decided["runner_up"].isin([perk.id for perk in of_program(PERKS, program)]).all()
    assert (decided["runner_up"] != decided["perk"]).all()
    assert {f"affinity_{perk.id}" for perk in PERKS} < set(decided.columns)


def test_a_program_without_perks_is_refused() -> None:
    with pytest.raises(PerkError, match="five_personas"):
        of_program(PERKS[:1], "five_personas")
