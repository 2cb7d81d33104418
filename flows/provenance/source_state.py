"""Past states of the project's files, read from git's commits and snapshots: folders of raw data and whole
source trees.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from flows.provenance.snapshot import NoGit, git
from tasks.content import folder_digest

SEARCHED = 50  # distinct past states of one folder that are looked at


def recorded_files(root: Path, path: str, digest: str) -> dict[str, str] | None:
    """Returns {relative path: md5} of the folder `path` in the newest commit where its DVC digest is
    `digest`; None without such a commit.

    For a single file it is {its name: md5}.
    """
    if path.startswith(("/", "../")):
        return None
    states: set[str] = set()
    hashes: dict[str, str] = {}
    for commit in git(root, "log", "--all", f"--max-count={4 * SEARCHED}", "--format=%H", "--", path).split():
        rows = [line for line in git(root, "ls-tree", "-r", "-z", commit, "--", path).split("\0") if line]
        state = "".join(rows)
        if not rows or state in states or len(states) >= SEARCHED:
            continue
        states.add(state)
        blobs = {line.partition("\t")[2]: line.split()[2] for line in rows}
        _hash_blobs(root, [blob for blob in blobs.values() if blob not in hashes], hashes)
        files = {name.removeprefix(path.rstrip("/") + "/"): hashes[blob] for name, blob in blobs.items()}
        if digest in (folder_digest(files), hashes[blobs[path]] if path in blobs else ""):
            return files
    return None


def _hash_blobs(root: Path, blobs: list[str], hashes: dict[str, str]) -> None:
    """Add the md5 of each git blob to `hashes`, all in one process."""
    if not blobs:
        return
    request = "".join(f"{blob}\n" for blob in blobs).encode()
    process = subprocess.run(
        ["git", "-C", str(root), "cat-file", "--batch"], input=request, capture_output=True, check=True
    )
    stream = io.BytesIO(process.stdout)
    for blob in blobs:
        size = int(stream.readline().split()[2])
        hashes[blob] = hashlib.md5(stream.read(size), usedforsecurity=False).hexdigest()
        stream.read(1)


def has_commit(root: Path, commit: str | None) -> bool:
    """Returns whether the repository still holds the commit."""
    if not commit:
        return False
    try:
        return git(root, "cat-file", "-t", commit) == "commit"
    except (subprocess.CalledProcessError, NoGit):
        return False


def extract(root: Path, commit: str, target: Path) -> None:
    """Write the project's files of `commit` below `target`."""
    target.mkdir(parents=True, exist_ok=True)
    process = subprocess.run(
        ["git", "-C", str(root), "archive", "--format=tar", commit], capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(process.stdout)) as archive:
        archive.extractall(target, filter="data")


def copy_current(root: Path, target: Path) -> None:
    """Copy the present files that git tracks or would track below `target`; without git, the source folders
    and settings.
    """
    try:
        names = [
            name
            for name in git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
            if name
        ]
    except NoGit:
        patterns = ("flows/**/*", "tasks/**/*", "pipelines/**/*", "*.yaml", "*.toml", "*.json", "raw/**/*")
        paths = [path.relative_to(root) for pattern in patterns for path in root.glob(pattern)]
        names = [path.as_posix() for path in paths if "__pycache__" not in path.parts]
    for name in names:
        source, copy = root / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
