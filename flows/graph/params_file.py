"""Read params.yaml as DVC reads it, and write it back with its comments."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

PARAMS = "params.yaml"


class ParamsError(ValueError):
    """Every problem of a parameter file, one per line. Nothing has been computed."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


def read_text(path: Path) -> str:
    """Returns the file's text. Raises ParamsError when it is missing or not UTF-8."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        if path.is_symlink():
            raise ParamsError([f"{path}: a link to {os.readlink(path)}, which is not there"]) from None
        raise ParamsError([f"{path}: not found; a Whetstone project keeps its numbers there"]) from None
    except UnicodeDecodeError as error:
        raise ParamsError(
            [f"{path.name}: not UTF-8 text ({error}); bring it back with `git checkout {path.name}`"]
        ) from None
    except OSError as error:
        raise ParamsError([f"{path}: cannot be read: {error.strerror}"]) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the values as plain Python objects. The file is YAML 1.2, so `1e-5` is a number, as it is for
    DVC; a duplicate key is an error.
    """
    return parse(read_text(path), path.name)


def parse(text: str, name: str = PARAMS) -> dict[str, Any]:
    """Returns the values of a text that is, or would be, the file `name`. Raises ParamsError."""
    value = _loaded(YAML(typ="safe"), text, name)
    if not isinstance(value, dict):
        raise ParamsError([f"{name}: a mapping of sections is expected, found {type(value).__name__}"])
    return value


def _round_trip() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096  # never break a line that the user wrote
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def load_with_comments(path: Path) -> Any:
    """Returns the file's document with comments and order, for editing."""
    return document_of(read_text(path), path.name)


def document_of(text: str, name: str = PARAMS) -> Any:
    """Returns the document of a text with comments and order, for editing."""
    return _loaded(_round_trip(), text, name)


def plain(document: Any) -> Any:
    """Returns the values of an edited document, without comments and order."""
    return _loaded(YAML(typ="safe"), text_of(document), PARAMS)


def _loaded(yaml: YAML, text: str, name: str) -> Any:
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        where = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        if conflict := next(
            (number for number, line in enumerate(text.splitlines(), 1) if line.startswith("<<<<<<< ")), None
        ):
            raise ParamsError(
                [f"{name}:{conflict}: git's marks of a merge conflict; keep one side and delete the marks"]
            ) from None
        raise ParamsError([f"{name}{where}: not readable as YAML: {error.problem or error}"]) from None
    except (YAMLError, ValueError) as error:  # characters that YAML does not allow; a date that there is not
        # zeros where a power loss was
        hint = "" if name.startswith("-S") else f"; bring it back with `git checkout {name}`"
        raise ParamsError(
            [f"{name}: not readable as YAML: {' '.join(str(error).split())[:200]}{hint}"]
        ) from None
    except RecursionError:
        raise ParamsError([f"{name}: not readable as YAML: nested too deep"]) from None


def save_with_comments(path: Path, document: Any) -> None:
    """Replace the file atomically."""
    write_text(path, text_of(document))


def text_of(document: Any) -> str:
    """Returns the text of an edited document."""
    emptied = list(_emptied(document))
    for section in emptied:
        section.fa.set_flow_style()
    text = io.StringIO()
    _round_trip().dump(document, text)
    for section in emptied:  # line by line again once something is in it
        section.fa.set_block_style()
    return text.getvalue()


def _emptied(node: Any) -> Iterator[CommentedMap]:
    """Yields the sections that an edit has emptied: they are written as `{}` behind their keys, since ruamel
    puts it below a key's comment, where it is not valid YAML.
    """
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(child, CommentedMap) and not child and not child.fa.flow_style():
            yield child
        yield from _emptied(child)


def write_text(path: Path, text: str) -> None:
    """Replace the file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


def part_aliases(node: Any, visited: set[int] | None = None) -> None:
    """Replace every YAML alias (`*name`) by a copy, so that what is laid over one, or set in it, does not
    change the others.
    """
    visited = set() if visited is None else visited
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if not isinstance(value, (dict, list)):
            continue
        if id(value) in visited:
            node[key] = _copied(value)
        else:
            visited.add(id(value))
            part_aliases(value, visited)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return CommentedMap((key, _copied(item)) for key, item in value.items())
    return [_copied(item) for item in value] if isinstance(value, list) else value


def set_value(document: Any, dotted: str, text: str) -> None:
    """Set `rl.common.optimiser.learning_rate` to `1e-4`, parsed as YAML. A new key, and the mappings that
    contain it, may be created below an existing section; the check of the file comes later.
    """
    part_aliases(document)
    *parents, last = dotted.split(".")
    if not all((*parents, last)):
        raise ParamsError([f"-S {dotted}={text}: KEY=VALUE is expected, for example -S sft.common.steps=500"])
    for depth, part in enumerate(parents):
        if not depth and part not in document:
            raise ParamsError([f"-S {dotted}: there is no section {part} in {PARAMS}"])
        if document.get(part) is None:
            document[part] = {}
        document = document[part]
        if not isinstance(document, dict):
            raise ParamsError([f"-S {dotted}: {'.'.join(parents[: depth + 1])} is a value, not a section"])
    value = _loaded(YAML(typ="safe"), text, f"-S {dotted}")
    _check_plain(value, f"-S {dotted}")
    document[last] = value


def _check_plain(value: Any, name: str, above: tuple[int, ...] = ()) -> None:
    """Raises ParamsError for values that params.yaml must not hold: anchors and tags of YAML also make dates,
    sets, bytes and cyclic values.
    """
    if id(value) in above:
        raise ParamsError([f"{name}: a value that holds itself"])
    for item in [*value, *value.values()] if type(value) is dict else value if type(value) is list else ():
        _check_plain(item, name, (*above, id(value)))
    if value is not None and type(value) not in (dict, list, str, int, float, bool):
        raise ParamsError(
            [
                f"{name}: a number, text, true, false, null, list or mapping is expected, found "
                f"{type(value).__name__}"
            ]
        )
