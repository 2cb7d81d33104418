"""The base of every parameter record: typed, frozen, closed, and able to say which modules its values name.

A record lies beside the code that it configures, in a module `*_params.py` that imports nothing heavy: the command line reads all of
them in a few milliseconds, and a changed default makes stale just the stages whose code reaches that module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseModel):
    """A frozen record; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


@dataclass(frozen=True)
class Seam:
    """Marks a field whose value names a module: `objective: Annotated[str, Seam("pipelines.objectives")]` takes `clip` for clip.py there.

    The stage's code digest starts from the named module too, so that editing one method leaves the others fresh.
    """

    package: str
    function: str = ""  # the seam's interface: only modules that define it at top level may be named

    def names(self) -> list[str]:
        """The modules one may name here."""
        folder = ROOT.joinpath(*self.package.split("."))
        modules = [path for path in folder.glob("*.py") if path.stem != "__init__" and not path.stem.endswith("_params")]
        return sorted(path.stem for path in modules if not self.function or f"\ndef {self.function}(" in path.read_text("utf-8"))

    def module(self, name: str) -> str:
        return f"{self.package}.{name}"

    def check(self, name: str) -> str:
        if name not in self.names():
            raise ValueError(f"no module {self.module(name)}; known: {', '.join(self.names())}")
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))


def seam_modules(record: BaseModel) -> Iterator[str]:
    """Every module that the values of `record` name, at any depth."""
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if isinstance(value, BaseModel):
            yield from seam_modules(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, BaseModel):
                    yield from seam_modules(item)
        elif isinstance(value, dict):
            for item in value.values():
                if isinstance(item, BaseModel):
                    yield from seam_modules(item)
        for mark in field.metadata:
            if isinstance(mark, Seam) and isinstance(value, str):
                yield mark.module(value)
