"""Measures of the house: how long its recipes and settings are, how large its files and functions, and how
many lines outside dvc.yaml say what dvc.yaml says.

    python benchmarks/house.py [COMMIT ...]      # the working tree where none is named

A line restates the graph where a string in `flows/` or `tasks/report_page` holds the name of a stage of that
commit's dvc.yaml as `NAME` or `NAME@…`, or a folder that its stages write with a name of a run in it
(`models/sft`); docstrings and comments do not count. Names that are also words of the code (`base`, `code`,
`report`, `source`) count as `NAME@…` only.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORDS = {"base", "code", "report", "source", "reference", "evaluate", "corpus"}
CODE = ("flows", "tasks", "pipelines")


def measures(root: Path) -> dict[str, object]:
    files = [path for room in CODE for path in (root / room).rglob("*.py")]
    trees = {path: ast.parse(path.read_text("utf-8")) for path in files}
    lengths = [
        node.end_lineno - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]
    imports = {path: len(set(_imported(tree))) for path, tree in trees.items()}
    widest = max(imports, key=lambda path: imports[path])
    recipes = {path.stem: _lines(path) for path in sorted((root / "recipes").glob("*.yaml"))}
    presets = root / "presets.yaml"
    return {
        "files": len(files),
        "lines": sum(_lines(path) for path in files),
        "longest file": max((_lines(path), str(path.relative_to(root))) for path in files),
        "functions, p90 of their lines": round(quantiles(lengths, n=10)[-1]),
        "imports of the widest module": (imports[widest], str(widest.relative_to(root))),
        "options modules (*_params.py)": sum(path.name.endswith("_params.py") for path in files),
        "params.yaml": _lines(root / "params.yaml"),
        "presets.yaml": _lines(presets) if presets.exists() else 0,
        "recipes": sum(recipes.values()),
        "nulls in recipes": sum(
            len(re.findall(r": (?:null|\{\}|\[\])", path.read_text("utf-8")))
            for path in (root / "recipes").glob("*.yaml")
        ),
        "stages (families) in dvc.yaml": len(_declared(root)),
        "lines that restate the graph": len(restated(root, trees)),
    }


def restated(root: Path, trees: dict[Path, ast.Module]) -> list[str]:
    """`file:line: string` of what says a stage's name or folder again."""
    names = set(_declared(root))
    told = re.compile(rf"(?:{'|'.join(sorted(names))})@|models/(?:{'|'.join(sorted(names))})\b")
    found = []
    for path, tree in trees.items():
        place = path.relative_to(root)
        if place.parts[0] != "flows" and place.parts[:2] != ("tasks", "report_page"):
            continue
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in prose:
                continue
            if node.value in names - WORDS or told.search(node.value):
                found.append(f"{place}:{node.lineno}: {node.value[:60]}")
    return sorted(set(found))


def _declared(root: Path) -> dict[str, object]:
    return yaml.safe_load((root / "dvc.yaml").read_text("utf-8"))["stages"]


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def main() -> None:
    commits = sys.argv[1:]
    found = {}
    for commit in commits or ["working tree"]:
        if commit == "working tree":
            found[commit] = measures(ROOT)
            continue
        with tempfile.TemporaryDirectory() as folder:
            archive = subprocess.run(
                ["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
            found[commit] = measures(Path(folder))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
