"""Who is written to, with what, and what the mailing tool finds in its folder."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.campaign import invitations, mailing, steady
from traveltide_assets.campaign.config import Config as Campaign
from traveltide_assets.campaign.suppression import Suppressed, SuppressionError, read_suppressed
from traveltide_assets.catalogue import FOLDER
from traveltide_assets.catalogue.perks import PerkError, load_perks
from traveltide_assets.schema.months import end_of
from traveltide_assets.stats import bucketing as lottery

PERKS = ("bag", "meal", "night")
HEADLINES = {"bag": "A bag", "meal": "A meal", "night": "A night", "control_offer": "Hello"}
AS_DECIDED = pd.Series(dtype=object)
FEW = settings(max_examples=40)
USERS = st.lists(st.integers(1, 10**9), min_size=1, max_size=60, unique=True)


def assigned(users: list[int], seed: int = 0) -> pd.DataFrame:
    """Customers with a perk and a segment at random."""
    rng = np.random.default_rng(seed)
    perk = rng.choice(PERKS, len(users))
    segment = np.char.add("likes ", perk)
    return pd.DataFrame(
        {"user_id": users, "perk": perk, "segment": segment, "steadiness": steady.SAME}
    ).astype({"user_id": "int64"})


def suppressed(users: set[int]) -> Suppressed:
    return Suppressed(frozenset(users), "digest")


@FEW
@given(USERS, st.text(max_size=8))
def test_a_draw_depends_on_the_customer_and_the_salt_alone(users: list[int], salt: str) -> None:
    drawn = dict(zip(users, lottery.draws(users, salt), strict=True))
    others = users[::-1][: len(users) // 2 + 1]
    assert list(lottery.draws(others, salt)) == [drawn[user] for user in others]
    assert all(0 <= value < 1 for value in drawn.values())


def test_draws_are_even_and_those_of_two_salts_have_nothing_to_do_with_each_other() -> None:
    one, other = (lottery.draws(range(20_000), salt) for salt in ("one", "other"))
    assert np.histogram(one, bins=10, range=(0, 1))[0].min() > 1_800
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


@FEW
@given(USERS, st.data(), st.floats(0, 1))
def test_a_suppressed_customer_is_nowhere_and_nobody_else_is_lost(
    users: list[int], data: st.DataObject, share: float
) -> None:
    blocked = data.draw(st.sets(st.sampled_from(users)))
    before = invitations.invite(
        assigned(users, seed=1), suppressed(set()), Campaign(holdout_share=share), HEADLINES, None
    )
    campaign = invitations.invite(
        assigned(users), suppressed(blocked), Campaign(holdout_share=share), HEADLINES, None
    )
    changes = invitations.changed(
        campaign, before, suppressed(blocked), assigned(users), AS_DECIDED
    )
    mailed = [
        user
        for name, content in mailing.files(campaign).items()
        if name.endswith(".csv")
        for user in pd.read_csv(BytesIO(content))["user_id"]
    ]
    assert not blocked & {*campaign["user_id"], *changes["user_id"], *mailed}
    held_out = set(campaign.loc[campaign["holdout"], "user_id"])
    assert sorted([*mailed, *held_out, *blocked]) == sorted(users)


@FEW
@given(USERS, st.floats(0, 1))
def test_the_holdout_is_the_same_in_another_month_and_whoever_else_is_there(
    users: list[int], share: float
) -> None:
    config = Campaign(holdout_share=share)
    series = pd.Series(users)
    all_of_them = dict(zip(users, invitations.held_out(series, config), strict=True))
    some = series[::-2]
    assert [all_of_them[user] for user in some] == list(invitations.held_out(some, config))


def test_an_experiment_decides_what_is_offered_and_not_to_those_held_out() -> None:
    users = list(range(1, 400))
    offers = pd.Series("control_offer", index=users[:200])
    campaign = invitations.invite(
        assigned(users), suppressed(set()), Campaign(holdout_share=0.5), HEADLINES, offers
    ).set_index("user_id")
    control = campaign["perk"] == "control_offer"
    assert set(campaign.index[control]) == {
        user for user in users[:200] if not campaign.loc[user, "holdout"]
    }
    assert (campaign.loc[control, "headline"] == "Hello").all()


def test_new_moved_and_dropped_customers_are_told_from_those_who_stay() -> None:
    before = pd.DataFrame({"user_id": [1, 2, 3, 4], "perk": ["bag", "bag", "bag", "bag"]})
    now = pd.DataFrame({"user_id": [1, 2, 4, 5], "perk": ["bag", "meal", "bag", "meal"]})
    found = invitations.changed(
        now.assign(holdout=[False, False, True, False]),
        before.assign(holdout=[False, False, False, False]),
        suppressed(set()),
        now.assign(steadiness="clearly better"),
        AS_DECIDED,
    )
    rows = found.astype(object).where(found.notna(), None).to_numpy().tolist()
    assert rows == [
        [2, "moved", "bag", "meal", "clearly better"],
        [3, "dropped", "bag", None, "not in this month's mailing"],
        [4, "dropped", "bag", None, "not in this month's mailing"],
        [5, "new", None, "meal", "not in last month's mailing"],
    ]


def test_an_offer_that_the_experiment_changed_says_so() -> None:
    before = pd.DataFrame({"user_id": [1], "perk": ["bag"], "holdout": [False]})
    now = pd.DataFrame({"user_id": [1], "perk": ["control_offer"], "holdout": [False]})
    assignments = pd.DataFrame({"user_id": [1], "perk": ["bag"], "steadiness": [steady.HELD]})
    found = invitations.changed(now, before, suppressed(set()), assignments, AS_DECIDED)
    assert list(found["reason"]) == ["the offer of the experiment's arm, or of its end"]


@FEW
@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["=1+1", "\r\n@x", "+1"])
)
def test_a_cell_of_a_csv_file_is_one_line_and_no_formula(text: str) -> None:
    rows = pd.DataFrame({"user_id": [7, 8], "headline": text, "segment": [text, "calm"]})
    content = mailing.to_csv(rows)
    read = list(csv.reader(content.decode("utf-8").split("\n")))
    assert [row[0] for row in read if row] == ["user_id", "7", "8"]
    for cell in read[1][1:]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read[2][2] == "calm"


def test_text_in_any_language_arrives_as_it_is() -> None:
    rows = pd.DataFrame({"user_id": [7], "headline": "Größe, „x“", "segment": "été"})
    assert mailing.to_csv(rows).decode("utf-8").split("\n")[1] == '7,"Größe, „x“",été'


@given(st.sets(st.integers(0, 10**12)), st.booleans(), st.sampled_from(["\n", "\r\n"]))
@FEW
def test_a_suppression_list_is_read_with_and_without_its_header(
    tmp_path_factory: pytest.TempPathFactory, users: set[int], header: bool, end: str
) -> None:
    file = tmp_path_factory.mktemp("list") / "list.csv"
    header = header or not users
    file.write_bytes(end.join([*(["user_id"] * header), *map(str, users), ""]).encode())
    read = read_suppressed(file)
    assert read.users == users
    assert read.digest == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"user_id\n17\nanna@example.org\n", "line 3"),
        (b"17,18\n", "line 1: not a user_id .there is a comma"),
        (b"user_id,\n17,\n", "line 1: not a user_id .there is a comma"),
        (b"user_id\n17;\n", "line 2: not a user_id .there is a semicolon"),
        (b"user_id\temail\n17\tx\n", "line 1: not a user_id .there is a tab"),
        (b"1E+05\n", "line 1"),
        (b"1_000\n", "line 1"),
        (b"", "is empty"),
        (b"\n \r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"email\n17\n", "line 1"),
        (b"17\n-4\n", "line 2"),
        (b"1.5\n", "line 1"),
        (b"\xff\xfe1\x00", "UTF-8"),
        ("user_id\n17".encode("utf-16-le"), "UTF-8"),
        (b"17\n\xe9\n", "line 2: a character is not UTF-8"),
    ],
)
def test_a_malformed_list_is_refused_with_its_place_and_without_what_it_says(
    tmp_path: Path, content: bytes, line: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    with pytest.raises(SuppressionError, match=line) as error:
        read_suppressed(file)
    assert "anna" not in str(error.value)


def test_a_list_of_nobody_is_its_header(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    for content in (b"user_id", b"user_id\r\n", b'\xef\xbb\xbf"USER_ID"\n\n'):
        file.write_bytes(content)
        assert read_suppressed(file).users == frozenset()


def test_the_empty_list_that_once_suppressed_nobody_is_refused(cases: Path) -> None:
    with pytest.raises(SuppressionError, match="is empty"):
        read_suppressed(cases / "empty_suppression_list" / "suppressed.csv")


def test_a_list_that_is_not_there_is_an_error_and_no_list_suppresses_nobody(
    tmp_path: Path,
) -> None:
    with pytest.raises(SuppressionError, match=r"absent\.csv"):
        read_suppressed(tmp_path / "absent.csv")
    assert read_suppressed(None) == Suppressed(frozenset(), None)


@pytest.mark.parametrize("headline", ["", " ", "=cmd()", "+1", "@you", "two\\nlines", "x" * 151])
def test_a_headline_is_one_line_and_no_formula(tmp_path: Path, headline: str) -> None:
    text = (FOLDER / "perks.toml").read_text("utf-8")
    known = load_perks(FOLDER / "perks.toml")[0].headline
    file = tmp_path / "perks.toml"
    file.write_text(text.replace(f'"{known}"', f'"{headline}"'), "utf-8")
    with pytest.raises(PerkError, match="headline"):
        load_perks(file)


def test_every_perk_needs_a_headline(tmp_path: Path) -> None:
    text = (FOLDER / "perks.toml").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("headline")]
    file = tmp_path / "perks.toml"
    file.write_text("\n".join(lines), "utf-8")
    with pytest.raises(PerkError, match="headline"):
        load_perks(file)


BIRTHDATES = st.one_of(st.none(), st.dates(dt.date(1930, 1, 1), dt.date(2023, 1, 1)))


@given(
    births=st.lists(BIRTHDATES, min_size=1),
    minimum=st.integers(0, 40),
    month=st.sampled_from(["2023-02", "2024-02", "2023-12", "2023-06"]),
)
def test_nobody_is_written_to_before_the_birthday(
    births: list[dt.date | None], minimum: int, month: str
) -> None:
    users = pd.DataFrame({"user_id": range(len(births)), "birthdate": births})
    last = (end_of(month) - dt.timedelta(days=1)).date()

    def age(born: dt.date) -> int:
        return last.year - born.year - ((last.month, last.day) < (born.month, born.day))

    expected = {i for i, born in enumerate(births) if born is None or age(born) < minimum}
    assert invitations.too_young(users, minimum, month) == expected
    assert invitations.too_young(users, None, month) == set()
