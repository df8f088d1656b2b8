"""The endpoints.

Errors never quote customer data: a problem gives the path to a value, not the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from traveltide_assets.serving import messages
from traveltide_assets.serving.deps import HEADER, Asked, Decided, Promoted, RunningService
from traveltide_assets.serving.histories import RejectedRow
from traveltide_assets.serving.scorer import Scorer
from traveltide_assets.serving.service import Service

_DESCRIBED: Mapping[int, tuple[Any, str]] = {
    401: (messages.Problem, f"{HEADER} is missing or wrong"),
    404: (messages.Problem, "The customer has no perk"),
    413: (messages.Problem, "The body is too large"),
    422: (messages.FieldProblems, "Some fields are not valid"),
    503: (messages.Problem, "Nothing has been promoted or decided yet"),
    504: (messages.Problem, "The answer took too long"),
}


def _responses(model: Any, *statuses: int) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {200: {"model": model}}
    for status in statuses:
        problem, description = _DESCRIBED[status]
        found[status] = {"model": problem, "description": description}
    return found


public = APIRouter()
protected = APIRouter()


@public.get("/health", responses=_responses(messages.Problem))
async def health() -> Response:
    """Whether the process answers."""
    return JSONResponse({"detail": "ok"})


@public.get("/ready", responses=_responses(messages.Problem, 503))
async def ready(_: Promoted) -> Response:
    """Whether a promoted model is in service."""
    return JSONResponse({"detail": "ready"})


@protected.post(
    "/perk",
    responses=_responses(messages.Answer | messages.Answers, 401, 413, 422, 503, 504),
    openapi_extra={"requestBody": messages.QUESTION_BODY},
)
async def predicted_perk(service: RunningService, scorer: Promoted, question: Asked) -> Response:
    """Predicts the perk of new customers, one or a batch, from features or raw rows."""
    if isinstance(question, messages.ByFeatures):
        answer = scorer.score_one(vars(question.features))
        service.metrics.customers.inc()
        return JSONResponse(answer)
    return await service.in_background(_score_many, service, scorer, question)


def _score_many(
    service: Service, scorer: Scorer, question: messages.ByHistory | messages.Batch
) -> Response:
    batch = isinstance(question, messages.Batch)
    customers = question.customers if isinstance(question, messages.Batch) else [question]
    try:
        answers = scorer.score_many(customers)
    except RejectedRow as row:
        place: list[int | str] = ["customers", row.customer] if batch else []
        place += ["history", row.part] + ([] if row.part == "profile" else [row.row])
        problem = {"loc": ["body", *place], "msg": str(row), "type": "refused"}
        raise RequestValidationError([problem]) from None
    service.metrics.customers.inc(len(answers))
    return JSONResponse({"answers": answers} if batch else answers[0])


@protected.get(
    "/customers/{user_id}/perk", responses=_responses(messages.Answer, 401, 404, 422, 503, 504)
)
async def assigned_perk(
    snapshot: Decided, user_id: Annotated[int, Path(ge=1, le=2**63 - 1)]
) -> Response:
    """The perk assigned to an active customer."""
    found = snapshot.assigned.find(user_id)
    if found is None:
        raise HTTPException(404, "no perk: the customer is not in the month's cohort")
    return JSONResponse(found)


@protected.get("/perks", responses=_responses(messages.Catalogue, 401, 503, 504))
async def perks(snapshot: Decided) -> Response:
    """The perk catalogue used for the latest decided month."""
    return JSONResponse(snapshot.catalogue)


@protected.get("/metrics", response_class=Response, responses=_responses(None, 401) | {200: {}})
async def metrics(service: RunningService) -> Response:
    """Counters for Prometheus."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def invalid(_: Request, error: RequestValidationError) -> Response:
    """422 with path, message and type of every problem, but never the value that was sent."""
    found = [{"loc": p["loc"], "msg": p["msg"], "type": p["type"]} for p in error.errors()]
    return JSONResponse({"detail": found}, 422)
