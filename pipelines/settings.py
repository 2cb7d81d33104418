"""The base of every parameter record: typed, frozen, closed, and able to say which modules its values name.

A record lies beside the code that it configures, in a module `options.py` or `*_params.py` that imports
nothing heavy: the command line reads all of them in a few milliseconds, and a changed default makes stale
just the stages whose code reaches that record (of `*_params.py`: that module).
"""

from __future__ import annotations

import ast
import inspect
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core.core_schema import (
    CoreSchema,
    no_info_after_validator_function,
    no_info_plain_validator_function,
)

from pipelines.seams import ROOT as ROOT
from pipelines.seams import module_of, path_of, paths

T = TypeVar("T")
OPTIONS = "options"  # a file of a seam's folder that holds the options of several choices
OWN = "own:"  # before the name of code of the user's own, among the modules that settings name
_CHECKED: list[bool] = []


def trust_names() -> None:
    """For a stage's process: its parameters were checked before they were pinned, and a module that it only
    hears of, as a corpus does of the rule for its answers, is none of its code and must not be read.
    """
    _CHECKED.append(True)


def names_are_checked() -> bool:
    return bool(_CHECKED)


class Settings(BaseModel):
    """A frozen record; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class TaggedChoice(Settings):
    """The value of a seam that has options: the field `tag` names the module, the other fields are that
    module's own.
    """

    tag: ClassVar[str] = "kind"
    suffix: ClassVar[str] = "Params"  # of the records' names
    model_is_run: ClassVar[bool] = False  # whether the option `model` names a run whose model a stage made

    @property
    def module_name(self) -> str:
        return str(getattr(self, self.tag))

    @property
    def asks_run(self) -> Any:
        """The choice, this one or one among its options, whose model a run makes; None without one."""
        return self if self.model_is_run else None

    @property
    def own_code(self) -> tuple[str, ...]:
        """Code of the user's own that it names: `my_rewards.py`, or `package.module`."""
        return ()


class Choice(TaggedChoice):
    """A choice by `kind`, which most seams have.

    The options of `kind: clip_cov` are the record `ClipCovParams` in `options.py` or `clip_cov_params.py`
    beside it; a kind without options needs none, and may be written as the bare name.
    """

    kind: str


@dataclass(frozen=True)
class Seam:
    """Marks a field whose value names a module: `reward: Annotated[str, Seam("pipelines.rewards")]` takes
    `math` for math.py there, and `objective: Annotated[Choice, Seam("pipelines.objectives")]` takes `{kind:
    clip, low: 0.2}`.

    The stage's code digest starts from the named module too, so that editing one method leaves the others
    fresh.
    """

    package: str
    # `check(text, answer, finished)`: only modules with a function of this name may be named, and it takes
    # these
    interface: str = ""
    record: type[TaggedChoice] = Choice  # of kinds without options
    by_path: str = ""  # the kind that a function by its path, `file.py:name`, is short for

    @property
    def function(self) -> str:
        """The name of the interface's function."""
        return self.interface.partition("(")[0]

    def names(self) -> list[str]:
        """The modules one may name here."""
        return sorted({path.stem for path in paths(self.package) if self._is_choice(path)})

    def __contains__(self, name: str) -> bool:
        """Whether `names` holds it, told without a look at the other modules: every plan asks this some two
        hundred times.
        """
        if not name.isidentifier() or len(name) > 100:
            return name in self.names()
        path = self._path(name)
        return path.is_file() and self._is_choice(path)

    def _is_choice(self, path: Path) -> bool:
        known = path.stem not in ("__init__", OPTIONS) and not path.stem.endswith("_params")
        return known and (not self.interface or self.function in _top_names(path))

    def module(self, name: str) -> str:
        return module_of(self.package, name)

    def modules(self, value: str | TaggedChoice) -> list[str]:
        """The modules that a value names: its own, that of its options, and the user's own code after OWN."""
        name = value if isinstance(value, str) else value.module_name
        place = self._options_of(name)
        own = () if isinstance(value, str) else value.own_code
        return [self.module(name), *([place[0]] if place else []), *(OWN + code for code in own)]

    def constant(self, name: str, constant: str, default: T) -> T:
        """The value of a constant at the top of the module `name`, by which a choice says what it needs or
        gives: read, not imported, as the command line needs no torch. `default` where there is none. Raises
        ValueError where it is no literal.
        """
        path = self._path(name)
        found = _top_constants(path).get(constant, default)
        if found is ...:
            raise ValueError(f"{path}: {constant} must be written out as a literal, such as ('critic',)")
        return found  # type: ignore[no-any-return]

    def check(self, name: str) -> str:
        """The name again. Raises ValueError where no module of this name has the function, or it takes other
        arguments.
        """
        if names_are_checked():
            return name
        if name not in self:
            reason = self._reason_against(name)
            raise ValueError(
                f"{reason or f'no module {self.module(name)}'}; known: {', '.join(self.names())}"
            )
        if self.interface and not self._takes(name):
            raise ValueError(f"{self._path(name)}: {self.function} cannot be called as {self.interface}")
        self._refuse_twins(name)
        return name

    def _refuse_twins(self, name: str) -> None:
        if len(twins := paths(self.package, name)) > 1:
            raise ValueError(f"{name} may be {' or '.join(map(str, twins))}: rename one of these files")

    def _takes(self, name: str) -> bool:
        """Whether the function can be called with the interface's arguments. A function that is defined there
        is read, not imported: the command line needs no torch.
        """
        wanted = self.interface.count(",") + 1
        found = _top_names(self._path(name))[self.function]
        if found is None:
            try:
                inspect.signature(getattr(import_module(self.module(name)), self.function)).bind(
                    *range(wanted)
                )
            except TypeError:
                return False
            return True
        least, most = found
        return least <= wanted <= most

    def _reason_against(self, name: str) -> str:
        """Why a file of this name is no choice; empty where there is no such file."""
        path = self._path(name)
        if not name.isidentifier() or not path.is_file():
            return ""
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, UnicodeDecodeError, ValueError) as error:
            return f"{path} cannot be read as Python ({error})"
        return f"no module {self.module(name)} with a function {self.interface}" if self.interface else ""

    def _path(self, name: str) -> Path:
        return path_of(self.package, name)

    def options(self, name: str) -> type[TaggedChoice]:
        """The record of a kind's options. Raises ValueError for an unknown kind."""
        place = self._options_of(self.check(name))
        if place is None:
            return self.record
        # a module may take a record of this name from elsewhere than `options.py`: then it has none here
        record: type[TaggedChoice] = getattr(import_module(place[1]), self._title(name), self.record)
        return record

    def choose(self, value: Any) -> Any:
        """`clip`, `{kind: clip, ...}` or a record -> the record of that kind's options."""
        tag = self.record.tag
        if isinstance(value, TaggedChoice):
            value = value.model_dump()
        if isinstance(value, str):
            value = {tag: self.by_path, "path": value} if self.by_path and ":" in value else {tag: value}
        if not isinstance(value, Mapping) or not isinstance(value.get(tag), str):
            raise ValueError(
                f"a name or a mapping with `{tag}` is expected; known: {', '.join(self.names())}"
            )
        return self.options(value[tag]).model_validate(dict(value))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if isinstance(source, type) and issubclass(source, TaggedChoice):
            return no_info_plain_validator_function(self.choose)
        return no_info_after_validator_function(self.check, handler(source))

    def _title(self, name: str) -> str:
        """The name of a kind's record of options."""
        return "".join(part.capitalize() for part in name.split("_")) + self.record.suffix

    def _options_of(self, name: str) -> tuple[str, str] | None:
        """(what the code digest names, the module) of a kind's options; None for a kind without any.

        They are in `<name>_params.py`, which counts as a module, or in `options.py`, where the kind's module
        takes its record from: it counts by itself. That module is read, and not `options.py`: a stage reads
        no file that its code digest does not hold.
        """
        path, module = self._path(name), self.module(name)
        if path.with_name(f"{name}_params.py").exists():
            return f"{module}_params", f"{module}_params"
        if path.with_name(f"{OPTIONS}.py").is_file() and self._title(name) in _top_names(path):
            shared = f"{module.rpartition('.')[0]}.{OPTIONS}"
            return f"{shared}.{self._title(name)}", shared
        return None


def _top_names(path: Path) -> dict[str, tuple[int, float] | None]:
    """Functions at the top level of a module -> how few and how many arguments they take by position; None
    for names that are assigned or imported, which only an import can tell. Empty for a file that is no
    Python.
    """
    stat = path.stat()
    return _read_names(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _read_names(path: Path, *_: int) -> dict[str, tuple[int, float] | None]:
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return {}
    found: dict[str, tuple[int, float] | None] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            taken = len(node.args.posonlyargs) + len(node.args.args)
            found[node.name] = (taken - len(node.args.defaults), math.inf if node.args.vararg else taken)
            if node.decorator_list or any(default is None for default in node.args.kw_defaults):
                found[node.name] = None
        elif isinstance(node, ast.ImportFrom):
            found |= dict.fromkeys(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= dict.fromkeys(target.id for target in targets if isinstance(target, ast.Name))
    return found


def _top_constants(path: Path) -> dict[str, Any]:
    """Names in capitals that are assigned at the top level of a module -> their values, ... for what is no
    literal. Empty for a file that is no Python.
    """
    stat = path.stat()
    return _read_constants(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _read_constants(path: Path, *_: int) -> dict[str, Any]:
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return {}
    constants: dict[str, Any] = {}
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Name) and target.id.isupper():
                try:
                    constants[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
                except ValueError:
                    constants[target.id] = ...
    return constants


# named by corpora and by rewards, which do not know each other
RULE = Seam("pipelines.rewards", "check(text, answer, finished)")
JUDGING = Seam("pipelines.rewards", "make_judge(options, context)")


@dataclass(frozen=True)
class JudgeSeam(Seam):
    """Names a rule (a module with `check`) or a judge with options or a model of its own (a module with
    `make_judge`).
    """

    def names(self) -> list[str]:
        return sorted({name for kind in (RULE, JUDGING) for name in kind.names()})

    def __contains__(self, name: str) -> bool:
        return any(name in kind for kind in (RULE, JUDGING))

    def check(self, name: str) -> str:
        if names_are_checked():
            return name
        kind = next((kind for kind in (RULE, JUDGING) if name in kind), None)
        return kind.check(name) if kind else super().check(name)


JUDGE = JudgeSeam("pipelines.rewards", by_path="function")


def seam_modules(record: BaseModel) -> Iterator[str]:
    """Every module that the values of `record` name, at any depth."""
    for name, field in type(record).model_fields.items():
        yield from _named(getattr(record, name), [*field.metadata, *_marks(field.annotation)])


def _named(value: Any, marks: Sequence[Any]) -> Iterator[str]:
    """The modules that a field's value names, or those of its members, which the same marks stand for."""
    if isinstance(value, (list, tuple, dict)):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _named(member, marks)
        return
    for mark in marks:
        if isinstance(mark, Seam) and isinstance(value, (str, TaggedChoice)):
            yield from mark.modules(value)
    if isinstance(value, BaseModel):
        yield from seam_modules(value)


def _marks(annotation: Any) -> Iterator[Any]:
    """What stands beside the types inside an annotation, as in `dict[str, Annotated[Source, READERS]]`."""
    if typing.get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for argument in typing.get_args(annotation):
        yield from _marks(argument)


# settings of which one is given: where `top` gives one, another that stands below it is none
ALTERNATIVES = (("architecture", "pretrained"), ("steps", "epochs"))


def is_options_of(below: Any, value: Any) -> bool:
    """Returns whether `value` holds options without a kind of the choice that `below` names by its name."""
    named = isinstance(below, str) and below.isidentifier()
    return named and isinstance(value, Mapping) and "kind" not in value


def laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, mapping by mapping; a choice of another `kind` replaces the one below it whole, and
    of `ALTERNATIVES` the one that `top` gives holds.
    """
    merged = dict(base)
    for group in ALTERNATIVES:
        if any(top.get(key) is not None for key in group):
            merged |= dict.fromkeys((key for key in group if key in base and key not in top), None)
    for key, value in top.items():
        below = merged.get(key)
        if is_options_of(below, value):
            below = {"kind": below}
        if (
            isinstance(value, Mapping)
            and isinstance(below, Mapping)
            and value.get("kind", None) in (None, below.get("kind"))
        ):
            value = laid_over(below, value)
        merged[key] = value
    return merged
