"""Rule segments: everybody in exactly one, thresholds as declared, clear refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import PerkError, Program, load_perks, of_program
from traveltide_assets.segmentation.affinities import assignments
from traveltide_assets.segmentation.rule_groups import RuleError, RuleStrategy, load_rules
from traveltide_assets.segmentation.strategy import ASSIGNMENT, History
from traveltide_assets.transforms.features.catalogue import CATALOGUE
from traveltide_assets_tests.support.customers import customers

PERKS = load_perks(FOLDER / "perks.toml")
STRATEGIES = {
    name: load_rules(FOLDER / f"{name}.toml", PERKS) for name in ("hierarchical", "personas")
}
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
    assigned = decide(STRATEGIES["hierarchical"], features).set_index(features.index)
    assert (assigned["segment"] == "Families").equals(features["has_children"])
    others = features[~features["has_children"]]
    dreamers = (others["total_trips"] <= 0) | (others["cancellation_rate"] >= 0.5)
    assert (assigned.loc[others.index, "segment"] == "Dreamers and cancellers").equals(dreamers)


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


def test_each_persona_has_a_perk_of_its_own_and_the_groups_use_the_classic_five() -> None:
    personas = [segment.perk for segment in STRATEGIES["personas"].segments]
    assert sorted(personas) == sorted(perk.id for perk in of_program(PERKS, "personas"))
    groups = {segment.perk for segment in STRATEGIES["hierarchical"].segments}
    assert groups == {perk.id for perk in of_program(PERKS, "classic")}
    assert len(STRATEGIES["hierarchical"].segments) == 6


@pytest.mark.parametrize(
    ("name", "program"), [("hierarchical", "classic"), ("personas", "personas")]
)
def test_the_runner_up_is_another_perk_of_the_same_program(name: str, program: Program) -> None:
    rng = np.random.default_rng(5)
    features = pd.DataFrame({f.name: rng.integers(0, 6, 200).astype(float) for f in CATALOGUE})
    features = features.assign(user_id=range(200), has_children=rng.random(200) < 0.3)
    decided = assignments(features, decide(STRATEGIES[name], features), PERKS)
    assert decided["runner_up"].isin([perk.id for perk in of_program(PERKS, program)]).all()
    assert (decided["runner_up"] != decided["perk"]).all()
    assert {f"affinity_{perk.id}" for perk in PERKS} < set(decided.columns)


def test_a_program_without_perks_is_refused() -> None:
    with pytest.raises(PerkError, match="personas"):
        of_program(PERKS[:1], "personas")
