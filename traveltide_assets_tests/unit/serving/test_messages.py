"""Question bodies: what is parsed, and what a body that is wrong may cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traveltide_assets.serving.messages import MOST_PROBLEMS, Batch, Invalid, Questions, TooMany

ONE: dict[str, Any] = {"features": {"total_sessions": 2, "mean_nights": 1.5}}
QUESTIONS = Questions(max_batch=100)


def problems(body: bytes) -> list[Any]:
    with pytest.raises(Invalid) as found:
        QUESTIONS.parse_large(body)
    return found.value.problems


@pytest.mark.parametrize("question", [ONE, {"customers": [ONE] * 3}])
def test_both_ways_of_parsing_give_the_same(question: dict[str, Any]) -> None:
    body = json.dumps(question).encode()
    small, large = QUESTIONS.parse(body), QUESTIONS.parse_large(body)
    assert small.model_dump() == large.model_dump()
    assert isinstance(large, Batch) == ("customers" in question)


def test_of_many_problems_a_few_are_told_with_their_place() -> None:
    found = problems(json.dumps({"customers": [ONE, *[{"features": {}}] * 90]}).encode())
    assert len(found) == MOST_PROBLEMS
    assert found[0]["loc"] == ["body", "customers", 1, "features", "total_sessions"]


def test_the_parts_of_a_wrong_customer_are_not_looked_at_beyond_the_limit() -> None:
    fields = {f"f{n}": 0 for n in range(101)}
    (found,) = problems(json.dumps({"features": fields}).encode())
    assert found["loc"] == ["body", "features"]
    assert found["type"] == "extra_forbidden"


def test_a_batch_has_no_more_customers_than_allowed_and_no_other_field() -> None:
    (found,) = problems(b'{"customers":[%s]}' % b",".join([b"{}"] * 101))
    assert (found["loc"], found["type"]) == (["body", "customers"], "too_long")
    (found,) = problems(b'{"customers":[{}],"x":1}')
    assert found["loc"] == ["body", "x"]


def test_a_body_of_more_values_than_a_full_batch_is_not_parsed() -> None:
    with pytest.raises(TooMany):
        QUESTIONS.parse_large(b"[" + b"0," * 20_000 + b"0]")


def test_the_name_of_an_unknown_field_is_cut() -> None:
    name = "a" * 10_000
    (found,) = problems(json.dumps({"features": {"total_sessions": 1, name: 1}}).encode())
    assert found["loc"] == ["body", "features", "a" * 64]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e15", "-1e15"])
def test_numbers_beyond_all_bounds_name_their_field(number: str) -> None:
    body = b'{"customers":[{"features":{"total_sessions":1,"mean_nights":%s}}]}' % number.encode()
    (found,) = problems(body)
    assert found["loc"] == ["body", "customers", 0, "features", "mean_nights"]
    with pytest.raises(Invalid) as small:
        QUESTIONS.parse(body)
    assert small.value.problems[0]["loc"] == found["loc"]


@given(st.binary(max_size=300))
def test_bytes_are_a_question_or_invalid(body: bytes) -> None:
    with pytest.raises((Invalid, TooMany)):
        QUESTIONS.parse_large(body)


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
)


@given(values)
def test_any_json_in_a_customer_gets_few_problems(value: Any) -> None:
    found = problems(json.dumps({"customers": [{"features": value}]}).encode())
    assert 1 <= len(found) <= MOST_PROBLEMS


def test_the_schema_has_the_sizes() -> None:
    body, models = QUESTIONS.schema()
    assert body["required"]
    assert models["Batch"]["properties"]["customers"]["maxItems"] == 100
    assert models["History"]["properties"]["sessions"]["maxItems"] == 1_000
    session = models["Session"]["properties"]
    assert session["session_id"]["anyOf"][0]["maxLength"] == 200
    assert session["page_clicks"]["maximum"] == 10**12
