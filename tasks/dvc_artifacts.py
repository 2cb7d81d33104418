"""MLflow's access to the bytes of dvc://<digest>/<path>: they are read from DVC's cache, verified, and copied
to where MLflow asks.

pyproject.toml registers the class under the entry point group `mlflow.artifact_repository` with the scheme
`dvc`, so that `mlflow.artifacts.download_artifacts("models:/sft/3")` works. The project is WHETSTONE_ROOT, or
else the nearest one at or above the current directory.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, NoReturn

from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from tasks.content import dvc_cache, dvc_object, file_digest

SCHEME = "dvc://"


def project_root() -> Path:
    """Returns the folder with .dvc: WHETSTONE_ROOT, or the nearest one at or above the current directory.
    Raises FileNotFoundError.
    """
    configured = os.environ.get("WHETSTONE_ROOT")
    start = Path(configured) if configured else Path.cwd()
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise FileNotFoundError(f"no DVC project at or above {start}; set WHETSTONE_ROOT to the project's folder")


class DvcArtifactRepository(ArtifactRepository):
    """A read-only artifact repository: only DVC writes these bytes."""

    def __init__(self, artifact_uri: str, *arguments: Any, **options: Any):
        super().__init__(artifact_uri, *arguments, **options)
        self.digest, _, self.path = artifact_uri.removeprefix(SCHEME).partition("/")
        self.cache = dvc_cache(project_root())

    def _object(self, digest: str) -> Path:
        """Returns the path of a cache object after comparing its bytes with its name: DVC itself trusts
        read-only objects.
        """
        path = dvc_object(self.cache, digest)
        if not path.exists():
            raise FileNotFoundError(
                f"{digest} of {self.path} is not in DVC's cache; fetch it with `dvc fetch --all-commits "
                f"--run-cache`"
            )
        if file_digest(path) != digest.removesuffix(".dir"):
            raise OSError(
                f"{path} does not match its name: the cache object is corrupt; remove it and fetch it again "
                f"with `dvc fetch`"
            )
        return path

    def _files(self) -> dict[str, str]:
        """Returns {relative path: md5}; a single file is listed under its own name."""
        if not self.digest.endswith(".dir"):
            return {Path(self.path).name: self.digest}
        return {row["relpath"]: row["md5"] for row in json.loads(self._object(self.digest).read_bytes())}

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Returns files and folders directly below `path`; empty when `path` is a file, as MLflow expects."""
        prefix = f"{path.rstrip('/')}/" if path else ""
        entries: dict[str, FileInfo] = {}
        for name, md5 in self._files().items():
            if name.startswith(prefix):
                child, _, remainder = name.removeprefix(prefix).partition("/")
                size = (
                    None
                    if remainder
                    else dvc_object(self.cache, md5).stat().st_size
                    if dvc_object(self.cache, md5).exists()
                    else 0
                )
                entries[prefix + child] = FileInfo(prefix + child, bool(remainder), size)
        return [entries[name] for name in sorted(entries)]

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        """Copy a file. It is never a hard link, by which a writer could change the cache."""
        files = self._files()
        if remote_file_path not in files:
            raise FileNotFoundError(
                f"{self.artifact_uri} holds no {remote_file_path}; it holds {', '.join(sorted(files)[:8])}"
            )
        Path(local_path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._object(files[remote_file_path]), local_path)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> NoReturn:
        raise PermissionError(
            "artifacts under dvc:// are written by DVC only: let a stage of dvc.yaml make the file"
        )

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> NoReturn:
        self.log_artifact(local_dir, artifact_path)
