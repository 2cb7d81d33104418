"""Results, decisions and notebook: each index names all of its pages, decisions are numbered, notebook
entries are dated.
"""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import ROOT, github_anchor, headings, links

DOCS = ROOT / "docs"


@pytest.mark.parametrize("folder", ["results", "decisions", "notebook"])
def test_the_index_names_every_page_once(folder: str) -> None:
    named = [target.partition("#")[0] for _, target in links((DOCS / folder / "index.md").read_text())]
    pages = sorted(path.name for path in (DOCS / folder).glob("*.md") if path.name != "index.md")
    inside = [name for name in named if "/" not in name]
    assert sorted(set(inside)) == pages
    assert folder == "notebook" or sorted(inside) == pages


def test_decisions_are_numbered_without_gap_and_say_when() -> None:
    pages = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "index.md")
    assert [path.name[:5] for path in pages] == [f"{number:04d}-" for number in range(1, len(pages) + 1)]
    for path in pages:
        title, date = path.read_text().split("\n\n")[:2]
        assert title.startswith(f"# {path.name[:4]}: "), path.name
        assert re.match(r"\d{4}-\d\d-\d\d\. (Accepted|Superseded)", date), path.name


def test_the_notebook_is_in_order_of_time_and_its_index_has_every_entry() -> None:
    index = [target for _, target in links((DOCS / "notebook" / "index.md").read_text()) if "/" not in target]
    entries = []
    for path in sorted((DOCS / "notebook").glob("[0-9]*.md")):
        dated = [title for title in headings(path.read_text()) if re.match(r"\d{4}-", title)]
        assert dated == sorted(dated, key=lambda title: title[:10]), path.name
        assert all(title.startswith(path.stem) for title in dated), path.name
        entries += [f"{path.name}#{github_anchor(title)}" for title in dated]
    assert index == entries


def test_every_result_says_which_command_makes_it() -> None:
    for path in (DOCS / "results").glob("*.md"):
        if path.name != "index.md":
            text = " ".join(path.read_text().split())
            assert "``` " in text or "No script prints" in text, path.name
