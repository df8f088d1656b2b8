"""Requests and responses of the service, and the parsing of request bodies.

The models are built from the declarations of the features in the catalogue and of the columns in
the source tables, so that neither is declared twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
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

from traveltide_assets.prediction.early import EARLY, MOST_SESSIONS
from traveltide_assets.schema.sources import SOURCES
from traveltide_assets.schema.table import Column
from traveltide_assets.transforms.features.catalogue import Feature

_LARGEST = 2**53
_LONGEST = 200


def _date(value: object) -> dt.date:
    """An ISO date. Pydantic would read a string of digits as seconds since 1970."""
    if not isinstance(value, str) or len(value) != len("YYYY-MM-DD"):
        raise ValueError("a date must be a string, YYYY-MM-DD")
    return dt.date.fromisoformat(value)


_TYPES: Mapping[str, Any] = {
    "int64": Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)],
    "float64": Annotated[float, Field(allow_inf_nan=False)],
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


class _Strict(BaseModel):
    """Values must have their own JSON type: "2" and true are not numbers. Dates are strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _feature(feature: Feature) -> tuple[Any, Any]:
    if feature.name == "total_sessions":
        kind = Annotated[int, Field(ge=1, le=MOST_SESSIONS)]
        text = f"Sessions seen, at most {MOST_SESSIONS}: the model does not use later ones"
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
    return create_model(name, __base__=_Strict, **fields)


_FIELDS: dict[str, Any] = {feature.name: _feature(feature) for feature in EARLY}
Features: Any = create_model("Features", __base__=_Strict, **_FIELDS)
Features.__doc__ = "Features of the catalogue, from the first sessions of a customer."
Profile: Any = _rows("Profile", SOURCES["users"])
Session: Any = _rows("Session", SOURCES["sessions"])
Flight: Any = _rows("Flight", SOURCES["flights"])
Hotel: Any = _rows("Hotel", SOURCES["hotels"])


class History(_Strict):
    """Raw rows of one customer, as in the source tables. Only the first five sessions are used."""

    profile: Profile
    sessions: Annotated[list[Session], Field(min_length=1, max_length=1_000)]
    flights: Annotated[list[Flight], Field(max_length=1_000)] = []
    hotels: Annotated[list[Hotel], Field(max_length=1_000)] = []


class ByFeatures(_Strict):
    """A customer described by features."""

    features: Features


class ByHistory(_Strict):
    """A customer described by raw rows."""

    history: History


def _member(body: Any) -> str:
    given = body if isinstance(body, dict) else {}
    return next((f"{_MEMBER}{n}" for n in ("customers", "history") if n in given), "<features")


Customer = Annotated[
    Annotated[ByFeatures, Tag("<features")] | Annotated[ByHistory, Tag("<history")],
    Discriminator(_member),
]


class Batch(_Strict):
    """Several customers; the answers come in the same order."""

    customers: Annotated[list[Customer], Field(min_length=1)]


Question = Annotated[
    Annotated[ByFeatures, Tag("<features")]
    | Annotated[ByHistory, Tag("<history")]
    | Annotated[Batch, Tag("<customers")],
    Discriminator(_member),
]


_QUESTION: TypeAdapter[Any] = TypeAdapter(Question)
_SCHEMA = _QUESTION.json_schema(ref_template="#/components/schemas/{model}")
# The request body in the OpenAPI document, and the models that it refers to.
QUESTION_MODELS: dict[str, Any] = _SCHEMA.pop("$defs")
QUESTION_BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}


def parse(body: bytes, max_batch: int) -> Question:
    """The question in a JSON body. `RequestValidationError` lists every field that is not valid."""
    try:
        # From JSON text: strict models accept a time as a string only there, not in parsed JSON.
        question = _QUESTION.validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise RequestValidationError(
            [{"loc": _place(p["loc"]), "msg": p["msg"], "type": p["type"]} for p in found]
        ) from None
    if isinstance(question, Batch) and len(question.customers) > max_batch:
        most = f"at most {max_batch} customers in a request"
        raise RequestValidationError(
            [{"loc": ["body", "customers"], "msg": most, "type": "too_long"}]
        )
    return question


def _place(location: Iterable[int | str]) -> list[int | str]:
    """The path to a problem, without the tags of union members."""
    return ["body", *(p for p in location if not str(p).startswith(_MEMBER))]


class Answer(BaseModel):
    """A customer's perk and the reason for it."""

    perk: str = Field(description="The perk's id")
    title: str = Field(description="The perk's title")
    runner_up: str = Field(description="The next best perk's id")
    score: float = Field(
        description="For a predicted perk: its probability. For an assigned perk: how clearly the "
        "customer belongs to the segment, as measured by the deciding strategy"
    )
    reason: str = Field(description="The features that support this perk")
    model_version: str = Field(description="Version of the model that answered")
    as_of_month: str = Field(description="Month of the customers that the model was trained on")
    source: Literal["assigned", "predicted"]
    offer: str | None = Field(
        None,
        description="For an assigned perk: the campaign's offer to this customer, which is the "
        "perk or the experiment's control offer. Show nothing else. null: offer nothing",
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
