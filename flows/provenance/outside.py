"""Files that lie outside the project, of a Hugging Face id or an installed package, verified by the manifest
of their source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flows.graph.source_lock import NONE
from pipelines.sources.manifest import Digest, Manifest, SourceDamaged, SourceError, differences
from pipelines.sources.opening import again

__all__ = ["NONE", "OutsideFile", "files"]


class OutsideFile(NamedTuple):
    """One file. `status`: verified; recorded, where the bytes are not on this machine and would be fetched
    again; modified, with `problem`.
    """

    path: str
    digest: str
    status: str
    problem: str = ""


def files(recorded: Mapping[str, Any]) -> Iterator[OutsideFile]:
    """Yields every file of a recorded manifest. Its bytes are read where this machine has them."""
    digests = {name: Digest(**row) for name, row in recorded["files"].items()}
    manifest = Manifest(recorded["kind"], recorded["source"], digests)
    faults: dict[str, str] = {}
    status = "verified"
    try:
        faults = differences(manifest, again(manifest, offline=True).folder)
    except SourceDamaged as error:
        faults = {name: "is damaged" for name in digests if name in str(error)} or dict.fromkeys(
            digests, "is damaged"
        )
    except SourceError:
        status = "recorded"
    for name, digest in digests.items():
        fault = faults.get(name)
        problem = (
            f"{fault}; its bytes are not the recorded ones (sha256 {digest.sha256}): fetch or install it "
            f"again"
            if fault
            else ""
        )
        yield OutsideFile(
            f"{manifest.shown}/{name}", f"sha256:{digest.sha256}", "modified" if fault else status, problem
        )
