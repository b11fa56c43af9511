"""Reports, as the store has them, to read only.

What a report shows came with images that anybody may have sent. The policy of `html.document` lets nothing run but its
own scripts; a second one, `sandbox`, gives each report an origin of its own, so that not even those reach Airflow.
"""

import mimetypes
import os
from collections.abc import Callable
from typing import Annotated

from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Path
from fastapi.responses import Response, StreamingResponse
from starlette.background import BackgroundTask

import strandline_contract as contract
from strandline import reports, settings

HEADERS = {
    "content-security-policy": "sandbox allow-scripts allow-downloads",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-cache",
}
Report = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+:-]{0,250}$")]
Asset = Annotated[str, Path(pattern=r"^evidently-[0-9a-f]{64}\.js$")]
CHUNK = 2**16

# A report's own origin cannot show who reads it: what all reports share, and is no secret, is there for all.
shared = APIRouter(prefix=f"/reports/{reports.ASSETS}")
router = APIRouter(prefix="/reports")


@shared.get("/{name}")
def read_asset(name: Asset) -> Response:
    headers = HEADERS | {"cache-control": "public, max-age=31536000, immutable"}
    return _file(f"{reports.ASSETS}/{name}", headers, f"no report has the file {name}")


def _reader(kind: reports.Kind) -> Callable[[str, str], Response]:
    place = reports.PLACES[kind]

    def read(report: Report, name: str = reports.PAGE) -> Response:
        if name not in place.files:
            raise HTTPException(404, f"a report of {kind} has no file {name}; it has {', '.join(place.files)}")
        missing = f"there is no {name} of the {kind} report {report}: it was removed, or this server has another store"
        return _file(f"{place.folder.format(report)}/{name}", HEADERS, missing)

    return read


for kind, place in reports.PLACES.items():
    allowed = [Depends(requires_access_dag("GET", param_dag_id=place.dag_id))]
    for path in ("/{report}/", "/{report}/{name}"):
        router.add_api_route(f"/{kind}{path}", _reader(kind), dependencies=allowed, response_class=Response)


def _file(path: str, headers: dict[str, str], missing: str) -> Response:
    """A regular file of the store, which no link leads to."""
    store = settings.get().store
    try:
        file = contract.open_file(contract.store_path(store, path), beneath=store)
    except (OSError, contract.ContractError) as error:
        raise HTTPException(404, missing) from error
    return StreamingResponse(
        iter(lambda: file.read(CHUNK), b""),
        headers=headers | {"content-length": str(os.fstat(file.fileno()).st_size)},
        media_type=mimetypes.guess_type(path)[0],
        background=BackgroundTask(file.close),
    )
