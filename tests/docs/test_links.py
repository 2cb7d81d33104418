"""Relative links in all Markdown files lead to a file that is there and to a heading in it; files named in
code are there.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.markdown import ROOT, anchors, links, tracked

NAMED = re.compile(r"(?<![\w/.])docs/[\w./-]+\.(?:md|png|json)")
CODE = (
    "flows",
    "tasks",
    "pipelines",
    "benchmarks",
    "recipes",
    "*.yaml",
    "pyproject.toml",
    "README.md",
    "CONTRIBUTING.md",
)


def broken(path: Path) -> list[str]:
    """Each link of a file that leads nowhere, with its line and why."""
    found = []
    for line, target in links(path.read_text()):
        name, _, anchor = unquote(target).partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            found.append(f"{path.name}:{line}: {target}: no such file")
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            found.append(
                f"{path.name}:{line}: {target}: no such heading; there are {', '.join(sorted(anchors(there)))}"
            )
    return found


@pytest.mark.parametrize("path", tracked("*.md"), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    assert broken(path) == []


def test_documents_named_in_code_and_recipes_are_there() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in tracked(*CODE)
        if path.suffix in (".py", ".yaml", ".toml", ".md")
        for name in NAMED.findall(path.read_text())
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One · two\n\n## `code`: a thing, (again)\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n[file](other.md) [heading](other.md#code-a-thing-again) [here](#page) [twice](other.md#twice)\n"
        "[web](https://example.org/x.md) `[code](none.md)` [mail](mailto:a@b.c)\n\n"
        "```\n[fenced](none.md)\n```\n\n"
        "| a |\n|---|\n| [cell](gone.md) |\n\n"
        "![picture](gone.png)\n[wrong](other.md#things)\n[by reference][r]\n\n[r]: lost.md\n\n"
        "[only on GitHub](other.md#one--two), [only in the site](other.md#one-two), [second](other.md#twice-1)\n"
    )
    assert [text.split(": ")[:2] for text in broken(page)] == [
        ["page.md:12", "gone.md"],
        ["page.md:14", "gone.png"],
        ["page.md:14", "other.md#things"],
        ["page.md:14", "lost.md"],
        ["page.md:20", "other.md#one--two"],
        ["page.md:20", "other.md#one-two"],
        ["page.md:20", "other.md#twice-1"],
    ]
