"""`python -m flows.graph.intake NAME`, the command of the stages source@NAME: fetch a source where needed,
digest it, and write sources/NAME.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flows.graph import source_lock
from flows.graph.params import load
from flows.graph.params_file import ParamsError
from pipelines.quiet import quiet
from pipelines.sources.manifest import Manifest, SourceDamaged, SourceError
from pipelines.sources.places import exactly
from pipelines.sources.source_params import COMMIT, FOLDER, Kind, Source
from tasks.stage import NOTICE


def take_in(root: Path, name: str, offline: bool) -> str:
    """Write the manifest of the source called `name` in source.lock.json. Returns the lines to print; raises
    SourceError where the source cannot be had.
    """
    from pipelines.sources.places import commit_of

    lock = source_lock.read(root)
    if name not in lock["taken"]:
        raise SourceError(
            f"{source_lock.SOURCE_LOCK} holds no source {name}; `whetstone plan` brings it up to date"
        )
    entry: dict[str, Any] = lock["taken"][name]
    source = source_lock.source_of(entry)
    pin = lock["pins"].get(name)
    manifest = _taken(name, source, entry["kind"], offline, pin)
    manifest.write(root / FOLDER / f"{name}.json")
    size = sum(file.size for file in manifest.files.values())
    messages = [f"{manifest.shown}: {len(manifest.files)} files, {size / 1e6:.1f} MB"]
    if source.hub and not COMMIT.fullmatch(source.revision or ""):
        commit, branch = manifest.source["commit"], source.revision or "main"
        latest = None if offline or pin is None else commit_of(source.hub, branch, entry["kind"])
        messages.append(
            f"{source.hub} names no commit: {branch} is pinned to {commit} in {source_lock.SOURCE_LOCK}"
        )
        if latest is not None and latest != commit:
            messages.append(
                f"{NOTICE}{source.hub}: {branch} has moved to {latest} since; write revision: {latest} to "
                f"take that one"
            )
    return "\n".join(messages)


def _taken(name: str, source: Source, kind: Kind, offline: bool, pin: dict[str, Any] | None) -> Manifest:
    """Returns the manifest of a source. With a pin it holds just the pinned files, which must have the pinned
    bytes, of the pinned commit.
    """
    from pipelines.sources.opening import take

    if pin is None:
        return take(source, kind, offline)
    if source.hub:
        source = source.model_copy(update={"files": exactly(pin["files"])})
    manifest = take(source, kind, offline, pin.get("commit"))
    if pin.get("version") == manifest.source.get("version"):
        try:
            manifest.check(pin)
        except SourceDamaged as error:
            raise SourceError(
                f"{error}. This is damage, another build, or an attack; if you trust it, delete {name} from "
                f"the pins in "
                f"{source_lock.SOURCE_LOCK} and run again"
            ) from None
    return manifest


def main() -> int:
    try:
        execution = load(Path.cwd()).execution
        quiet(offline=execution.offline)
        print(take_in(Path.cwd(), sys.argv[1], execution.offline), flush=True)
    except (SourceError, ParamsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
