"""What stands in tutorials is what comes out; `python -m tests.test_doc_pages` writes their outputs anew."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from tests.doc_pages import DOCS, RUN, current, like

ROOT = DOCS.parent
LINK = re.compile(r"\]\((?!http)([^)#\s]+)")


@pytest.mark.parametrize("page", RUN)
def test_a_page_says_what_comes_out(page: str, tmp_path: Path) -> None:
    assert current(page, tmp_path) == (DOCS / page).read_text(), "run `python -m tests.test_doc_pages`"


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.relative_to(DOCS)}" for p in DOCS.rglob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    for target in LINK.findall((ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_page_is_linked_from_the_readme_or_a_page_that_is() -> None:
    seen, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            left += [page.parent.joinpath(target).resolve() for target in LINK.findall(page.read_text())]
    assert {*DOCS.rglob("*.md")} <= seen


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_an_output_that_is_cut_stays_cut() -> None:
    assert like("a\nb\n...\n", "1\n2\n3\n") == "1\n2\n...\n"
    assert like("a\n", "1\n2\n") == "1\n2\n"


if __name__ == "__main__":
    for page in RUN:
        with tempfile.TemporaryDirectory() as folder:
            (DOCS / page).write_text(current(page, Path(folder)))
