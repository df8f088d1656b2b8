"""Events of offers that others tell the service, and the log that they are written to.

The log is a file per day of JSON lines, `events-YYYY-MM-DD.jsonl`, as the source `responses` takes
them: `user_id`, `offer`, `event`, `at` (UTC), `value_usd`. It only grows. A request is answered
once its events are on the disk.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from traveltide_assets.serving.config import Config
from traveltide_assets.serving.messages import MOST_PROBLEMS, Invalid, Strict, problems_of

_LARGEST = 10**12
_YEARS = (1900, 2199)
# No line is longer. What a stopped process left of one is at the end of the file.
_LONGEST_LINE = 4_096


class NotLogged(Exception):
    """No folder is set for the log. The message names the setting."""


class Full(Exception):
    """The log of the day is as large as it may be."""


def _moment(value: object) -> dt.datetime:
    """A time from an ISO text, in UTC without a zone. A time without one is taken for UTC."""
    if not isinstance(value, str):
        raise ValueError("a time must be a string, as 2023-07-31T18:04:00Z")
    moment = dt.datetime.fromisoformat(value)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError("a time outside of all years") from None
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise ValueError(f"the year must be from {_YEARS[0]} to {_YEARS[1]}")
    return moment


class Event(Strict):
    """What happened about an offer. It names the customer by the id alone."""

    user_id: int = Field(ge=1, le=2**53 - 1, description="The customer")
    offer: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,99}$",
        description="The offer, as `offer` of the answers and the files of the campaign say it; "
        "`none` if nothing was offered",
    )
    event: Literal[
        "sent",
        "delivered",
        "exposed",
        "opened",
        "clicked",
        "signed_up",
        "redeemed",
        "unsubscribed",
    ] = Field(description="What happened")
    at: Annotated[dt.datetime, BeforeValidator(_moment)] | None = Field(
        None, description="When, ISO 8601; UTC unless it says otherwise. Left out: now"
    )
    value_usd: float | None = Field(
        None,
        ge=-_LARGEST,
        le=_LARGEST,
        allow_inf_nan=False,
        description="Value of the event in US dollars, if it has one",
    )


class Events(Strict):
    """Several events, which are logged together or not at all."""

    events: Annotated[list[Event], Field(min_length=1)]


class Logged(BaseModel):
    """How many events were written to the log."""

    logged: int


_ONE: TypeAdapter[Event] = TypeAdapter(Event)


def schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """The request body in the OpenAPI document, and the models that it refers to."""
    either: TypeAdapter[Any] = TypeAdapter(Event | Events)
    found = either.json_schema(ref_template="#/components/schemas/{model}")
    models: dict[str, Any] = found.pop("$defs")
    return {"required": True, "content": {"application/json": {"schema": found}}}, models


def parse(body: bytes | bytearray, most: int) -> list[Event]:
    """The events in a JSON body: one, or at most `most`. `Invalid` if a field is not valid."""
    try:
        given = from_json(body)
    except ValueError as error:
        raise Invalid.at([], f"Invalid JSON: {error}", "json_invalid") from None
    if not (isinstance(given, dict) and "events" in given):
        return _each([given], [[]])
    if unknown := [name for name in given if name != "events"]:
        raise Invalid.at([unknown[0]], "Extra inputs are not permitted", "extra_forbidden")
    several = given["events"]
    if not isinstance(several, list) or not 1 <= len(several) <= most:
        raise Invalid.at(["events"], f"must be a list of 1 to {most} events", "list_type")
    return _each(several, [["events", number] for number in range(len(several))])


def _each(given: Sequence[Any], places: Sequence[list[int | str]]) -> list[Event]:
    found: list[Event] = []
    problems: list[dict[str, Any]] = []
    for one, place in zip(given, places, strict=True):
        try:
            found.append(_ONE.validate_json(to_json(one, inf_nan_mode="constants")))
        except ValidationError as error:
            problems += problems_of(error, place)
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise Invalid(problems)
    return found


class EventLog:
    """The log of a folder. Several processes on a machine may write to it at the same time."""

    def __init__(self, settings: Config) -> None:
        self._folder, self._most = settings.events_folder, settings.max_events_bytes

    @property
    def folder(self) -> Path:
        """The folder. `NotLogged` if none is set."""
        if self._folder is None:
            raise NotLogged("this service logs no events: set serving.events_folder")
        return self._folder

    def append(self, events: Sequence[Event]) -> None:
        """Write events to the file of today, all or none. `NotLogged`, `Full` or `OSError`."""
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        lines = b"".join(_line(event, now) for event in events)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"events-{now:%Y-%m-%d}.jsonl"
        log = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(log, fcntl.LOCK_EX)
            size = _whole(log)
            if size + len(lines) > self._most:
                raise Full(f"the log of the day holds {size} bytes and may hold {self._most}")
            try:
                if os.write(log, lines) < len(lines):
                    raise OSError("the disk is full")
                os.fsync(log)
            except OSError:
                os.ftruncate(log, size)
                raise
        finally:
            os.close(log)


def _line(event: Event, now: dt.datetime) -> bytes:
    at = (event.at or now).isoformat(sep=" ", timespec="microseconds")
    return json.dumps(event.model_dump() | {"at": at}).encode() + b"\n"


def _whole(log: int) -> int:
    """The size of a log, after what is left of a line that was not finished is cut off."""
    size = os.fstat(log).st_size
    start = max(0, size - _LONGEST_LINE)
    end = os.pread(log, _LONGEST_LINE, start)
    if end.endswith(b"\n") or not size:
        return size
    whole = start + end.rfind(b"\n") + 1
    os.ftruncate(log, whole)
    return whole
