"""No output of a stage may be used as an outside source, whether by its path, by a name that looks like one,
or through a link.

The stage would not wait for the maker of its source, and the result would depend on what happens to be there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.graph import source_lock
from flows.graph.dvc_api import CODE_STAGE
from flows.graph.params import Params
from flows.graph.params_file import PARAMS, ParamsError
from pipelines.sources.source_params import Source


def check(root: Path, params: Params, stages: Iterable[Any]) -> None:
    """Raises ParamsError where params.yaml names such a path as a source, or where an input of a stage is, or
    holds, a link to one.
    """
    real = os.path.realpath(root)

    def settled(path: str) -> str:
        return os.path.normpath(os.path.join(real, os.path.relpath(path, root)))

    stages = [stage for stage in stages if stage.addressing != CODE_STAGE]
    makers = {
        settled(out.fs_path): stage.addressing
        for stage in stages
        for out in stage.outs
        if not stage.addressing.endswith(".dvc")
    }
    _check_sources(root, params, {path.removeprefix(real + os.sep): name for path, name in makers.items()})
    inputs = {
        settled(dep.fs_path): stage.addressing
        for stage in stages
        for dep in stage.deps
        if getattr(dep, "fs_path", "")
    }
    for path, reader in inputs.items():
        for link, target in _links(path) if not _maker(makers, path) else ():
            if name := _maker(makers, target):
                raise ParamsError(
                    [
                        f"{os.path.relpath(link, real)}, an input of {reader}, is a link to "
                        f"{os.path.relpath(target, real)}, which the "
                        f"stage {name} makes: it would not be waited for. Put a copy of the files there"
                    ]
                )


def _check_sources(root: Path, params: Params, makers: Mapping[str, str]) -> None:
    for reference in source_lock.all_references(params):
        text = reference.value.path if isinstance(reference.value, Source) else reference.value
        if not text or reference.revision is not None:
            continue
        if name := _maker(
            makers,
            os.path.normpath(os.path.relpath(os.path.join(root, source_lock.dvc_path(root, text)), root)),
        ):
            raise ParamsError(
                [
                    f"{PARAMS}: {text} is made by the stage {name} and cannot be taken from outside too. "
                    f"Name the model where a "
                    "stage's model can be named (start, origin), or copy the folder to a place of its own"
                ]
            )
        top = text.partition("/")[0]
        # a misspelt path must not be fetched from strangers
        if reference.source(root).hub and any(_inside(out, top) for out in makers):
            raise ParamsError(
                [
                    f"{PARAMS}: {text} is not there, and no stage makes it; below {top}/ stages put what "
                    f"they make. "
                    f"Where a Hugging Face id is meant, write {{hub: {text}}}"
                ]
            )


def _maker(makers: Mapping[str, str], path: str) -> str | None:
    """Returns the stage that makes `path`, something below it, or a folder that contains it; None without
    one.
    """
    if path == os.curdir:
        return next(iter(makers.values()), None)
    return next((name for out, name in makers.items() if _inside(path, out) or _inside(out, path)), None)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}{os.sep}")


def _links(path: str) -> Iterator[tuple[str, str]]:
    """Yields (link, each place that it leads through) for a file or folder that is reached by links, and for
    the links inside the folder.
    """
    inside = [
        os.path.join(parent, name) for parent, folders, names in os.walk(path) for name in (*folders, *names)
    ]
    for link in [path, *(entry for entry in inside if os.path.islink(entry))]:
        location = link
        for _ in range(40):  # as many as the kernel follows
            location = os.path.join(os.path.realpath(os.path.dirname(location)), os.path.basename(location))
            if location != link:
                yield link, location
            if not os.path.islink(location):
                break
            location = os.path.join(os.path.dirname(location), os.readlink(location))
