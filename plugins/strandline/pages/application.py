"""The web application: every route needs somebody who is signed in, unless it is among `shared`."""

from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from strandline.html.document import document, text
from strandline.pages import reports

LOGIN = "/api/v2/auth/login"
TITLES = {403: "Not allowed", 404: "Not there"}
# No pages about the API: FastAPI would show them to anybody.
application = FastAPI(title="Strandline", docs_url=None, redoc_url=None, openapi_url=None)
application.include_router(reports.shared)
application.include_router(reports.router, dependencies=[Depends(requires_authenticated())])


@application.exception_handler(HTTPException)
async def refuse(request: Request, error: HTTPException) -> Response:
    """Lead to Airflow's login and back, or say in a page what is wrong."""
    if error.status_code == 401 and request.method == "GET":
        above = request.scope["root_path"].removesuffix("/strandline")
        return RedirectResponse(f"{above}{LOGIN}?{urlencode({'next': str(request.url)})}", 303)
    return _page(error.status_code, str(error.detail))


@application.exception_handler(RequestValidationError)
async def refuse_address(request: Request, error: RequestValidationError) -> Response:
    return _page(404, "there is no such address")


def _page(status: int, sentence: str) -> Response:
    title = TITLES.get(status, "This did not work")
    body = f'<div class="result bad"><h1>{title}</h1><p>{text(sentence[:1].upper() + sentence[1:])}.</p></div>'
    return HTMLResponse(document(title, "", body), status)
