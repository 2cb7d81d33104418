"""Every citation of a method in code, tests, parameters, recipes and documentation leads to a section or an
item that is there.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.citations import anchors, books, problems, within

ROOT = Path(__file__).parents[2]
METHODS = ROOT / "docs" / "methods"
OWN = {"tests/docs/citations.py", "tests/docs/test_citations.py"}  # their examples are made up
BOOK = """# A book
## 1. First
1. one
2. two
### 1.1 Inner
| id | what |
|---|---|
| 7 | seven |
| U2 | open |
## 2. Second
- **C1** a claim
"""


def tracked() -> list[Path]:
    """Text files of the repository; those that are new and not yet added too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [
        ROOT / name
        for name in listed.stdout.decode().split("\0")
        if name and name not in OWN and (ROOT / name).is_file()
    ]


def test_every_citation_leads_somewhere():
    shelf, wrong = books(METHODS), list[str]()
    for file in tracked():
        data = file.read_bytes()
        if b"\0" in data:
            continue
        for line, text in problems(
            data.decode("utf-8", "replace"), shelf, file.suffix == ".md" or file.name == "mkdocs.yml"
        ):
            wrong.append(f"{file.relative_to(ROOT)}:{line}: {text}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("book", sorted(METHODS.glob("*.md")), ids=lambda file: file.stem)
def test_references_within_a_book_lead_somewhere(book):
    assert list(within(book.read_text(encoding="utf-8"))) == []


def test_what_a_citation_may_name():
    assert anchors(BOOK) == {"1", "1.1", "2", "1.2", "1.1.7", "1.1.U2", "U2", "2.C1"}


@pytest.mark.parametrize(
    "text",
    [
        "as in book.md 1.1",
        "book.md 1.1.7, 1.2 and 2.C1",
        "(book.md 1, 2 to 1.1; more)",
        "# book.md 1.1,\n# 1.2 and U2",
        "the whole of book.md",
        "README.md and log.md",
        "book.md 1.1: 5 of them",
        "book.md 1.1 has 300 rows",
    ],
)
def test_right_citations(text):
    assert list(problems(text, {"book": anchors(BOOK)})) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("book.md 3", "3"),
        ("book.md 1.9", "1.9"),
        ("book.md 1.1.8", "1.1.8"),
        ("book.md 1, 2 and 7.3", "7.3"),
        ("book.md 1.1,\n    # 4.4", "4.4"),
        ("book.md U3", "U3"),
        ("book.md 2.C2", "2.C2"),
        ("made_up.md 1.2", "made_up"),
        ("book.md section 1", "followed"),
        ("book.md 1, item 2", "followed"),
        ("book.md 1-2", "followed"),
        ("book.md 1.1–1.2", "followed"),
        ("book.md 1/2", "followed"),
        ("book.md 1.1; 1.2", "followed"),
        ("book.md (1.1)", "followed"),
        ("book.md: 1.1", "followed"),
        ("book.md #1", "followed"),
        ("reward_bridge 9.7", "which book"),
        ("methods/book.md 1", "path"),
        ("docs/methods/book.md 1", "path"),
        ("design §2", "names what"),
        ("(design section 5's table)", "names what"),
        ("design2.md 1", "names what"),
        ("identity 20", "which book"),
        ('"""1.1: as it says."""', "which book"),
    ],
)
def test_wrong_citations(text, named):
    found = [problem for _, problem in problems(text, {"book": anchors(BOOK)})]
    assert any(named in problem for problem in found), found


def test_a_path_is_for_links_in_markdown():
    assert (
        list(
            problems("[it](methods/book.md) and methods/book.md 1.1", {"book": anchors(BOOK)}, markdown=True)
        )
        == []
    )


def test_the_index_names_every_preset_and_modules_that_are_there():
    index = (METHODS / "index.md").read_text(encoding="utf-8")
    presets = set(yaml.safe_load((ROOT / "presets.yaml").read_text())["rl"]["presets"])
    assert presets == set(re.findall(r"^\| `(\w+)` \|", index.partition("## Other sections")[0], re.M))
    modules = set(
        re.findall(
            r"`((?:corpora|credit|evaluation|models|objectives|rewards|rollouts|training)/[\w/.]*)`", index
        )
    )
    assert len(modules) > 20
    assert [name for name in modules if not (ROOT / "pipelines" / name).exists()] == []


@pytest.mark.parametrize("book", sorted(METHODS.glob("*.md")), ids=lambda file: file.stem)
def test_files_that_a_book_names_are_there(book):
    text = book.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:pipelines|tasks|recipes|benchmarks|docs|tests)/[\w/.]+)`", text))
    assert [name for name in named if not (ROOT / name).exists()] == []
