"""What the pages share: a route's facts, shown to people as a page and given to programs as JSON."""

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import psycopg
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from strandline import ledger, reports
from strandline.html.document import text
from strandline.pages import charts

API = "/api/v1"
AT_ONCE = 8  # of the analysts' connections, which BI tools share
SLOW = 503
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "private, no-cache",
}
# In the order of the menu: address, name.
MENU = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/files", "Files"),
    ("/explore", "Explore"),
    ("/quarantine", "Quarantine"),
    ("/labels", "Label"),
    ("/drift", "Drift"),
    ("/models", "Models"),
    ("/serving", "Serving"),
)

Facts = Mapping[str, Any]
_places = threading.BoundedSemaphore(AT_ONCE)


class Room:
    """Routes of which each has a page, and under `API` the same as JSON.

    Args:
        dag_id: whoever may read this DAG may read here.
    """

    def __init__(self, dag_id: str) -> None:
        allowed = [Depends(requires_access_dag("GET", param_dag_id=dag_id))]
        self.pages = APIRouter(dependencies=allowed, include_in_schema=False, default_response_class=HTMLResponse)
        self.api = APIRouter(prefix=API, dependencies=allowed)

    def show(self, path: str, template: str) -> Callable[[Callable[..., Facts]], Callable[..., Facts]]:
        """Of a function that returns facts: a page by this template, and the facts themselves."""

        def register(facts: Callable[..., Facts]) -> Callable[..., Facts]:
            def page(request: Request, found: Annotated[dict[str, Any], Depends(facts)]) -> HTMLResponse:
                return render(request, template, found)

            self.pages.add_api_route(path, page)
            self.api.add_api_route(path, facts, response_model=dict[str, Any])
            return facts

        return register


@contextlib.contextmanager
def reading() -> Iterator[ledger.Connection]:
    """A transaction of an analyst, whose statements may take a few seconds and no longer.

    Raises:
        HTTPException: the ledger does not answer, or not in time.
    """
    with _places:
        try:
            with ledger.connect("analyst") as connection:
                ledger.execute(connection, "bound_page")
                yield connection
        except ledger.Unreachable as error:
            raise HTTPException(SLOW, str(error)) from error
        except psycopg.errors.QueryCanceled as error:
            raise HTTPException(SLOW, "the ledger took too long to answer: ask for less, or once more") from error


def same_origin(request: Request) -> None:
    """Of what writes: a browser brings its reader's cookie wherever the request comes from, and says from where.

    Raises:
        HTTPException: another site's page sent it.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = site not in ("same-origin", "none") if site else bool(origin) and not _is_own(request, str(origin))
    if foreign:
        raise HTTPException(403, "another site's page sent this request")


def may_edit(dag_id: str) -> Callable[..., bool]:
    """To depend on: whether the reader may edit this DAG."""

    def allowed(user: GetUserDep) -> bool:
        return get_auth_manager().is_authorized_dag(method="PUT", details=DagDetails(id=dag_id), user=user)

    return allowed


def editing(dag_id: str) -> list[Any]:
    """What a route that writes depends on: its caller may edit this DAG, and no other site's page asks for them."""
    return [Depends(same_origin), Depends(requires_access_dag("PUT", param_dag_id=dag_id))]


def _is_own(request: Request, origin: str) -> bool:
    return urlsplit(origin).netloc == request.headers.get("host")


def base(request: Request) -> str:
    """The address of the pages as the browser has it, below which Airflow may be served."""
    return str(request.scope["root_path"])


def render(request: Request, template: str, found: Facts, status: int = 200) -> HTMLResponse:
    root = base(request)
    shared = {
        "base": root,
        "airflow": root.removesuffix("/strandline"),
        "here": request.scope["path"].removeprefix(root),
        "menu": MENU,
        "report": reports.path,
    }
    return HTMLResponse(_templates.get_template(template).render(**shared, **found), status, headers=HEADERS)


def when(value: datetime.datetime | None) -> Markup | str:
    """A time, which the browser shows in its reader's zone, and in UTC on hover."""
    if value is None:
        return ""
    utc = value.astimezone(datetime.UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M}")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def seconds(value: float | None) -> str:
    """A duration as people say it."""
    if value is None:
        return ""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "when": when,
    "number": number,
    "percent": percent,
    "seconds": seconds,
    "shown": lambda value, longest=300: Markup(text(str(value), longest)),
}
_templates.globals["charts"] = charts
