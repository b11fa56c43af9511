"""Who is answered over HTTP, and by which version. From here an application is let in, and revoked."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, Form, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.pages.rooms import HEADERS, Facts, Room, base, editing, may_edit, reading, render
from strandline.serving import consumers

LATEST = 100  # consumers, those who may ask first; answered pairs of consumer and version
ROLLOUTS = 20  # the one that is on first
DAG = "promote_model"  # who may edit it, and is one of the approvers, says who may ask
room = Room(DAG)

Name = Annotated[str, Path(pattern=r"^[a-z0-9._-]{1,63}$")]


def approver(user: GetUserDep) -> str:
    """Who says which version answers everybody also says who may ask."""
    name = str(user.get_name())
    if name not in settings.get().promotion.approver_ids:
        raise HTTPException(403, f"{name} is none of STRANDLINE_APPROVERS, who say which applications may ask")
    return name


Approver = Annotated[str, Depends(approver)]


class Asking(BaseModel):
    """An application that may ask so many times a second; `version` answers it, by default the champion."""

    name: str = Field(max_length=63)
    requests_per_second: float
    version: str | None = Field(default=None, pattern=r"^([0-9a-f]{1,64})?$")


@room.show("/serving", "serving.html")
def serving(edits: Annotated[bool, Depends(may_edit(DAG))] = False) -> Facts:
    """What is rolled out, who may ask, which version answered whom and when, and how far that is recorded.

    Raises:
        HTTPException: the ledger does not answer.
    """
    with reading() as connection:
        limit = {"limit": LATEST}
        return {
            "edits": edits,
            "rollouts": ledger.fetch(connection, "select_rollouts", {"limit": ROLLOUTS}),
            "unserved": ledger.fetch(connection, "select_unserved_versions"),
            "consumers": ledger.fetch(connection, "select_consumer_spans", limit),
            "versions": ledger.fetch(connection, "select_served_versions", limit),
            "spools": ledger.fetch(connection, "select_serving_spools", limit),
        }


@room.api.post("/serving/consumers", dependencies=editing(DAG))
def create(asking: Asking, by: Approver) -> dict[str, str]:
    """Let an application ask; `token` is told this once.

    Raises:
        HTTPException: you are no approver, it cannot be let in so, or the ledger does not answer.
    """
    with _refused():
        token = consumers.create(asking.name, asking.requests_per_second, by, asking.version or None)
    return {"name": asking.name, "token": token}


@room.api.post("/serving/consumers/{name}/revoke", dependencies=editing(DAG))
def revoke(name: Name, by: Approver) -> dict[str, str]:
    """Refuse an application from now on.

    Raises:
        HTTPException: you are no approver, it may not ask anyway, or the ledger does not answer.
    """
    with _refused():
        consumers.revoke(name, by)
    return {"name": name}


@room.pages.post("/serving/consumers", dependencies=editing(DAG))
def create_by_form(request: Request, by: Approver, said: Annotated[Asking, Form()]) -> Response:
    """Let it in, and show its token: this answer is nowhere kept."""
    answer = render(request, "token.html", create(said, by))
    answer.headers.update(HEADERS | {"cache-control": "no-store"})
    return answer


@room.pages.post("/serving/consumers/{name}/revoke", dependencies=editing(DAG))
def revoke_by_form(request: Request, by: Approver, name: Name) -> Response:
    revoke(name, by)
    return RedirectResponse(f"{base(request)}/serving", 303)


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ledger.Unreachable as error:
        raise HTTPException(503, str(error)) from error
    except PermanentError as error:
        raise HTTPException(422, str(error)) from error
