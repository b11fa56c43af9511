"""The documents that `make docs` makes are of this checkout."""

import pytest

from local.build import dag_pages
from strandline import settings

REPOSITORY = settings.REPOSITORY


def test_the_pages_of_dags_are_of_these_docstrings():
    assert (REPOSITORY / "docs" / "dags.md").read_text() == dag_pages.document(), "run make docs"


def test_a_dag_file_without_a_page_is_named(tmp_path):
    (tmp_path / "quiet.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"quiet\.py has no docstring"):
        dag_pages.document(tmp_path)
