"""A month that did not change is not cleaned again, and silver is as if all had been, in one go."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traveltide_assets.defs.checks.soundness import layers
from traveltide_assets.defs.cleaned_months import CleanedMonths
from traveltide_assets.engines.duckdb import DuckDB
from traveltide_assets.transforms.cleaning.cleaned import Counts
from traveltide_assets.transforms.cleaning.judge import clean_sessions, clean_users
from traveltide_assets_tests.support.landed_files import SOUND
from traveltide_assets_tests.support.silver_lake import TABLES, SilverLake

RAW, PROCESSED, QUARANTINE = layers("sessions")
NOTES = "_cleaned/sessions.json"
MAY, JUNE, JULY = MONTHS = ("2023-05", "2023-06", "2023-07")


@dataclass(frozen=True)
class Visit:
    """A session: its id, its month, its user, and its clicks as text."""

    id: str
    month: str
    user: int = 1
    clicks: str = "17"

    def line(self) -> str:
        row = SOUND["sessions"].replace("1-a,1,1-t", f"{self.id},{self.user},")
        return row.replace("2023-07-01", f"{self.month}-01").replace(
            ",t,t,17,", f",f,f,{self.clicks},"
        )


@dataclass(frozen=True)
class Delivery:
    """Sessions and users, by file."""

    sessions: Mapping[str, Sequence[Visit]]
    users: Mapping[str, Sequence[int]]


class Place(SilverLake):
    """A landing folder and a lake that takes users and sessions from it."""

    def land(self, delivery: Delivery) -> None:
        """Make the landing folder as delivered."""
        user = SOUND["users"].removeprefix("1,")
        self.land_only("sessions", delivery.sessions)
        self.land_only("users", delivery.users)
        for name, visits in delivery.sessions.items():
            self.land_file("sessions", name, [visit.line() for visit in visits])
        for name, numbers in delivery.users.items():
            self.land_file("users", name, [f"{number},{user}" for number in numbers])

    def ingest(self, months: Sequence[str] = MONTHS, rules: str = "") -> tuple[list[str], Counts]:
        """The months that were cleaned, the counts."""
        self.ingest_files("users", clean_users)
        for month, file in self.source().parts("sessions", months).items():
            self.lake.take(TABLES[RAW], file, month)
        up_to = [month for month in self.lake.months(RAW) if month <= max(months)]
        raw, users = self.lake.table(RAW, up_to), self.lake.table(layers("users")[1])
        cleaned = CleanedMonths(self.lake, months, rules)
        work = cleaned.clean(lambda made: clean_sessions(raw, users, made))
        self.store("sessions", work)
        cleaned.save(work)
        return list(work.made), Counts.together(work.counts.values())


@pytest.fixture
def place(tmp_path: Path, engine: DuckDB) -> Place:
    return Place(tmp_path, engine)


USERS = {"users.csv": [1, 2]}
SPRING = {"sessions-1.csv": [Visit("1-a", MAY, clicks="x"), Visit("1-b", JUNE)]}
SUMMER = {"sessions-2.csv": [Visit("1-c", JULY)]}


def test_a_new_month_is_cleaned_alone(place: Place) -> None:
    place.land(Delivery(SPRING, USERS))
    assert place.ingest()[0] == [MAY, JUNE, JULY]
    before = {path: place.lake.versions(path) for path in (RAW, PROCESSED, QUARANTINE)}
    place.land(Delivery(SPRING | SUMMER, USERS))
    made, counts = place.ingest()
    assert made == [JULY]
    assert counts.rejections == {"unreadable_page_clicks": 1}
    for path, versions in before.items():
        after = place.lake.versions(path)
        assert (after[MAY], after[JUNE]) == (versions[MAY], versions[JUNE])
    assert place.lake.rows(PROCESSED, JULY) == 1
    assert place.ingest() == ([], counts)


def test_an_earlier_month_that_changes_has_all_later_ones_cleaned(place: Place) -> None:
    place.land(Delivery(SPRING | SUMMER, USERS))
    place.ingest()
    late = {"sessions-3.csv": [Visit("1-c", JUNE)]}
    place.land(Delivery(SPRING | SUMMER | late, USERS))
    made, counts = place.ingest()
    assert made == [JUNE, JULY]
    # The id of July's session is taken now.
    assert sum(counts.rejections.values()) == 2
    assert place.lake.rows(PROCESSED, JULY) == 0


def test_months_of_another_run_stay_noted(place: Place) -> None:
    place.land(Delivery(SPRING | SUMMER, USERS))
    for months in ([MAY, JUNE], [JULY]):
        assert place.ingest(months)[0] == months
    assert place.ingest()[0] == []


def test_more_users_change_what_was_refused_for_want_of_them_and_later_months(
    place: Place,
) -> None:
    waiting = {"sessions-3.csv": [Visit("1-d", JUNE, user=3)]}
    place.land(Delivery(SPRING | SUMMER | waiting, USERS))
    assert place.ingest()[1].rejections["unknown_user"] == 1
    place.land(Delivery(SPRING | SUMMER | waiting, USERS | {"users-2.csv": [4]}))
    assert place.ingest()[0] == [JUNE, JULY]
    place.land(Delivery(SPRING | SUMMER | waiting, USERS | {"users-2.csv": [3, 4]}))
    made, counts = place.ingest()
    # A file of users changed, which may have lost some.
    assert made == [MAY, JUNE, JULY]
    assert "unknown_user" not in counts.rejections
    place.land(
        Delivery(SPRING | SUMMER | waiting, USERS | {"users-2.csv": [3, 4], "users-3.csv": [5]})
    )
    assert place.ingest()[0] == []


def test_a_user_who_goes_has_all_cleaned_again(place: Place) -> None:
    place.land(Delivery(SPRING | SUMMER, {"users.csv": [2], "users-2.csv": [1]}))
    place.ingest()
    place.land(Delivery(SPRING | SUMMER, {"users.csv": [2]}))
    made, counts = place.ingest()
    assert made == [MAY, JUNE, JULY]
    assert counts.rejections["unknown_user"] == 2


def test_other_rules_and_damaged_silver_have_a_month_cleaned_again(place: Place) -> None:
    place.land(Delivery(SPRING | SUMMER, USERS))
    place.ingest()
    expected = place.digests("sessions")
    assert place.ingest(rules="other")[0] == [MAY, JUNE, JULY]
    place.lake.path(QUARANTINE, JUNE).write_bytes(b"PAR1")
    assert place.ingest(rules="other")[0] == [JUNE]
    place.lake.path(PROCESSED, MAY).unlink()
    assert place.ingest(rules="other")[0] == [MAY]
    assert place.digests("sessions") == expected


@pytest.mark.parametrize("inputs", [{}, {RAW: 1}, {RAW: {MAY: 1}}, 1])
def test_damaged_notes_have_all_cleaned_again(place: Place, inputs: object) -> None:
    place.land(Delivery(SPRING | SUMMER, USERS))
    place.ingest()
    expected, noted = place.digests("sessions"), place.lake.storage.look(NOTES)
    assert noted is not None
    damaged = json.dumps(json.loads(noted[0]) | {"inputs": inputs}).encode()
    place.lake.storage.swap(NOTES, damaged, noted[1])
    assert place.ingest()[0] == [MAY, JUNE, JULY]
    assert place.digests("sessions") == expected
    assert place.lake.storage.look(NOTES) == noted


_VISITS = st.lists(
    st.builds(
        Visit,
        st.sampled_from(["1-a", "1-b", "1-c", "1-d"]),
        st.sampled_from(MONTHS),
        st.sampled_from([1, 2, 3]),
        st.sampled_from(["17", "18", "x"]),
    ),
    max_size=4,
)
_DELIVERIES = st.builds(
    Delivery,
    st.dictionaries(st.sampled_from([f"sessions-{n}.csv" for n in range(3)]), _VISITS, min_size=1),
    st.dictionaries(
        st.sampled_from([f"users-{n}.csv" for n in range(3)]),
        st.lists(st.sampled_from([1, 2, 3]), unique=True, max_size=3),
        min_size=1,
    ),
)
_STEPS = st.lists(
    st.tuples(_DELIVERIES, st.sampled_from([MONTHS, MONTHS[:1], MONTHS[1:], MONTHS[1:2]])),
    min_size=2,
    max_size=4,
)


@given(steps=_STEPS)
@settings(max_examples=15)
def test_any_order_of_deliveries_and_months_gives_the_bytes_of_one_go(
    engine: DuckDB, steps: list[tuple[Delivery, Sequence[str]]]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        one, other = Path(temporary, "one"), Path(temporary, "other")
        one.mkdir()
        step_by_step = Place(one, engine)
        for delivery, months in steps:
            step_by_step.land(delivery)
            step_by_step.ingest(months)
        counted = step_by_step.ingest()[1]
        for month in MONTHS:
            rows = [step_by_step.lake.rows(path, month) for path in (RAW, PROCESSED, QUARANTINE)]
            assert rows[0] == rows[1] + rows[2]
        other.mkdir()
        in_one_go = Place(other, engine)
        for file in in_one_go.landing.iterdir():
            file.unlink()
        for file in step_by_step.landing.iterdir():
            shutil.copy2(file, in_one_go.landing)
        assert in_one_go.ingest()[1] == counted
        assert in_one_go.digests("sessions") == step_by_step.digests("sessions")
