from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from traveltide_assets.serving.desk.access import Door, inside


@pytest.mark.parametrize(
    "wanted",
    ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "customers", ""],
)
def test_nobody_is_sent_elsewhere_after_signing_in(wanted: str) -> None:
    assert inside(wanted) == "/"


def test_a_page_of_the_desk_is_where_one_goes_on() -> None:
    assert inside("/customers?age=35..44") == "/customers?age=35..44"


@given(st.text(max_size=80))
def test_no_invented_cookie_is_taken(cookie: str) -> None:
    assert not Door(SecretStr("key"))._is_signed(cookie)


def test_a_cookie_is_taken_until_it_is_too_old_and_only_with_its_key() -> None:
    door, later, before = Door(SecretStr("key")), "99999999999", "1"
    assert door._is_signed(f"{later}.{door._signature(later)}")
    assert not door._is_signed(f"{before}.{door._signature(before)}")
    assert not Door(SecretStr("another"))._is_signed(f"{later}.{door._signature(later)}")


def test_without_a_key_nothing_opens() -> None:
    assert not Door(None).opens("")
