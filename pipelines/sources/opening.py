"""Recording a source (digesting its files), and opening it again: with exactly the recorded bytes, or with an
error that names the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.sources import packages
from pipelines.sources.manifest import Manifest, SourceError, differences, digest
from pipelines.sources.places import Place, commit_of, exactly, find
from pipelines.sources.source_params import COMMIT, Kind, Reference, Source


@dataclass(frozen=True)
class OpenedSource:
    """A folder with just the digested files. `gguf`: the name of the .gguf file that holds the weights, if
    there is one.
    """

    folder: Path
    shown: str
    gguf: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `from_pretrained` besides the folder."""
        return {"local_files_only": True} | ({} if self.gguf is None else {"gguf_file": self.gguf})


Opener = Callable[[str | Source, Kind, str | None], AbstractContextManager[OpenedSource]]
"""(value, kind, revision) of a field marked `Outside` -> what it names, open."""


def take(source: Source, kind: Kind, offline: bool, commit: str | None = None) -> Manifest:
    """Find (or fetch) a source and digest the files that are used. Returns its manifest."""
    location = find(source, kind, offline, commit)
    files = {name: digest(location.folder / name) for name in location.names}
    for present in files.values():
        packages.check(source, present, location.folder)
    return Manifest(kind, location.facts, files)


@contextmanager
def opened(
    manifest: Manifest, offline: bool, say: Callable[[str], None] = lambda text: None
) -> Iterator[OpenedSource]:
    """Yields the source after comparing every byte with the manifest. Raises SourceError, which names the
    files that differ. `say` is told of a branch that has moved.
    """
    location = again(manifest, offline)
    if changes := differences(manifest, location.folder):
        shown = ", ".join(f"{name} {change}" for name, change in list(changes.items())[:8])
        raise SourceError(
            f"{manifest.shown}: {shown} since it was taken in ({location.folder}); {_way_out(manifest)}"
        )
    _tell_moved(manifest, offline, say)
    with _view(location.folder, tuple(manifest.files), manifest.shown, manifest.kind) as source:
        yield source


def again(manifest: Manifest, offline: bool) -> Place:
    """Returns the present place of a manifest's files."""
    facts = manifest.source
    fields = {key: facts[key] for key in ("path", "hub", "revision", "package", "file") if key in facts}
    files = {"files": exactly(manifest.files)} if "hub" in facts else {}
    source = Source(**fields, **files)  # type: ignore[arg-type]
    if "version" not in facts:
        return find(source, manifest.kind, offline, facts.get("commit"))
    pinned = source.model_copy(update={"version": facts["version"]})
    for asked in (pinned, source):  # another version may be installed, whose bytes are the same
        with suppress(SourceError):
            return find(asked, manifest.kind, offline=True)
    return find(pinned, manifest.kind, offline)


@contextmanager
def unrecorded(value: str | Source, kind: Kind, revision: str | None = None) -> Iterator[OpenedSource]:
    """Yields a source as it is on this machine, without a manifest."""
    source = Reference(value, kind, revision).source(Path())
    location = find(source, kind, offline=True)
    with _view(location.folder, location.names, source.shown, kind) as opened_source:
        yield opened_source


@contextmanager
def _view(folder: Path, names: tuple[str, ...], shown: str, kind: Kind) -> Iterator[OpenedSource]:
    """Yields a folder of links to the digested files, so that a library which looks for more files finds
    none.
    """
    gguf = [name for name in names if name.endswith(".gguf") and kind != "data"]
    if len(gguf) > 1 or (gguf and any(name.endswith(".safetensors") for name in names)):
        raise SourceError(
            f"{shown} holds more than one set of weights ({', '.join(gguf)}); name one .gguf file, or a "
            f"folder without any"
        )
    with tempfile.TemporaryDirectory(prefix="whetstone-source-") as view:
        for name in names:
            link = Path(view) / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((folder / name).resolve())
        yield OpenedSource(Path(view), shown, gguf[0] if gguf else None)


def _way_out(manifest: Manifest) -> str:
    if "hub" in manifest.source:
        return (
            "another content under the same id and commit is damage or an attack: delete it from the hub's "
            "cache and run again"
        )
    return (
        "put the old files back, or run `whetstone run`, which takes the new ones in and makes again what "
        "was made from them"
    )


def _tell_moved(manifest: Manifest, offline: bool, say: Callable[[str], None]) -> None:
    facts = manifest.source
    if "hub" not in facts or offline or COMMIT.fullmatch(facts["revision"]):
        return
    now = commit_of(facts["hub"], facts["revision"], manifest.kind)
    if now is not None and now != facts["commit"]:
        say(
            f"{facts['hub']}: {facts['revision']} has moved to {now}; this project stays with "
            f"{facts['commit']}, which it is pinned to. "
            f"Write revision: {now} to take the new one"
        )
