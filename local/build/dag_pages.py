"""`docs/dags.md`: what DAG files say of themselves, as Airflow shows it on each DAG's page. `make docs` writes it."""

import ast
from pathlib import Path

from strandline import settings

DAGS = settings.REPOSITORY / "dags"


def document(dags: Path = DAGS) -> str:
    """All pages in one, in Markdown, by name.

    Raises:
        ValueError: a DAG file has no docstring that begins with a heading.
    """
    pages = {path.stem: _docstring(path) for path in sorted(dags.glob("*.py"))}
    titles = {name: page.partition("\n")[0].removeprefix("## ") for name, page in pages.items()}
    lines = [
        "# DAGs",
        "",
        "Made by `make docs` of the docstrings in `dags/`, which Airflow shows as each DAG's page.",
        "",
    ]
    lines += ["| DAG | |", "|---|---|", *(f"| [`{name}`](#{name}) | {title} |" for name, title in titles.items())]
    for name, page in pages.items():
        lines += ["", f"## {name}", "", f"*{titles[name]}*", page.partition("\n")[2].rstrip()]
    return "\n".join(lines) + "\n"


def _docstring(path: Path) -> str:
    found = ast.get_docstring(ast.parse(path.read_text()))
    if not found or not found.startswith("## "):
        raise ValueError(f"{path} has no docstring that begins with a heading (##): the page for who is on call")
    return found


if __name__ == "__main__":
    print(document(), end="")
