"""Whatever takes the ledger too long ends, with a page that says so."""

import asyncio

import psycopg
import pytest
from fastapi import HTTPException, Request

from strandline.pages import rooms, runs
from strandline.pages.application import refuse


def test_a_question_that_takes_too_long_ends_with_a_page_that_says_so(database):
    with psycopg.connect(database.superuser) as connection:
        connection.execute("LOCK TABLE runs")  # as slow as can be: nobody reads it
        with pytest.raises(HTTPException) as ended:
            runs.list_runs()
    assert ended.value.status_code == rooms.SLOW
    scope = {"type": "http", "method": "GET", "headers": [], "root_path": "/strandline", "path": "/strandline/runs"}
    page = asyncio.run(refuse(Request(scope), ended.value))
    assert page.status_code == rooms.SLOW
    assert "The ledger took too long to answer: ask for less, or once more." in bytes(page.body).decode()
