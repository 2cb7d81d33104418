"""What a page of docs/ asks its reader to do: the files that it shows, and the commands of its console
blocks.

A block with a title is a file: `yaml title="params.yaml"` is laid into params.yaml, `yaml title="dvc.yaml"`
goes behind it, a `diff` changes lines, all others are whole files. A block `console` has commands (`$ …`) and
lines of what they print, in which digits may differ and `…` stands for what is left out. A comment before a
block says how it is taken: `not run: WHY` (its commands are parsed only), `exit 2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    kind: str
    title: str | None
    body: str
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run")

    @property
    def code(self) -> int:
        """The exit code that its commands have."""
        return int(self.mark.removeprefix("exit ")) if self.mark.startswith("exit ") else 0

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """(command, lines that it prints) of a console block."""
        for part in re.split(r"^\$ ", self.body, flags=re.M)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            yield command, [line for line in lines if line.strip() and line.strip() != "…"]


def blocks(page: Path) -> list[Block]:
    return [
        Block(found["kind"], found["title"], found["body"], found["mark"] or "")
        for found in BLOCK.finditer(page.read_text("utf-8"))
    ]


def printed(line: str, output: str) -> bool:
    """Whether a line of a page stands in what a command printed, blanks, digits and what is left out
    aside.
    """
    words = [
        ".*".join(
            re.sub(r"(?:\\\.)?\d+(?:\\\.\d+)?", r"[\\d.]+", re.escape(part)) for part in word.split("…")
        )
        for word in line.split()
    ]
    return re.search(r"[^\S\n]+".join(words), output) is not None


def put(block: Block, folder: Path) -> None:
    """Do to a clone of the project what a titled block says."""
    path = folder / str(block.title)
    path.parent.mkdir(parents=True, exist_ok=True)
    if block.title == "params.yaml":
        path.write_text(
            yaml.safe_dump(
                laid(yaml.safe_load(path.read_text()), yaml.safe_load(block.body)), sort_keys=False
            )
        )
    elif block.title == "dvc.yaml":
        path.write_text(path.read_text() + "\n" + block.body)
    elif block.kind == "diff":
        text = path.read_text()
        removed, added = (
            "".join(line[1:] + "\n" for line in block.body.splitlines() if line[0] == sign) for sign in "-+"
        )
        assert text.count(removed) == 1, f"{block.title} does not hold what the page changes: {removed}"
        path.write_text(text.replace(removed, added))
    else:
        path.write_text(block.body)


def laid(below: Any, above: Any) -> Any:
    """`above` over `below`, mappings key by key."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: laid(below.get(key), value) for key, value in above.items()}}
