"""What `whetstone doctor` says of the input files that settings name: the user's, and public data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.configured_run import Finding
from flows.public.bring import Want
from flows.public.catalogue import FOLDER, described


def examine(root: Path) -> Iterator[Finding]:
    """Yields whether the user's input files that settings name are there."""
    from flows.graph.families import NONE
    from flows.graph.fill import filled
    from flows.graph.params_file import PARAMS, ParamsError, read_yaml
    from flows.graph.references import Graph

    try:
        graph = Graph(filled(read_yaml(root / PARAMS), root), root)
    except ParamsError:
        return
    sets = {f"{FOLDER}/{want.name}": want for want in _public(root, graph.raw)}
    for stage in graph.stages:
        for read in stage.inputs:
            if read.setting and read.value != NONE and not graph.makers_of(read.path):
                subject = f"raw data of {stage.member}"
                if want := sets.get("/".join(read.path.split("/")[:2])):
                    yield _public_finding(subject, read.path, want)
                    continue
                yield Finding(
                    subject,
                    (root / read.path).exists(),
                    read.path,
                    f"put the data there, or say where it lies: whetstone plan -S {read.key}=PATH",
                )


def _public(root: Path, raw: Any) -> list[Want]:
    from flows.graph.params_file import ParamsError
    from flows.public.wanted import wants

    try:
        return wants(root, raw)
    except ParamsError:
        return []  # the plan says it


def _public_finding(subject: str, path: str, want: Want) -> Finding:
    """Returns whether a stage's public set is here and the published one, or can be had at once."""
    if faults := want.faults:
        return Finding(subject, False, "; ".join(faults), f"rm -r {FOLDER}/{want.name}")
    if want.lacks:
        return Finding(subject, False, want.sentence, want.remedy, needed=not want.obtainable)
    return Finding(subject, True, f"{path}: {described(want.entry)}")
