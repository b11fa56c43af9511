"""The web application: every route needs somebody who is signed in, unless it is among `shared`."""

from typing import Any
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from strandline.pages import (
    drift,
    explore,
    files,
    images,
    labels,
    maps,
    models,
    overview,
    quarantine,
    reports,
    runs,
    serving,
    signposts,
    static_files,
)
from strandline.pages.rooms import API, base, render

LOGIN = "/api/v2/auth/login"
TITLES = {403: "Not allowed", 404: "Not there", 503: "Not now"}
ROOMS = (
    *(overview.room, runs.room, files.room, images.room, explore.room, maps.room),
    *(quarantine.room, labels.room, drift.room, models.room, serving.room),
)
# FastAPI's own pages about the API would be there for anybody.
application = FastAPI(title="Strandline", version="1", docs_url=None, redoc_url=None, openapi_url=None)
application.include_router(reports.shared)
application.include_router(static_files.router)
signed_in = [Depends(requires_authenticated())]
application.include_router(reports.router, dependencies=signed_in)
application.include_router(signposts.router, dependencies=signed_in)
for room in ROOMS:
    application.include_router(room.pages, dependencies=signed_in)
    application.include_router(room.api, dependencies=signed_in)


@application.get(f"{API}/openapi.json", dependencies=signed_in, include_in_schema=False)
def describe() -> dict[str, Any]:
    return application.openapi()


@application.exception_handler(HTTPException)
async def refuse(request: Request, error: HTTPException) -> Response:
    """Lead to Airflow's login and back, or to another address; or say what is wrong: to programs as JSON."""
    if error.status_code == 307 and error.headers:
        return RedirectResponse(error.headers["location"])
    path = request.scope["path"].removeprefix(base(request))
    if path.startswith(API):
        return JSONResponse({"detail": str(error.detail)}, error.status_code)
    if error.status_code == 401 and request.method == "GET":
        above = base(request).removesuffix("/strandline")
        return RedirectResponse(f"{above}{LOGIN}?{urlencode({'next': str(request.url)})}", 303)
    return _page(request, error.status_code, str(error.detail))


@application.exception_handler(RequestValidationError)
async def refuse_address(request: Request, error: RequestValidationError) -> Response:
    path = request.scope["path"].removeprefix(base(request))
    says = [str(one["msg"]).removeprefix("Value error, ") for one in error.errors()]
    if path.startswith(API):
        return JSONResponse({"detail": says}, 422)
    if request.method == "POST":
        return _page(request, 422, "; ".join(says))
    return _page(request, 404, "there is no such address")


def _page(request: Request, status: int, sentence: str) -> Response:
    title = TITLES.get(status, "This did not work")
    return render(
        request, "refused.html", {"title": title, "sentence": f"{sentence[:1].upper()}{sentence[1:]}."}, status
    )
