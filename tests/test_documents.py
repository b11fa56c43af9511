"""The documents: those made by `make docs` are of this checkout, and every link in one leads somewhere."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from local.build import dag_pages
from strandline import settings

REPOSITORY = settings.REPOSITORY
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|href)="([^"]+)\"""")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z]+:")  # a scheme: the web is not looked at


def documents() -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    done = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return sorted(path for path in done.stdout.split() if (REPOSITORY / path).exists())


def dead_links(path: Path) -> list[str]:
    """Links that lead to no file beside or below `path`, or to no heading of a Markdown file."""
    found = [one or other for one, other in LINK.findall(CODE.sub("", path.read_text()))]
    return [link for link in found if not ELSEWHERE.match(link) and not _leads_somewhere(path, link)]


def _leads_somewhere(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub and GitLab make them: the second of a name has -1 behind it."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in HEADING.findall(text)]
    slugs = [re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in words]
    seen: Counter[str] = Counter()
    made = set()
    for slug in slugs:
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made


@pytest.mark.parametrize("name", documents())
def test_every_link_leads_somewhere(name):
    assert dead_links(REPOSITORY / name) == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# What is `here`?\n\n## Again\n\n## Again\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#what-is-here) [c](other.md#again-1) [d](https://example.org/x) [e](#self)\n"
        '# Self\n`[code](gone.md)` <img src="gone.png"> [f](gone.md) [g](other.md#no-heading) [h](other.md#again-2)\n'
    )
    assert dead_links(page) == ["gone.png", "gone.md", "other.md#no-heading", "other.md#again-2"]


def test_the_pages_of_dags_are_of_these_docstrings():
    assert (REPOSITORY / "docs" / "dags.md").read_text() == dag_pages.document(), "run make docs"


def test_a_dag_file_without_a_page_is_named(tmp_path):
    (tmp_path / "quiet.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"quiet\.py has no docstring"):
        dag_pages.document(tmp_path)
