from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.serving.desk.selection import NotASelection, Selection

PAIRS = st.lists(
    st.tuples(st.sampled_from(["segment", "perk", "country"]), st.text(max_size=8))
    | st.tuples(
        st.sampled_from(["age", "spend"]), st.sampled_from(["3", "4..9", "65..", "unknown"])
    ),
    max_size=12,
)


@given(PAIRS)
def test_an_address_holds_the_whole_selection(pairs: list[tuple[str, str]]) -> None:
    selection = Selection.of(pairs)
    again = Selection.of(parse_qsl(selection.query(), keep_blank_values=True))
    assert again == selection


@given(PAIRS, st.sampled_from(["single", "married"]))
def test_toggling_twice_changes_nothing(pairs: list[tuple[str, str]], group: str) -> None:
    selection = Selection.of(pairs)
    once = selection.toggled("family", group)
    assert once.groups("family") == (group,)
    assert once.toggled("family", group) == selection


def test_the_order_of_conditions_does_not_matter() -> None:
    assert Selection.parse(["age=35..44", "perk=a"]) == Selection.parse(["perk=a", "age=35..44"])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("agee=3", "cannot be selected by 'agee'"),
        ("age", "is no condition"),
        ("age=old", "not written as age=35..44"),
        ("age=44..35", "not written as age=35..44"),
    ],
)
def test_a_condition_that_nobody_understands_is_named(condition: str, message: str) -> None:
    with pytest.raises(NotASelection, match=message):
        Selection.parse([condition])


def test_a_selection_is_not_endless() -> None:
    with pytest.raises(NotASelection, match="at most"):
        Selection.of(("perk", str(number)) for number in range(201))
