"""Labelling: one image after another, that no other person has before them. Words bear the name of who is signed in."""

from collections.abc import Iterator
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from strandline import ledger
from strandline.labels import claims, load
from strandline.models import versions
from strandline.pages.exports import MOST, as_csv
from strandline.pages.rooms import Facts, Room, base, editing, may_edit, reading, same_origin

DAYS = 30
COLUMNS = ("image_id", "label", "source", "labeller", "labelled_at", "label_file", "line")
LABELLERS = 50
DAG = "ingest_labels"  # who may trigger it may label
room = Room(DAG)
CONFLICTS = 100
DUPLICATES = 10_000  # the latest, of which paths are compared
WORDS = 2_000  # the latest, of whose images labellers are compared
may_write = [Depends(same_origin), Depends(requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=DAG))]
ImageId = Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")]


class Answer(BaseModel):
    """What a person says of an image: `label` is a class of the champion, or null: none of them, or of no use."""

    image_id: str = Field(pattern="^[0-9a-f]{64}$")
    label: str | None = Field(default=None, max_length=1000)


def may_label(user: GetUserDep) -> bool:
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=DAG), user=user
    )


@room.show("/labels", "labels.html")
def ask(
    user: GetUserDep, asks: Annotated[bool, Depends(may_label)], image: ImageId = None, last: ImageId = None
) -> Facts:
    """The image that the reader is asked about, theirs for some minutes, and how far labelling has come. Who may not
    label is asked nothing.

    Args:
        image: this one instead, to say something else of it.
        last: the one that was answered just before.

    Raises:
        HTTPException: the ledger does not answer.
    """
    name = str(user.get_name())
    classes = _classes()
    asked = (image or claims.claim(name)) if asks else None
    with reading() as connection:
        (progress,) = ledger.fetch(connection, "select_label_progress", {"days": DAYS})
        query = {"labeller": name, "image_id": asked}
        return {
            "asks": asks,
            "image_id": asked,
            "own_word": next(iter(ledger.fetch(connection, "select_own_words", query)), None) if image else None,
            "last": last,
            "classes": classes,
            "days": DAYS,
            "progress": progress,
        }


@room.api.get("/labels.csv", response_class=StreamingResponse)
def export() -> StreamingResponse:
    """All that files and people said, the first first, as a table for spreadsheets; no label is none of the classes."""
    return as_csv("labels", COLUMNS, _said())


def _said() -> Iterator[dict[str, Any]]:
    with reading() as connection:
        yield from ledger.stream(connection, "select_said_labels", {"limit": MOST})


@room.api.post("/labels", dependencies=may_write)
def answer(said: Answer, user: GetUserDep) -> dict[str, bool]:
    """Record what the caller says of an image; `new` unless it was their last word already.

    Raises:
        HTTPException: no such image or class.
    """
    return _record(said, user)


@room.pages.post("/labels", dependencies=may_write)
def answer_by_form(
    request: Request,
    user: GetUserDep,
    image_id: Annotated[str, Form(pattern="^[0-9a-f]{64}$")],
    say: Annotated[str, Form(pattern="^(label|unusable|skip)$")],
    label: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Record an answer, or that it is to be skipped; then the next image."""
    if say == "skip":
        claims.skip(image_id, str(user.get_name()))
        return RedirectResponse(f"{base(request)}/labels", 303)
    answer(Answer(image_id=image_id, label=label if say == "label" else None), user)
    return RedirectResponse(f"{base(request)}/labels?last={image_id}", 303)


@room.show("/labels/conflicts", "conflicts.html")
def conflicts(decides: Annotated[bool, Depends(may_edit(DAG))] = False) -> Facts:
    """Images of which those of the highest rank say different things, the latest first; and how labellers agree.

    Raises:
        HTTPException: the ledger does not answer.
    """
    classes = _classes()
    with reading() as connection:
        return {
            "conflicts": ledger.fetch(
                connection, "select_label_conflicts", {"limit": CONFLICTS, "duplicates": DUPLICATES}
            ),
            "duplicates": DUPLICATES,
            "words": WORDS,
            "labellers": ledger.fetch(connection, "select_labellers", {"limit": LABELLERS, "words": WORDS}),
            "classes": classes,
            "decides": decides,
        }


@room.api.post("/labels/conflicts", dependencies=editing(DAG))
def decide(said: Answer, user: GetUserDep) -> dict[str, bool]:
    """Record a decision, which goes before all that was said of the image.

    Raises:
        HTTPException: no such image or class.
    """
    return _record(said, user, decides=True)


@room.pages.post("/labels/conflicts", dependencies=editing(DAG))
def decide_by_form(
    request: Request,
    user: GetUserDep,
    image_id: Annotated[str, Form(pattern="^[0-9a-f]{64}$")],
    label: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Record a decision; then the conflicts that are left."""
    decide(Answer(image_id=image_id, label=label or None), user)
    return RedirectResponse(f"{base(request)}/labels/conflicts", 303)


def _classes() -> list[str]:
    """The champion's, of which one may be said."""
    try:
        with ledger.connect("people") as connection:
            return list(versions.champion(connection)["classes"])
    except ledger.Unreachable as error:
        raise HTTPException(503, str(error)) from error
    except versions.NoChampion as error:
        raise HTTPException(404, str(error)) from error


def _record(said: Answer, user: BaseUser, decides: bool = False) -> dict[str, bool]:
    try:
        return {"new": load.record(said.image_id, said.label, str(user.get_name()), decides)}
    except load.LabelError as error:
        raise HTTPException(422, str(error)) from error
