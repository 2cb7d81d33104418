"""The commands of docs/results are those of the scripts: file or module, options, recipes and targets are
there.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

SCRIPT = re.compile(r"(?:\S*/)?python (?:-m (benchmarks\.\w+)|(benchmarks/\w+\.py))(.*)")
FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = {
    "plan",
    "run",
    "use",
    "audit",
    "judge",
    "lineage",
    "show",
    "params",
    "chat",
    "sample",
    "serve-model",
    "export",
}


def commands(text: str) -> list[str]:
    lines = [line.partition(" #")[0].strip() for block in FENCED.findall(text) for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


def wrong(command: str) -> str | None:
    """What of a command is not there; None where all is."""
    if script := SCRIPT.fullmatch(command):
        path = ROOT / (script[1].replace(".", "/") + ".py" if script[1] else script[2])
        if not path.exists():
            return f"no {path.name}"
        unknown = [
            word
            for word in shlex.split(script[3])
            if word.startswith("--") and f'"{word}"' not in path.read_text()
        ]
        return f"{path.name} has no {unknown}" if unknown else None
    first, *rest = shlex.split(command)
    if first == "make":
        names = [word for word in rest if "=" not in word]
        recipes = [word.removeprefix("RECIPE=") for word in rest if word.startswith("RECIPE=")]
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return next((f"no target {name}" for name in names if name not in targets), None) or unknown_recipe(
            recipes
        )
    if first == "whetstone":
        return (
            unknown_recipe(rest[1:])
            if rest[0] == "use"
            else None
            if rest[0] in COMMANDS
            else f"no command {rest[0]}"
        )
    return "not a command of this project"


def unknown_recipe(names: list[str]) -> str | None:
    return next(
        (f"no recipe {name}" for name in names if not (ROOT / "recipes" / f"{name}.yaml").exists()), None
    )


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "results").glob("*.md")), ids=lambda page: page.stem)
def test_commands_are_there(page: Path) -> None:
    assert [found for command in commands(page.read_text()) if (found := wrong(command))] == []


@pytest.mark.parametrize(
    "command",
    [
        "python -m benchmarks.none",
        "python -m benchmarks.sandbox --fast",
        "make all",
        "make run RECIPE=none",
        "whetstone use none",
        "whetstone frobnicate",
        "rm x",
    ],
)
def test_what_is_not_there_is_found(command: str) -> None:
    assert wrong(command)
