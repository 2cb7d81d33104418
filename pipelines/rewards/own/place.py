"""Where a reward function lies: `my_rewards.py:correct`, a file of the project, or
`package.module:function`.
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from pathlib import Path

from pipelines.seams import ROOT

FORMS = "my_rewards.py:correct or package.module:function is expected"


@dataclass(frozen=True)
class FunctionPlace:
    """`code`: a path relative to the project that ends with .py, or the dotted name of a module; `name`:
    of the function there.
    """

    code: str
    name: str

    @classmethod
    def of(cls, path: str) -> FunctionPlace:
        """Raises ValueError where `path` has neither form."""
        code, colon, name = path.rpartition(":")
        in_file = code.endswith(".py")
        parts = [name] if in_file else [name, *code.split(".")]
        if not colon or not code or not all(part.isidentifier() for part in parts):
            raise ValueError(f"{path!r} names no function: {FORMS}")
        if in_file and (Path(code).is_absolute() or ".." in Path(code).parts):
            raise ValueError(
                f"{code} lies outside of the project, whose results must not depend on files that it does "
                f"not hold: copy it into {ROOT}, and give its path from there"
            )
        return cls(code, name)

    @property
    def file(self) -> Path | None:
        """The file of a path; None for the name of a module."""
        return ROOT / self.code if self.code.endswith(".py") else None

    def check(self) -> None:
        """Raises ValueError where there is no such file, it is no Python, or nothing of this name is
        bound in it. A module is imported only by the process that calls the function.
        """
        file = self.file
        if file is None:
            return
        if not file.is_file():
            raise ValueError(f"there is no file {self.code} in {ROOT}")
        try:
            body = ast.parse(file.read_bytes(), str(file)).body
        except (SyntaxError, ValueError) as fault:
            raise ValueError(f"{self.code} cannot be read as Python: {fault}") from fault
        bound = _bound(body)
        if self.name not in bound and "*" not in bound:
            close = difflib.get_close_matches(self.name, bound, n=1) or sorted(bound)[:8]
            raise ValueError(f"{self.code} has no {self.name}; it has {', '.join(close) or 'nothing'}")


def is_path(text: str) -> bool:
    """Returns whether a text has one of the forms that name a function."""
    try:
        FunctionPlace.of(text)
    except ValueError:
        return False
    return True


def _bound(body: list[ast.stmt]) -> list[str]:
    """Returns the names that statements bind, also below conditions; * where another module's names are
    taken.
    """
    names: list[str] = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        else:
            names += [
                part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            ]
            for block in ("body", "orelse", "finalbody"):
                names += _bound(getattr(node, block, []))
    return names
