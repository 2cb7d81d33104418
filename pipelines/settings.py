"""The base of every parameter record: typed, frozen, closed, and able to say which modules its values name.

A record lies beside the code that it configures, in a module `*_params.py` that imports nothing heavy: the command line reads all of
them in a few milliseconds, and a changed default makes stale just the stages whose code reaches that module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function, no_info_plain_validator_function

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseModel):
    """A frozen record; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Choice(Settings):
    """The value of a seam that has options: `kind` names the module, the other fields are that module's own.

    The options of `kind: clip_cov` are the record `ClipCovParams` in `clip_cov_params.py` beside it; a kind without options needs none,
    and may be written as the bare name.
    """

    kind: str


@dataclass(frozen=True)
class Seam:
    """Marks a field whose value names a module: `reward: Annotated[str, Seam("pipelines.rewards")]` takes `math` for math.py there, and
    `objective: Annotated[Choice, Seam("pipelines.objectives")]` takes `{kind: clip, low: 0.2}`.

    The stage's code digest starts from the named module too, so that editing one method leaves the others fresh.
    """

    package: str
    function: str = ""  # the seam's interface: only modules that define it at top level may be named
    record: type[Choice] = Choice  # of kinds without options

    def names(self) -> list[str]:
        """The modules one may name here."""
        folder = ROOT.joinpath(*self.package.split("."))
        modules = [path for path in folder.glob("*.py") if path.stem != "__init__" and not path.stem.endswith("_params")]
        return sorted(path.stem for path in modules if not self.function or f"\ndef {self.function}(" in path.read_text("utf-8"))

    def module(self, name: str) -> str:
        return f"{self.package}.{name}"

    def modules(self, value: str | Choice) -> list[str]:
        """The modules that a value names: its own, and that of its options."""
        name = value if isinstance(value, str) else value.kind
        options = [] if isinstance(value, str) or not self._has_options(name) else [f"{self.module(name)}_params"]
        return [self.module(name), *options]

    def check(self, name: str) -> str:
        if name not in self.names():
            raise ValueError(f"no module {self.module(name)}; known: {', '.join(self.names())}")
        return name

    def options(self, name: str) -> type[Choice]:
        """The record of a kind's options. Raises ValueError for an unknown kind."""
        if not self._has_options(self.check(name)):
            return self.record
        title = "".join(part.capitalize() for part in name.split("_"))
        found: type[Choice] = getattr(import_module(f"{self.module(name)}_params"), f"{title}Params")
        return found

    def choose(self, value: Any) -> Any:
        """`clip`, `{kind: clip, ...}` or a record -> the record of that kind's options."""
        if isinstance(value, Choice):
            value = value.model_dump()
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
            raise ValueError(f"a name or a mapping with `kind` is expected; known: {', '.join(self.names())}")
        return self.options(value["kind"]).model_validate(dict(value))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if isinstance(source, type) and issubclass(source, Choice):
            return no_info_plain_validator_function(self.choose)
        return no_info_after_validator_function(self.check, handler(source))

    def _has_options(self, name: str) -> bool:
        return ROOT.joinpath(*self.package.split("."), f"{name}_params.py").exists()


def seam_modules(record: BaseModel) -> Iterator[str]:
    """Every module that the values of `record` name, at any depth."""
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        members = value if isinstance(value, (list, tuple)) else value.values() if isinstance(value, dict) else [value]
        for item in members:
            if isinstance(item, BaseModel):
                yield from seam_modules(item)
        for mark in field.metadata:
            if isinstance(mark, Seam) and isinstance(value, (str, Choice)):
                yield from mark.modules(value)


def laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, mapping by mapping; a choice of another `kind` replaces the one below it whole."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and value.get("kind", None) in (None, below.get("kind")):
            value = laid_over(below, value)
        merged[key] = value
    return merged
