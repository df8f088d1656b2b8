"""The service: its endpoints, and the look-out for a newly promoted model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd
import uvicorn
from fastapi import APIRouter, FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import TypeAdapter, ValidationError
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from traveltide_assets.lake.lake import Lake
from traveltide_assets.prediction.early import EARLY, SEEN
from traveltide_assets.serving import schema, scorer
from traveltide_assets.serving.guard import HEADER, OPEN, Guard, Metrics
from traveltide_assets.serving.history import HistoryFeatures, RefusedRow
from traveltide_assets.serving.scorer import Scorer, Snapshot
from traveltide_assets.settings import Settings

_QUESTION: TypeAdapter[Any] = TypeAdapter(schema.Question)
_BY_FEATURES = TypeAdapter(schema.ByFeatures)
_HEADERS = [(b"content-type", b"application/json")]
_SMALL = 65_536
_RUN = "run `traveltide run` first"
_FEATURES = [feature.name for feature in EARLY]
_log = logging.getLogger("traveltide.serving")


class Refused(Exception):
    """A request that gets an error: its status and detail."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(status)
        self.status, self.detail = status, detail


@dataclass
class Service:
    """What the endpoints share: the snapshot in use, replaced in one step by the look-out.

    Raw rows are worked on by one thread, because DuckDB's connection serves one at a time; large
    bodies by another, so that small ones do not wait for them.
    """

    lake: Lake
    settings: Settings
    metrics: Metrics
    snapshot: Snapshot | None = None
    histories: HistoryFeatures | None = None
    histories_month: str | None = None
    failed: scorer.State | None = None

    def __post_init__(self) -> None:
        self.worker = ThreadPoolExecutor(1, "history")
        self.reader = ThreadPoolExecutor(1, "large")

    def refresh(self) -> None:
        """Load what the lake holds if it has changed; what cannot be used leaves all as it was."""
        current = None
        try:
            current = scorer.look(self.lake)
            known = self.snapshot.state if self.snapshot else None
            if current in (known, self.failed):
                return
            loaded = scorer.load(self.lake)
            if loaded is not None and loaded.scorer is not None:
                self._compile(loaded.scorer.predictor.month)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one serves on
            self.failed = current
            self.metrics.reloads.labels("failed").inc()
            kept = "what was in service stays" if self.snapshot else "nothing is in service"
            _log.error("cannot load from the lake, %s: %s: %s", kept, type(error).__name__, error)
            return
        self.failed = None
        self.snapshot = loaded
        self.metrics.reloads.labels("loaded").inc()
        self.metrics.model.clear()
        if loaded is not None and loaded.scorer is not None:
            model = loaded.scorer.predictor
            self.metrics.model.labels(model.version, model.month).set(1)
            _log.info("model %s of %s is in service", model.version, model.month)

    def _compile(self, month: str) -> None:
        if self.histories is None or self.histories_month != month:
            self.histories, self.histories_month = HistoryFeatures(month), month

    async def watch(self) -> None:
        """Refresh until cancelled."""
        while True:
            await asyncio.sleep(self.settings.serving.poll_seconds)
            await asyncio.to_thread(self.refresh)

    def ready(self) -> Scorer:
        """The scorer of the promoted model; `Refused` where there is none."""
        found = self.decided("no model has been promoted yet").scorer
        if found is None:
            raise Refused(503, f"no model has been promoted yet: {_RUN}")
        return found

    def decided(self, otherwise: str) -> Snapshot:
        """What the lake holds; `Refused` if that is nothing yet."""
        if self.snapshot is None:
            raise Refused(503, f"{otherwise}: {_RUN}")
        return self.snapshot

    def read(self, body: bytes) -> Any:
        """The question of a body; `Refused` with every field that is wrong."""
        try:
            question = _QUESTION.validate_json(body)
        except ValidationError as error:
            raise Refused(422, _problems(error)) from None
        most = self.settings.serving.max_batch
        if isinstance(question, schema.Batch) and len(question.customers) > most:
            where = {"loc": ["body", "customers"], "type": "too_long"}
            raise Refused(422, [where | {"msg": f"at most {most} customers in a request"}])
        return question

    def answer(self, active: Scorer, question: Any) -> bytes:
        """The answers to what is no single set of features; slow, so not for the event loop."""
        whole = isinstance(question, schema.Batch)
        customers = question.customers if whole else [question]
        histories = [i for i, c in enumerate(customers) if isinstance(c, schema.ByHistory)]
        features = pd.DataFrame(index=range(len(customers)), columns=[*_FEATURES, SEEN])
        given = [i for i, c in enumerate(customers) if isinstance(c, schema.ByFeatures)]
        if given:
            rows = [customers[i].features.__dict__ for i in given]
            frame = pd.DataFrame(rows, index=given, columns=_FEATURES)
            features.loc[given, _FEATURES] = frame
            features.loc[given, SEEN] = frame["total_sessions"]
        if histories:
            found = self._features([customers[i].history for i in histories], histories, whole)
            features.loc[histories] = found[features.columns].to_numpy()
        answers = active.score_frame(features)
        self.metrics.customers.inc(len(answers))
        return json.dumps({"answers": answers} if whole else answers[0]).encode()

    def _features(self, rows: list[Any], places: list[int], whole: bool) -> pd.DataFrame:
        if self.histories is None:
            raise Refused(503, f"no model has been promoted yet: {_RUN}")
        try:
            return self.worker.submit(self.histories.of, rows).result()
        except RefusedRow as row:
            way: list[int | str] = ["body"]
            way += ["customers", places[row.customer]] if whole else []
            way += ["history", row.part] + ([] if row.part == "profile" else [row.row])
            raise Refused(422, [{"loc": way, "msg": str(row), "type": "refused"}]) from None


def _problems(error: ValidationError) -> list[dict[str, Any]]:
    """Place, message and type of every problem, without what was given."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [{"loc": schema.place(p["loc"]), "msg": p["msg"], "type": p["type"]} for p in found]


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _says(model: Any, *statuses: int) -> dict[int | str, dict[str, Any]]:
    described: dict[int, tuple[Any, str]] = {
        401: (schema.Problem, f"{HEADER} is missing or wrong"),
        404: (schema.Problem, "This customer has no perk"),
        413: (schema.Problem, "The body is too large"),
        422: (schema.FieldProblems, "Some fields are not valid"),
        503: (schema.Problem, "Nothing has been promoted or decided yet"),
        504: (schema.Problem, "The answer took too long"),
    }
    said: dict[int | str, dict[str, Any]] = {
        s: {"model": described[s][0], "description": described[s][1]} for s in statuses
    }
    return {200: {"model": model}} | said


def build_app(lake: Lake, settings: Settings) -> ASGIApp:
    """The service over a lake, ready to be run by any ASGI server."""
    metrics = Metrics()
    service = Service(lake, settings, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.refresh)
        watching = asyncio.create_task(service.watch())
        yield
        watching.cancel()
        service.worker.shutdown(cancel_futures=True)
        service.reader.shutdown(cancel_futures=True)

    app = FastAPI(title="TravelTide perks", version="1", lifespan=lifespan, redoc_url=None)
    _add_endpoints(app, service)
    app.router.routes.insert(0, Route("/perk", PerkEndpoint(service), methods=["POST"]))
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    _document(app, settings)
    return Guard(app, settings.serving, settings.api_key, metrics)


async def _refused(_: Request, error: Refused) -> Response:
    return _json(json.dumps({"detail": error.detail}).encode(), error.status)


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    found = [{"loc": p["loc"], "msg": p["msg"], "type": p["type"]} for p in error.errors()]
    return _json(json.dumps({"detail": found}).encode(), 422)


class PerkEndpoint:
    """`POST /perk` as plain ASGI: FastAPI's way to an endpoint takes longer than the answer."""

    path = "/perk"

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        # The guard hands the body over in one piece.
        body = (await receive()).get("body", b"")
        answer = await self._answer(body)
        head = [*_HEADERS, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, body: bytes) -> bytes:
        service = self._service
        active = service.ready()
        loop = asyncio.get_running_loop()
        if len(body) > _SMALL:
            question = await loop.run_in_executor(service.reader, service.read, body)
        else:
            try:
                # The common question, which then needs no look at which kind it is.
                question = _BY_FEATURES.validate_json(body)
            except ValidationError:
                question = service.read(body)
        if isinstance(question, schema.ByFeatures):
            answer = active.score_one(question.features.__dict__)
            service.metrics.customers.inc()
            return json.dumps(answer).encode()
        return await loop.run_in_executor(service.reader, service.answer, active, question)


def _documented() -> APIRouter:
    """What the OpenAPI document says of `PerkEndpoint`; nothing calls it."""
    router = APIRouter()

    @router.post("/perk", responses=_says(schema.Answer | schema.Answers, 401, 413, 422, 503, 504))
    async def predicted_perk(question: schema.Question) -> None:
        """The perk that a new customer would get, from features or raw rows; one or a batch."""

    return router


def _add_endpoints(app: FastAPI, service: Service) -> None:
    @app.get("/customers/{user_id}/perk", responses=_says(schema.Answer, 401, 404, 422, 503, 504))
    async def assigned_perk(user_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> Response:
        """The perk that an active customer has been given."""
        found = service.decided("nobody has been given a perk yet").assigned.find(user_id)
        if found is None:
            raise Refused(404, "this customer is not among the active ones of the month")
        return _json(json.dumps(found).encode())

    @app.get("/perks", responses=_says(schema.Catalogue, 401, 503, 504))
    async def perks() -> Response:
        """The catalogue that the latest month was decided with."""
        return _json(service.decided("there is no catalogue in the lake yet").catalogue_json)

    @app.get("/health", responses={200: {"model": schema.Problem}})
    async def health() -> Response:
        """The process answers."""
        return _json(b'{"detail": "ok"}')

    @app.get("/ready", responses=_says(schema.Problem, 503))
    async def ready() -> Response:
        """A promoted model is in service."""
        service.ready()
        return _json(b'{"detail": "ready"}')

    @app.get("/metrics", response_class=Response, responses=_says(None, 401) | {200: {}})
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _document(app: FastAPI, settings: Settings) -> None:
    """The OpenAPI document: the endpoints of the app, and the one that is not FastAPI's."""
    shown = [*app.routes, *_documented().routes]

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=shown)
            if settings.api_key is not None:
                key = {"type": "apiKey", "in": "header", "name": HEADER}
                document["components"]["securitySchemes"] = {"key": key}
                for path, methods in document["paths"].items():
                    for method in methods.values() if path not in OPEN else ():
                        method["security"] = [{"key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def serve(lake: Lake, settings: Settings, host: str, port: int) -> None:
    """Serve until stopped. Requests under way are answered first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    uvicorn.run(
        build_app(lake, settings),
        host=host,
        port=port,
        log_config=None,
        # Paths name customers, so requests are counted, not written down.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.serving.timeout_seconds),
    )
