"""The endpoints.

Errors never quote customer data: a problem gives the path to a value, not the value.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from traveltide_assets.catalogue.perks import NO_OFFER
from traveltide_assets.serving import events, messages
from traveltide_assets.serving.deps import (
    HEADER,
    SOON,
    Decided,
    RunningService,
    read_body,
    scorer_of,
)
from traveltide_assets.serving.scorer import Scorer
from traveltide_assets.serving.service import Service
from traveltide_assets.serving.trouble import WorkFailed, place_of
from traveltide_assets.serving.workers import Busy, Ended

_DESCRIBED: Mapping[int, tuple[Any, str]] = {
    401: (messages.Problem, f"{HEADER} is missing or wrong"),
    404: (messages.Problem, "The customer has no perk"),
    409: (messages.Problem, "This service logs no events: `serving.events_folder` is not set"),
    413: (messages.Problem, "The body is too large, or takes too much memory"),
    415: (messages.Problem, "The body is compressed"),
    422: (
        messages.FieldProblems,
        f"Fields are not valid; at most {messages.MOST_PROBLEMS} are told",
    ),
    503: (messages.Problem, "Nothing is in service, or too much is asked at once"),
    504: (messages.Problem, "The answer took too long"),
}
# One customer by features is no larger and has no more objects. Whatever such a body holds, it is
# parsed in some milliseconds.
_SMALL, _OBJECTS = 4_096, 2
# Events are parsed by the service itself, so what it takes at once is little.
_MOST_EVENTS_BYTES = 262_144
_EXPOSED = "Log that the customer is shown the offer, or would be if there were one"
_log = logging.getLogger("traveltide.serving")


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


@public.get("/ready", responses=_responses(messages.Ready, 503))
async def ready(service: RunningService, snapshot: Decided) -> Response:
    """Whether a release is in service, with which model, since when, and how old it may be.

    What is in service stays there while the lake cannot be read. The answer is 200 then, with a
    `warning`, unless the setting `serving.max_age_seconds` is exceeded.
    """
    predictor = None if snapshot.scorer is None else snapshot.scorer.predictor
    age = service.age() or 0.0
    if service.stale:
        raise HTTPException(503, f"{service.problem or 'no look at the lake'} for {age:.0f} s")
    return JSONResponse(
        {
            "detail": "ready",
            "notice": service.notice,
            "model_version": None if predictor is None else predictor.version,
            "as_of_month": None if predictor is None else predictor.month,
            "in_service_since": _time(service.since),
            "last_good_look": _time(service.confirmed),
            "age_seconds": round(age, 1),
            "warning": service.problem,
        }
    )


def _time(seconds: float | None) -> str | None:
    moment = None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)
    return None if moment is None else moment.isoformat(timespec="seconds")


@protected.post(
    "/perk", responses=_responses(messages.Answer | messages.Answers, 401, 413, 415, 422, 503, 504)
)
async def predicted_perk(request: Request) -> Response:
    """Predicts the perk of new customers, one or a batch, from features or raw rows.

    A profile alone is enough: it is what is known at sign-up.
    """
    service: Service = request.app.state.service
    scorer = scorer_of(service)
    share = service.budget.share()
    try:
        body = await read_body(request, service.settings.max_body_bytes, share)
        if len(body) <= _SMALL and body.count(b"{") <= _OBJECTS:
            # Not in a thread: pydantic holds the GIL, so the event loop would have to wait anyway.
            question = service.questions.parse(body)
            if isinstance(question, messages.ByFeatures):
                answer = scorer.score_one(vars(question.features))
                service.metrics.customers.inc()
                return JSONResponse(answer)
        return await _work(service, scorer, body)
    finally:
        share.give_back()


async def _work(service: Service, scorer: Scorer, body: bytearray) -> Response:
    """The answer of a process of its own."""
    try:
        found = await service.workers.ask(scorer, body)
    except Busy:
        raise HTTPException(503, "too many questions wait: try again", SOON) from None
    except Ended:
        detail = "the work on the question ended: ask for fewer customers at once"
        raise HTTPException(503, detail, SOON) from None
    if found.status == 500:
        raise WorkFailed(found.text.decode())
    service.metrics.customers.inc(found.customers)
    return Response(found.text, found.status, media_type="application/json")


@protected.get(
    "/customers/{user_id}/perk", responses=_responses(messages.Answer, 401, 404, 409, 422, 503, 504)
)
async def assigned_perk(
    service: RunningService,
    snapshot: Decided,
    user_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    exposed: Annotated[bool, Query(description=_EXPOSED)] = False,
) -> Response:
    """The perk assigned to an active customer, and what they are offered."""
    found = snapshot.assigned.find(user_id)
    if found is None:
        raise HTTPException(404, "no perk: the customer is not in the month's cohort")
    # Whoever must not be contacted is not in the campaign.
    if exposed and (found["offer"] or found["arm"]):
        shown = found["offer"] or NO_OFFER
        await _log_events(service, [events.Event(user_id=user_id, offer=shown, event="exposed")])
    return JSONResponse(found)


@protected.post("/events", responses=_responses(events.Logged, 401, 409, 413, 415, 422, 503, 504))
async def told_events(request: Request) -> Response:
    """Logs what happened about offers, one event or several, for the source `responses`.

    The answer comes when they are on the disk. The same event told twice counts once.
    """
    service: Service = request.app.state.service
    share = service.budget.share()
    try:
        limit = min(service.settings.max_body_bytes, _MOST_EVENTS_BYTES)
        body = await read_body(request, limit, share)
        told = events.parse(body, service.settings.max_batch)
        await _log_events(service, told)
    finally:
        share.give_back()
    return JSONResponse({"logged": len(told)})


async def _log_events(service: Service, told: Sequence[events.Event]) -> None:
    try:
        await asyncio.to_thread(service.events.append, told)
    except events.NotLogged as error:
        raise HTTPException(409, str(error)) from None
    except events.Full:
        _log.error("the log of events is full for today: raise serving.max_events_bytes")
        raise HTTPException(503, "the log of events is full for today") from None
    except OSError as error:
        _log.error("events cannot be logged: %s %s", error.strerror, place_of(error))
        raise HTTPException(503, "the log of events cannot be written: try again", SOON) from None
    service.metrics.events.inc(len(told))


@protected.get("/perks", responses=_responses(messages.Catalogue, 401, 503, 504))
async def perks(snapshot: Decided) -> Response:
    """The perk catalogue used for the latest decided month."""
    return JSONResponse(snapshot.catalogue)


@protected.get("/metrics", response_class=Response, responses=_responses(None, 401) | {200: {}})
async def metrics(service: RunningService) -> Response:
    """Counters for Prometheus."""
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def invalid(_: Request, error: messages.Invalid) -> Response:
    """422 with path, message and type of problems, but never the value that was sent."""
    return JSONResponse({"detail": error.problems}, 422)


async def invalid_path(_: Request, error: RequestValidationError) -> Response:
    """The same for what is not in the body."""
    found = [{"loc": p["loc"], "msg": p["msg"], "type": p["type"]} for p in error.errors()]
    return JSONResponse({"detail": found}, 422)
