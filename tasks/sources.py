"""Opening a stage's outside sources, by the manifests that its code digest contains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.sources import manifest
from pipelines.sources.opening import OpenedSource, Opener, opened
from pipelines.sources.source_params import Kind, Reference, Source
from tasks import reads
from tasks.stage import Stage


def opener(stage: Stage) -> Opener:
    """Returns a function that opens the sources which the stage's parameters name; any other is an error, as
    for `Stage.input`.
    """

    notices: set[str] = set()

    def notice(text: str) -> None:
        if text not in notices:  # a source of two splits is opened twice
            notices.add(text)
            stage.notice(text)

    @contextmanager
    def open_source(value: str | Source, kind: Kind, revision: str | None = None) -> Iterator[OpenedSource]:
        recorded = manifest.read(stage.input(Reference(value, kind, revision).manifest))
        if location := recorded.source.get("path"):
            # `opened` compares every byte with the manifest, which is a declared input, and shows no other
            # file
            reads.allow(location)
        with opened(recorded, stage.execution.offline, notice) as source:
            yield source

    return open_source
