"""The routes of the desk. What a page shows belongs in the module of its name.

Routes are plain functions, so each runs in a thread and the service goes on answering meanwhile.
Nothing of a page runs inline: scripts and styles are files, charts are data that a script reads.
"""

from __future__ import annotations

import datetime as dt
import gzip
import mimetypes
from collections.abc import Callable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jinja2
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from traveltide_assets.campaign.suppression import read_suppressed
from traveltide_assets.catalogue.perks import load_perks
from traveltide_assets.lake.lake import Lake
from traveltide_assets.lake.manifest import sha256
from traveltide_assets.lake.release import Damaged, NotReleased
from traveltide_assets.report import words
from traveltide_assets.segmentation.registry import build_strategies
from traveltide_assets.serving.desk import (
    catalogue,
    customer,
    customers,
    experiment,
    lists,
    months,
    scenario,
    this_month,
    what_if,
)
from traveltide_assets.serving.desk.access import SIGN_IN, Door, same_origin
from traveltide_assets.serving.desk.decision import Decision, Decisions
from traveltide_assets.serving.desk.lists import Listing, TooFew, TooMany
from traveltide_assets.serving.desk.scenario import NotAScenario, Scenario
from traveltide_assets.serving.desk.selection import NotASelection, Selection
from traveltide_assets.serving.desk.what_if import Choices
from traveltide_assets.settings import Settings

NAVIGATION = (
    ("/", "This month"),
    ("/customers", "Customers"),
    ("/customer", "One customer"),
    ("/what-if", "What if"),
    ("/experiment", "Experiment"),
    ("/lists", "Lists"),
    ("/catalogue", "Catalogue and rules"),
    ("/months", "Months"),
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Addresses name customers and selections, which are for these pages alone.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A browser asks each time whether a file is still the same; another version has other ones.
_ASK_AGAIN = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
_PACKAGE = "traveltide_assets.serving.desk"
_LARGEST_FORM, _MOST_FIELDS = 8_192, 150
# What stands in the address of the page *What if* and in its form beside the scenario.
_NOT_ASKED = ("month", "saved", "name")
_LARGEST_BOOK = 100_000
_LONGEST_ID = 18


def build(lake: Lake, settings: Settings) -> APIRouter:
    """The routes of the pages over the releases of a lake."""
    desk = _Desk(lake, settings)
    router = APIRouter(include_in_schema=False)
    guarded = APIRouter(include_in_schema=False, dependencies=[Depends(desk.door.check)])
    for path, show in (
        ("/", desk.this_month),
        ("/customers", desk.customers),
        ("/customer", desk.customer),
        ("/what-if", desk.what_if),
        ("/experiment", desk.experiment),
        ("/lists", desk.lists),
        ("/lists/customers.{ending}", desk.download),
        ("/catalogue", desk.catalogue),
        ("/months", desk.months),
    ):
        guarded.add_api_route(path, show, methods=["GET"])
    guarded.add_api_route("/what-if/save", desk.save, methods=["POST"])
    router.include_router(guarded)
    router.add_api_route("/desk/{name}", _Static().file, methods=["GET"])
    router.add_api_route(SIGN_IN, desk.sign_in, methods=["GET"])
    router.add_api_route(SIGN_IN, desk.signed_in, methods=["POST"])
    router.add_api_route("/sign-out", desk.signed_out, methods=["POST"])
    return router


class _Desk:
    """The pages over a lake."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.door = Door(settings.api_key)
        self._lake, self._settings = lake, settings
        self._decisions = Decisions(lake.releases)
        perks = load_perks(settings.perks_file, settings.policy.forbidden_features)
        self._strategies = {n: s.title for n, s in build_strategies(settings, perks).items()}
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE, "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def this_month(self, request: Request) -> Response:
        """What was decided."""
        return self._page(
            request, "this_month", lambda decision: this_month.context(self._decisions, decision)
        )

    def customers(self, request: Request) -> Response:
        """Who the customers are; the address holds the selection."""
        month = _month_of(request)
        return self._page(
            request,
            "customers",
            lambda decision: customers.context(decision, _selection_of(request), month),
        )

    def customer(self, request: Request) -> Response:
        """One customer, or the form that asks for one."""
        typed = request.query_params.get("id", "").strip()

        def shown(decision: Decision) -> dict[str, Any]:
            if not typed:
                return {"typed": "", "found": None, "problem": None}
            if not (typed.isascii() and typed.isdigit() and len(typed) <= _LONGEST_ID):
                return {"typed": typed, "found": None, "problem": "An id is a whole number."}
            found = customer.context(self._decisions, decision, int(typed))
            rule = decision.release.manifest.decision["cohort_rule"]
            problem = (
                None
                if found
                else f"Customer {typed} is not in the cohort of "
                f"{words.month_name(decision.month)}: {rule}."
            )
            return {"typed": typed, "found": found, "problem": problem}

        return self._page(request, "customer", shown)

    def what_if(self, request: Request) -> Response:
        """The month decided anew under the scenario in the address."""
        asked = [(k, v) for k, v in request.query_params.multi_items() if k not in _NOT_ASKED]

        def shown(decision: Decision) -> dict[str, Any]:
            known = what_if.choices(self._settings)
            wanted = self._scenario(decision, known, asked)
            saved = request.query_params.get("saved", "")
            found = what_if.context(self._decisions, decision, self._settings, wanted, known)
            return {**found, "saved": self._saved(saved)}

        return self._page(request, "what_if", shown)

    async def save(self, request: Request) -> Response:
        """Writes the scenario of a form to a file; nothing else changes by it."""
        if not same_origin(request):
            raise HTTPException(403, "a scenario is saved from the page What if only")
        form = await _form_of(request)
        fields = dict(form)
        name, month = fields.get("name", ""), fields.get("month") or None
        asked = [(k, v) for k, v in form if k not in _NOT_ASKED]
        try:
            decision = self._decisions.current(month)
            known = what_if.choices(self._settings)
            wanted = self._scenario(decision, known, asked)
            said = f"Scenario {name}, made of release {decision.release.id} of {decision.month}"
            scenario.save(name, wanted, self._settings, said)
        except (NotAScenario, NotReleased, Damaged) as error:
            return self._told(request, *_explained(request, error))
        query = urlencode([("month", decision.month), *wanted.pairs(), ("saved", name)])
        return RedirectResponse(f"/what-if?{query}", 303, headers=_HEADERS)

    def _scenario(
        self, decision: Decision, known: Choices, asked: list[tuple[str, str]]
    ) -> Scenario:
        base = what_if.base_of(decision, self._settings, known)
        return Scenario.of(asked, base, known.strategies, known.perks, known.features)

    def _saved(self, name: str) -> str | None:
        """The file of a scenario that was saved, as a command names it; None if there is none."""
        file = scenario.file_of(name, self._settings)
        return None if file is None else str(file)

    def experiment(self, request: Request) -> Response:
        """Plan and effect of the experiment."""
        return self._page(
            request, "experiment", lambda decision: experiment.context(decision, self._strategies)
        )

    def lists(self, request: Request) -> Response:
        """Lists of the selection in the address, and ready-made ones."""

        def shown(decision: Decision) -> dict[str, Any]:
            selection, month = _selection_of(request), decision.month
            try:
                listing = self._listed(decision, selection)
                problem = None
            except TooFew as error:
                listing, problem = None, str(error)
            return {
                "conditions": selection.words(decision),
                "query": selection.query(month=month),
                "listing": listing,
                "problem": problem,
                "columns": lists.COLUMNS,
                "ready": [
                    (name, each.query(month=month)) for name, each in lists.ready_made(decision)
                ],
                "where": " ".join(
                    f"--where '{key}={group}'"
                    for key, groups in selection.conditions
                    for group in groups
                ),
            }

        return self._page(request, "lists", shown)

    def download(self, request: Request, ending: str) -> Response:
        """The list of the selection in the address, as a file."""
        if ending not in lists.FORMATS:
            return self._told(request, 404, "There is no such page.")
        write, media = lists.FORMATS[ending]
        try:
            decision = self._decisions.current(_month_of(request))
            rows = self._listed(decision, _selection_of(request)).rows
            if ending == "xlsx" and len(rows) > _LARGEST_BOOK:
                raise TooMany(
                    f"the list has {len(rows):,} rows, and a workbook of more than "
                    f"{_LARGEST_BOOK:,} takes too long here: take CSV, or `traveltide export`"
                )
            content = write(rows)
        except (NotASelection, TooFew, TooMany, NotReleased, Damaged) as error:
            return self._told(request, *_explained(request, error))
        name = f"customers-{decision.month}-{decision.release.id}.{ending}"
        saved = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media, headers={**_HEADERS, **saved})

    def catalogue(self, request: Request) -> Response:
        """Perks and rules."""
        return self._page(
            request, "catalogue", lambda decision: catalogue.context(decision, self._settings)
        )

    def months(self, request: Request) -> Response:
        """The history, and two months side by side."""
        first, second = (request.query_params.get(name) or None for name in ("first", "second"))
        return self._page(
            request, "months", lambda _: months.context(self._decisions, first, second)
        )

    def sign_in(self, request: Request) -> Response:
        """The form that asks for the key."""
        return self._form(request.query_params.get("next", "/"), wrong=False)

    async def signed_in(self, request: Request) -> Response:
        """What was typed into the form."""
        form = dict(await _form_of(request))
        if not self.door.opens(form.get("key", "")):
            return self._form(form.get("next", "/"), wrong=self.door.locked, status=401)
        return self.door.let_in(request, form.get("next", "/"))

    async def signed_out(self) -> Response:
        """Forgets the cookie."""
        return self.door.let_out()

    def _listed(self, decision: Decision, selection: Selection) -> Listing:
        suppressed = read_suppressed(self._settings.campaign.suppression_file)
        return lists.listed(decision, selection, suppressed)

    def _form(self, wanted: str, wrong: bool, status: int = 200) -> Response:
        page = self._templates.get_template("sign_in.html.j2")
        shown = page.render(next=wanted, wrong=wrong, locked=self.door.locked)
        return HTMLResponse(shown, status, _HEADERS)

    def _page(
        self, request: Request, name: str, shown: Callable[[Decision], dict[str, Any]]
    ) -> Response:
        """A page on the month in the address, or a page that says why there is none."""
        try:
            decision = self._decisions.current(_month_of(request))
            context = shown(decision)
        except (NotASelection, NotAScenario, NotReleased, Damaged) as error:
            return self._told(request, *_explained(request, error))
        since = self._decisions.since(decision)
        frame = {
            **self._frame(request),
            "notice": decision.release.manifest.notice,
            "month": decision.month,
            "month_name": words.month_name(decision.month),
            "release": decision.release.id,
            "released": months.moment(since),
            "age": age(since, dt.datetime.now(dt.UTC)),
            "months": self._decisions.months(),
            "carried": _carried(request),
        }
        page = self._templates.get_template(f"{name}.html.j2")
        return HTMLResponse(page.render({**frame, **context}), headers=_HEADERS)

    def _told(self, request: Request, status: int, message: str) -> Response:
        page = self._templates.get_template("problem.html.j2")
        shown = page.render(**self._frame(request), message=message, status=status)
        return HTMLResponse(shown, status, _HEADERS)

    def _frame(self, request: Request) -> dict[str, Any]:
        month = request.query_params.get("month")
        suffix = f"?{urlencode({'month': month})}" if month else ""
        return {
            "navigation": [
                (f"{path}{suffix}", label, path == request.url.path) for path, label in NAVIGATION
            ],
            "notice": None,
            "locked": self.door.locked,
        }


class _Static:
    """The files of the pages, read once, each also compressed."""

    def __init__(self) -> None:
        folder = files(_PACKAGE) / "static"
        self._plain = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        self._packed = {name: gzip.compress(c, mtime=0) for name, c in self._plain.items()}
        self._tags = {name: f'"{sha256(content)}"' for name, content in self._plain.items()}

    def file(self, request: Request, name: str) -> Response:
        """A file by its name; 304 if the browser has it."""
        if name not in self._plain:
            raise HTTPException(404, "there is no such file")
        headers = {**_ASK_AGAIN, "ETag": self._tags[name], "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self._tags[name]:
            return Response(status_code=304, headers=headers)
        media = mimetypes.guess_type(name)[0] or "text/plain"
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self._plain[name], media_type=media, headers=headers)
        packed = {**headers, "Content-Encoding": "gzip"}
        return Response(self._packed[name], media_type=media, headers=packed)


def age(moment: str | None, now: dt.datetime) -> str:
    """How long ago a moment was, in words."""
    if moment is None:
        return "not current"
    seconds = (now - dt.datetime.fromisoformat(moment)).total_seconds()
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{words.counted(int(seconds // size), unit)} ago"
    return "just now"


def _explained(request: Request, error: Exception) -> tuple[int, str]:
    """The status and the text for a reader. Places of the lake are for the log, not for a page."""
    in_service = request.app.state.service.snapshot is not None
    if isinstance(error, NotReleased) and in_service and _month_of(request) is None:
        return (
            503,
            "The lake cannot be read, or holds no release any more. The log has the details.",
        )
    if isinstance(error, NotReleased):
        return 404, "Nothing is released for this month yet. `traveltide run` decides it."
    if isinstance(error, Damaged):
        return 503, "A stored file is not what was released. `traveltide release` writes it again."
    return 400, f"{str(error)[:1].upper()}{str(error)[1:]}."


async def _form_of(request: Request) -> list[tuple[str, str]]:
    """The fields of a form that was sent, in order."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, f"the form is larger than {_LARGEST_FORM} bytes")
    try:
        return parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise HTTPException(400, f"the form has more than {_MOST_FIELDS} fields") from error


def _month_of(request: Request) -> str | None:
    return request.query_params.get("month") or None


def _selection_of(request: Request) -> Selection:
    return Selection.of(
        (key, value) for key, value in request.query_params.multi_items() if key != "month"
    )


def _carried(request: Request) -> list[tuple[str, str]]:
    """The parameters that stay when another month is chosen. Segments are those of one month."""
    left = ("month", "segment")
    return [(k, v) for k, v in request.query_params.multi_items() if k not in left]
