"""What the pages say to do works: in a clone of the repository their files are written, their commands run,
and print what the pages show.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from flows.cli import app
from pipelines.settings import JUDGING, RULE
from pipelines.training.loop_params import CREDIT, MASK, OBJECTIVE, SAMPLER
from tests import clone
from tests.docs.markdown import ROOT
from tests.docs.pages import Block, blocks, printed, put
from tests.docs.test_commands import commands, wrong
from tests.flows import toy
from tests.flows.prefect_api import served

FOLLOWED = [
    "first-run",
    "add/objective",
    "add/reward",
    "add/reader",
    "add/stage",
    "staleness",
    "lineage",
    "elsewhere",
    "troubleshooting",
    "architecture",
    "own-data",
    "own-model",
    "after-training",
    "compare",
    "tracking",
    "python",
]
PAGES = [
    path.relative_to(ROOT / "docs").with_suffix("").as_posix()
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/add").glob("*.md")]
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, api: str, learning_python: str) -> toy.Project:
    """A clone with the recipe `quick` and tiny settings, in which SFT and GRPO have run; its runs share one
    Prefect server.
    """
    made = clone.make(tmp_path_factory.mktemp("pages") / "project", python=learning_python)
    made.env["PREFECT_API_URL"] = api
    assert made.call("use", "quick").returncode == 0
    for key, value in clone.TINY.items():
        made.set(key, value)
    made.run("rl@grpo")
    return made


def parsed(command: str) -> None:
    """Raises where the command line knows no such command, option or argument."""
    program, *words = shlex.split(command, comments=True)
    if program == "dvc":
        return
    if program != "whetstone":
        assert wrong(command) is None
        return
    known = typer.main.get_command(app)
    name, found, rest = known.resolve_command(typer.Context(known), words)  # type: ignore[attr-defined]
    found.make_context(name, rest)


def follow(block: Block, project: toy.Project) -> None:
    for command, lines in block.commands():
        parsed(command)
        program, *words = shlex.split(command)
        if not block.runs or program != "whetstone":
            continue
        done = project.call(*words)
        output = done.stdout + done.stderr
        assert done.returncode == block.code, f"{command}\n{output}"
        assert [line for line in lines if not printed(line, output)] == [], f"{command}\n{output}"


def test_the_python_that_a_page_shows_works(project: toy.Project) -> None:
    (block,) = (block for block in blocks(ROOT / "docs/python.md") if block.title)
    put(block, project.folder)
    done = project.python_call("-c", f"import runpy; runpy.run_path({block.title!r})")
    assert done.returncode == 0, done.stderr
    assert "rl@grpo" in done.stdout


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_a_page_says_works(name: str, project: toy.Project) -> None:
    before = {
        file: file.read_text() for file in (project.folder / "params.yaml", project.folder / "dvc.yaml")
    }
    for block in blocks(ROOT / "docs" / f"{name}.md"):
        if block.title:
            put(block, project.folder)
        elif block.kind == "console":
            follow(block, project)
    for file, text in before.items():  # pages do not build on one another
        file.write_text(text)


def test_what_the_readme_says_is_there(project: toy.Project) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    (recipe,) = (block for block in blocks(ROOT / "README.md") if block.title)
    assert len(recipe.body.splitlines()) <= 10
    put(recipe, project.folder)
    shown = project.call("use", "shop", "--show")
    assert shown.returncode == 0, shown.stderr
    assert [command for command in commands(text) if command.startswith("make") and wrong(command)] == []


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}.md" for name in PAGES)])
def test_commands_in_sentences_and_snippets_are_right(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for command in re.findall(r"`(whetstone [^`]*)`", text):
        parsed(re.sub(r" \[.*| --?\w?…", "", command))
    for block in blocks(ROOT / page):
        if block.kind == "yaml":
            yaml.safe_load(block.body)
        elif block.kind == "console":
            for command, _ in block.commands():
                parsed(command)


@pytest.mark.parametrize("name", PAGES)
def test_files_that_a_page_names_are_there(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    shown = {block.title for block in blocks(ROOT / "docs" / f"{name}.md")}
    named = set(re.findall(r"`((?:pipelines|tasks|flows|tests|benchmarks)/[\w/.]+)`", text))
    assert [path for path in named - shown if "NAME" not in path and not (ROOT / path).exists()] == []


def test_the_drawing_and_the_table_of_seams_say_what_the_code_says() -> None:
    drawn = set(re.findall(r"([a-z]+/[a-z_/]+\.py)", (ROOT / "docs/architecture.svg").read_text("utf-8")))
    assert len(drawn) > 8
    assert [path for path in drawn if not (ROOT / "pipelines" / path).exists()] == []
    table = (ROOT / "docs/architecture.md").read_text("utf-8")
    assert [
        seam.package
        for seam in (SAMPLER, CREDIT, MASK, OBJECTIVE, RULE, JUDGING)
        if f"`{seam.interface}`" not in table
    ] == []


def test_no_page_is_left_out() -> None:
    assert set(PAGES) - {"how-to", "index", "parameters"} == set(FOLLOWED)


@pytest.mark.parametrize(
    "command", ["whetstone frob", "whetstone plan --frob", "whetstone lineage", "make frob"]
)
def test_a_command_that_is_not_there_is_found(command: str) -> None:
    with pytest.raises(
        (AssertionError, typer._click.exceptions.UsageError) if hasattr(typer, "_click") else BaseException
    ):
        parsed(command)


def test_what_is_shown_must_be_printed() -> None:
    assert printed("sft   done  18.9 s", "x\n✓ sft done   3 s\n")
    assert printed("a … z 1", "a b c z 12\n")
    assert not printed("a z", "a b z\n")
    assert not printed("a z", "a\nz\n")


def test_blocks_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '<!-- exit 2 -->\n```console\n$ a b\nout\n…\n$ c\n```\n\n```python title="x/y.py"\nz = 1\n```\n'
    )
    first, second = blocks(page)
    assert (list(first.commands()), first.code, first.runs) == ([("a b", ["out"]), ("c", [])], 2, True)
    put(second, tmp_path)
    assert (tmp_path / "x/y.py").read_text() == "z = 1\n"
