"""The style and the script of the pages, which are no secret: a browser may keep them."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from strandline.html.document import STYLE

FOLDER = Path(__file__).with_name("static")
HEADERS = {"cache-control": "public, max-age=300", "x-content-type-options": "nosniff"}
router = APIRouter(prefix="/static", include_in_schema=False)


@router.get("/pages.css")
def style() -> Response:
    return Response(STYLE + (FOLDER / "pages.css").read_text(), headers=HEADERS, media_type="text/css")


@router.get("/pages.js")
def script() -> Response:
    return Response((FOLDER / "pages.js").read_text(), headers=HEADERS, media_type="text/javascript")
