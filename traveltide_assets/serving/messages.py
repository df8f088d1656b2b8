"""Requests and responses of the service, and the parsing of request bodies.

The models are built from the declarations of the features in the catalogue and of the columns in
the source tables, so that neither is declared twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NaiveDatetime,
    Tag,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import from_json, to_json

from traveltide_assets.prediction.early import EARLY, MOST_SESSIONS
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.schema.table import Column
from traveltide_assets.transforms.features.catalogue import Feature

# Beyond any count or amount, and far from what a sum could not hold. Cleaning has closer bounds.
_LARGEST = 10**12
_LONGEST = 200
# Problems told of one question.
MOST_PROBLEMS = 20
# Values that a customer of a full batch may have on average: five sessions with their bookings
# have about 150.
_VALUES = 200
# No model has so many fields.
_MOST_FIELDS = 100
_LONGEST_NAME = 64
_UNKNOWN = "extra_forbidden"


def _date(value: object) -> dt.date:
    """An ISO date. Pydantic would read a string of digits as seconds since 1970."""
    if not isinstance(value, str) or len(value) != len("YYYY-MM-DD"):
        raise ValueError("a date must be a string, YYYY-MM-DD")
    return dt.date.fromisoformat(value)


_TYPES: Mapping[str, Any] = {
    "int64": Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)],
    "float64": Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)],
    "boolean": bool,
    "string": Annotated[str, Field(max_length=_LONGEST)],
    "date": Annotated[dt.date, BeforeValidator(_date)],
    "timestamp(6)": NaiveDatetime,
}
# Columns that no feature uses, so clients need not send them.
_NOT_NEEDED = ("gender", "home_city")
# Columns that the service fills itself: it numbers the customers.
_ASSIGNED = ("user_id",)
# Tags of union members start with a character that no field starts with, so `_place` can tell them
# apart.
_MEMBER = "<"


class Strict(BaseModel):
    """Values must have their own JSON type: "2" and true are not numbers. Dates are strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _feature(feature: Feature) -> tuple[Any, Any]:
    if feature.name == "total_sessions":
        kind = Annotated[int, Field(ge=0, le=MOST_SESSIONS)]
        text = (
            f"Sessions seen, at most {MOST_SESSIONS}: the model does not use later ones. "
            "0: only the profile is known"
        )
        return kind, Field(description=text)
    bounds: dict[str, Any] = {}
    if feature.type in ("int64", "float64"):
        low = -_LARGEST if feature.minimum is None else feature.minimum
        high = _LARGEST if feature.maximum is None else feature.maximum
        bounds = {"ge": low, "le": high}
    description = f"{feature.description} [{feature.unit}]; null or left out if unknown"
    return _TYPES[feature.type] | None, Field(None, description=description, **bounds)


def _rows(name: str, columns: Iterable[Column]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for column in columns:
        if column.name in _ASSIGNED:
            continue
        given = column.required and column.name not in (*_NOT_NEEDED, "session_id")
        kind = _TYPES[column.type]
        fields[column.name] = (
            (kind, Field(description=column.description))
            if given
            else (kind | None, Field(None, description=column.description))
        )
    return create_model(name, __base__=Strict, **fields)


_FIELDS: dict[str, Any] = {feature.name: _feature(feature) for feature in EARLY}
Features: Any = create_model("Features", __base__=Strict, **_FIELDS)
Features.__doc__ = (
    "Features of the catalogue, from the profile and the first sessions of a customer, if any."
)
Profile: Any = _rows("Profile", SOURCES["users"])
Session: Any = _rows("Session", SOURCES["sessions"])
Flight: Any = _rows("Flight", SOURCES["flights"])
Hotel: Any = _rows("Hotel", SOURCES["hotels"])


class History(Strict):
    """Raw rows of one customer, as in the source tables. Only the first five sessions are used.

    Without sessions, the profile alone answers.
    """

    profile: Profile
    sessions: Annotated[list[Session], Field(max_length=1_000)] = []
    flights: Annotated[list[Flight], Field(max_length=1_000)] = []
    hotels: Annotated[list[Hotel], Field(max_length=1_000)] = []


class ByFeatures(Strict):
    """A customer described by features."""

    features: Features


class ByHistory(Strict):
    """A customer described by raw rows."""

    history: History


def _member(body: Any) -> str:
    given = body if isinstance(body, dict) else {}
    return next((f"{_MEMBER}{n}" for n in ("customers", "history") if n in given), "<features")


Customer = Annotated[
    Annotated[ByFeatures, Tag("<features")] | Annotated[ByHistory, Tag("<history")],
    Discriminator(_member),
]


class Batch(Strict):
    """Several customers; the answers come in the same order."""

    customers: Annotated[list[Customer], Field(min_length=1)]


Question = ByFeatures | ByHistory | Batch
_ONE: TypeAdapter[Any] = TypeAdapter(Customer)


class Invalid(ValueError):
    """A question that is not valid: path, message and type of some of its `problems`.

    Values are never quoted.
    """

    def __init__(self, problems: Iterable[Mapping[str, Any]]) -> None:
        super().__init__("some fields are not valid")
        self.problems = list(islice(problems, MOST_PROBLEMS))

    @classmethod
    def at(cls, place: Sequence[int | str], message: str, kind: str) -> Invalid:
        """One problem at a place in the body."""
        return cls([_problem(place, message, kind)])


class Questions:
    """What may be asked: its JSON schema, and the parsing of request bodies."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        customers = Annotated[list[Customer], Field(min_length=1, max_length=max_batch)]
        batch = create_model(
            "Batch", __base__=Batch, __doc__=Batch.__doc__, customers=(customers, ...)
        )
        question = Annotated[
            Annotated[ByFeatures, Tag("<features")]
            | Annotated[ByHistory, Tag("<history")]
            | Annotated[batch, Tag("<customers")],
            Discriminator(_member),
        ]
        self._question: TypeAdapter[Any] = TypeAdapter(question)

    def schema(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The request body in the OpenAPI document, and the models that it refers to."""
        schema = self._question.json_schema(ref_template="#/components/schemas/{model}")
        models: dict[str, Any] = schema.pop("$defs")
        content = {"application/json": {"schema": schema}}
        return {"required": True, "content": content}, models

    def parse(self, body: bytes | bytearray) -> Question:
        """The question in a JSON body. `Invalid` if a field is not valid.

        Pydantic lists every problem of a body. For a large one this could take gigabytes, so
        `parse_large` is for those.
        """
        try:
            # From JSON text: strict models accept a time as a string only there, not in parsed
            # JSON.
            question: Question = self._question.validate_json(body)
        except ValidationError as error:
            raise Invalid(problems_of(error, [])) from None
        return question

    def parse_large(self, body: bytes) -> Question:
        """The same for a body of any size, in memory and time that its size bounds.

        The outline of the body is checked first, and each customer alone after that, until
        `MOST_PROBLEMS` are found. `TooMany` if the body holds more values than a full batch would.
        """
        most = _VALUES * self._max_batch
        # Commas in texts count too, of which no field has many.
        if body.count(b",") + body.count(b"{") + body.count(b"[") > most:
            raise TooMany(f"the body holds more than {most} values")
        try:
            given = from_json(body)
        except ValueError as error:
            raise Invalid.at([], f"Invalid JSON: {error}", "json_invalid") from None
        crowded = next(_crowded(given), None) if isinstance(given, dict | list) else None
        if crowded is not None:
            raise Invalid.at(crowded, f"more than {_MOST_FIELDS} fields", _UNKNOWN)
        customers = given.get("customers") if isinstance(given, dict) else None
        if not isinstance(customers, list):
            return self.parse(body)
        if unknown := [name for name in given if name != "customers"]:
            raise Invalid(
                _problem([name], "Extra inputs are not permitted", _UNKNOWN) for name in unknown
            )
        if len(customers) > self._max_batch:
            most_customers = f"at most {self._max_batch} customers in a request"
            raise Invalid.at(["customers"], most_customers, "too_long")
        return Batch.model_construct(customers=self._each(customers))

    def _each(self, customers: list[Any]) -> list[Any]:
        found: list[Any] = []
        problems: list[dict[str, Any]] = []
        for number, customer in enumerate(customers):
            try:
                found.append(_ONE.validate_json(to_json(customer, inf_nan_mode="constants")))
            except ValidationError as error:
                problems += problems_of(error, ["customers", number])
                if len(problems) >= MOST_PROBLEMS:
                    break
        if problems:
            raise Invalid(problems)
        return found


class TooMany(ValueError):
    """A body of more values than the largest batch has."""


def _problem(place: Sequence[int | str], message: str, kind: str) -> dict[str, Any]:
    """A problem as the client reads it. Names of unknown fields are the client's: they are cut."""
    path = [part if isinstance(part, int) else part[:_LONGEST_NAME] for part in place]
    return {"loc": ["body", *path], "msg": message, "type": kind}


def problems_of(error: ValidationError, place: list[int | str]) -> Iterator[dict[str, Any]]:
    """What is wrong with a part of a body, which is at `place`. Values are never quoted."""
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        # The path without the tags of union members.
        path = [part for part in found["loc"] if not str(part).startswith(_MEMBER)]
        yield _problem([*place, *path], found["msg"], found["type"])


def _crowded(given: Any, place: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """The paths to the objects in parsed JSON that have more fields than any model."""
    if isinstance(given, dict) and len(given) > _MOST_FIELDS:
        yield place
    parts = given.items() if isinstance(given, dict) else enumerate(given)
    for name, value in parts:
        if value and isinstance(value, dict | list):
            yield from _crowded(value, (*place, name))


class Answer(BaseModel):
    """A customer's perk and the reason for it."""

    perk: str = Field(description="The perk's id")
    title: str = Field(description="The perk's title")
    runner_up: str = Field(description="The next best perk's id")
    score: float = Field(
        description="For a predicted perk: how much the customer is expected to do of what the "
        "perk rewards, per opportunity from now on, divided by what the average newcomer does; 1 "
        "if nothing speaks for it. For an assigned perk: how clearly the customer belongs to the "
        "segment, as measured by the deciding strategy"
    )
    reason: str = Field(description="What speaks for this perk, and how much")
    model_version: str = Field(description="Version of the model that answered")
    as_of_month: str = Field(description="Month of the customers that the model was trained on")
    source: Literal["assigned", "predicted"]
    offer: str | None = Field(
        None,
        description="For an assigned perk: the campaign's offer to this customer: the perk, "
        "another one or the experiment's control offer. Show nothing else. null: offer nothing",
    )
    arm: str | None = Field(
        None,
        description="For an assigned perk: how the offer came about: personalised, control, "
        "exploration (drawn at random) or holdout. null: the customer must not be contacted",
    )
    expected: dict[str, float] | None = Field(
        None,
        description="For a predicted perk: by perk, the behaviour that it rewards which the "
        "customer is expected to show per opportunity from now on (nights per stay, bags per "
        "flight, ...). Behaviour that nothing foretells is that of the average newcomer",
    )
    history_perk: str | None = Field(
        None,
        description="For a predicted perk: the perk that the strategy would most likely give after "
        "a full history. It says what the strategy would do, not what the customer will",
    )
    history_probability: float | None = Field(
        None, description="For a predicted perk: the probability of `history_perk`"
    )


class Answers(BaseModel):
    """The answers to a batch, in the order of the customers."""

    answers: list[Answer]


class PerkEntry(BaseModel):
    """A perk of the catalogue."""

    perk: str
    title: str
    audience: str
    headline: str


class Catalogue(BaseModel):
    """All perks of the catalogue."""

    perks: list[PerkEntry]


class Ready(BaseModel):
    """What is in service."""

    detail: Literal["ready"]
    notice: str | None = Field(description="That the customers are generated. null: they are real")
    model_version: str | None = Field(
        description="Version of the promoted model. null: none is, and `POST /perk` answers 503"
    )
    as_of_month: str | None = Field(
        description="Month of the customers that the model was trained on. null: without a model"
    )
    in_service_since: str = Field(description="When what is in service was loaded (UTC)")
    last_good_look: str = Field(
        description="When the lake was last seen to hold just what is in service (UTC)"
    )
    age_seconds: float = Field(description="Seconds since then")
    warning: str | None = Field(
        description="Why newer data, if there is any, cannot be taken. null: all is well"
    )


class Problem(BaseModel):
    """What is wrong with a request."""

    detail: str


class FieldProblem(BaseModel):
    """What is wrong with one field. `loc` is the path to it."""

    loc: list[int | str]
    msg: str
    type: str


class FieldProblems(BaseModel):
    """Everything wrong with the fields of a request."""

    detail: list[FieldProblem]
