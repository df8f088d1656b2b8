"""What counts as a chance to cancel after a cut: trips that were open, and trips booked later."""

from __future__ import annotations

import datetime as dt

import ibis
import pytest

from traveltide_assets.transforms.outcomes import outcomes_after
from traveltide_assets.transforms.tables import TRIPS_FINAL

CUT = "2023-04"


def day(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def counted(booked: str | None, starts: str | None, cancelled: str | None) -> tuple[float, int]:
    """Cancellations and trips that could be cancelled after the cut, of a customer with a trip."""
    row = dict.fromkeys(TRIPS_FINAL.column_names)
    row |= {
        "user_id": 1,
        "booked_at": day(booked),
        "starts_at": day(starts),
        "cancelled_at": day(cancelled),
        "status": "upcoming" if cancelled is None else "cancelled",
        "kind": "flight",
    }
    trips = ibis.memtable([row], schema=TRIPS_FINAL.schema)
    sessions = ibis.memtable(
        [],
        schema={
            "user_id": "int64",
            "session_start": "timestamp",
            "flight_booked": "boolean",
            "hotel_booked": "boolean",
            "cancellation": "boolean",
        },
    )
    users = ibis.memtable({"user_id": [1]})
    found = outcomes_after(users, sessions, trips, CUT).to_pyarrow().to_pylist()[0]
    return found["cancelled_share_amount"], found["cancelled_share_opportunities"]


@pytest.mark.parametrize(
    ("booked", "starts", "cancelled", "expected"),
    [
        ("2023-02-01", "2023-08-01", None, (0, 1)),
        ("2023-02-01", "2023-08-01", "2023-05-01", (1, 1)),
        # The first instant after the cut is open; the last one before it is over.
        ("2023-02-01", "2023-05-01", None, (0, 1)),
        ("2023-02-01", "2023-04-30T23:59:59", None, (0, 0)),
        ("2023-02-01", "2023-08-01", "2023-04-30T23:59:59", (0, 0)),
        ("2023-05-01", "2023-05-03", None, (0, 1)),
        ("2023-05-01", "2023-08-01", "2023-06-01", (1, 1)),
        ("2023-02-01", None, None, (0, 0)),
        # Only the cancellation is known: one like it that was kept would not be in the data.
        (None, "2023-08-01", "2023-06-01", (0, 0)),
    ],
)
def test_a_trip_counts_if_it_can_be_cancelled_after_the_cut(
    booked: str | None, starts: str | None, cancelled: str | None, expected: tuple[float, int]
) -> None:
    assert counted(booked, starts, cancelled) == expected
