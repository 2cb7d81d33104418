"""The exact source state of a run, also of a dirty tree, as a commit under refs/pipeline/. Branch, index and
HEAD stay as they are.

Lineage must not depend on whether a user commits dvc.lock; `git log --all` finds these commits, and `git push
origin 'refs/pipeline/*'` carries them. It costs 10-25 ms, because a copy of the index keeps git's knowledge
of unchanged files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

REFS = "refs/pipeline"
# an untracked file above this size (bytes) is data, not source: git would keep a second copy of it for ever
LARGEST = 64 << 20
_NAME, _EMAIL = "whetstone", "whetstone@localhost"
_AUTHOR = {
    "GIT_AUTHOR_NAME": _NAME,
    "GIT_AUTHOR_EMAIL": _EMAIL,
    "GIT_COMMITTER_NAME": _NAME,
    "GIT_COMMITTER_EMAIL": _EMAIL,
}
# set by git when it calls a hook; they would point us elsewhere
_FROM_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


class NoGit(RuntimeError):
    """The project does not lie in a git repository, or git is not installed."""


@dataclass(frozen=True)
class Snapshot:
    """`commit`: the commit of HEAD, None before the first one. `dirty`: the tree differed from it.
    `snapshot`: the commit with the tree.

    `left_out`: untracked files that are too large to be source.
    """

    commit: str | None
    dirty: bool
    snapshot: str
    left_out: tuple[str, ...] = ()

    def as_git(self) -> dict[str, object]:
        """Returns the `git` part of lineage.json."""
        return {"commit": self.commit, "dirty": self.dirty, "snapshot": self.snapshot}


def git(root: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Returns the output of a git command. Raises NoGit without a repository, else CalledProcessError."""
    inherited = {name: value for name, value in os.environ.items() if name not in _FROM_HOOKS}
    command = ["git", "-C", str(root), *arguments]
    try:
        process = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**inherited, "LC_ALL": "C", **(environment or {})},
        )
    except FileNotFoundError:
        raise NoGit(
            "git is not installed; lineage then knows only dvc.lock and DVC's run cache. Install git and run "
            "`git init`"
        ) from None
    except subprocess.CalledProcessError as error:
        if "not a git repository" in error.stderr:
            raise NoGit(
                f"{root} is not in a git repository; run `git init` there, so that each run's source state "
                f"can be kept"
            ) from None
        if "dubious ownership" in error.stderr:
            raise NoGit(
                f"{root} belongs to another user; allow it with `git config --global --add safe.directory "
                f"{root}`"
            ) from None
        error.add_note(error.stderr.strip())
        raise
    return process.stdout.strip()


def head(root: Path) -> str | None:
    """Returns the commit that HEAD names, None before the first commit."""
    try:
        return git(root, "rev-parse", "-q", "--verify", "HEAD^{commit}")
    except subprocess.CalledProcessError:
        return None


def take(root: str | Path, run: str, message: str = "") -> Snapshot:
    """Store the whole tree (without ignored files) as a commit under refs/pipeline/<run>, or HEAD itself when
    the tree does not differ from it.

    `run` is the run's id; characters that git forbids in a ref become `-`. Raises NoGit when the project lies
    in no repository.
    """
    root = Path(root)
    current_index = Path(git(root, "rev-parse", "--path-format=absolute", "--git-path", "index"))
    commit = head(root)
    large = _large_untracked(root)
    with tempfile.TemporaryDirectory(prefix="whetstone-index-") as folder:
        index = Path(folder) / "index"
        if current_index.exists():
            shutil.copyfile(current_index, index)
        environment = {"GIT_INDEX_FILE": str(index), **_AUTHOR}
        _add_all(root, large, environment)
        tree = git(root, "write-tree", environment=environment)
        dirty = commit is None or git(root, "rev-parse", f"{commit}^{{tree}}") != tree
        snapshot = commit or ""
        if dirty:
            parent = ["-p", commit] if commit else []
            snapshot = git(
                root,
                "commit-tree",
                tree,
                *parent,
                "-m",
                message or f"whetstone run {run}",
                environment=environment,
            )
    git(root, "update-ref", f"{REFS}/{ref_name(run)}", snapshot)
    return Snapshot(commit, dirty, snapshot, large)


def _add_all(root: Path, left_out: tuple[str, ...], environment: dict[str, str], attempts: int = 3) -> None:
    """Add the tree below `root` to the index. git fails when a file vanishes meanwhile (an editor's, a
    stage's), so it is tried again.
    """
    for attempt in range(attempts):
        try:
            git(
                root,
                "add",
                "--all",
                "--",
                ".",
                *(f":(exclude,top,literal){path}" for path in left_out),
                environment=environment,
            )
            return
        except subprocess.CalledProcessError:
            if attempt + 1 == attempts:
                raise


def _large_untracked(root: Path) -> tuple[str, ...]:
    """Returns the untracked files above LARGEST that are not ignored, relative to the repository's top
    folder.
    """
    names = git(root, "ls-files", "--others", "--exclude-standard", "--full-name", "-z").split("\0")
    top = Path(git(root, "rev-parse", "--show-toplevel")) if any(names) else root
    return tuple(
        sorted(
            name
            for name in names
            if name and (top / name).is_file() and (top / name).stat().st_size > LARGEST
        )
    )


def ref_name(run: str) -> str:
    """Returns `run` as the last part of a ref. Raises ValueError where no letter or digit is left."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", run).strip("-")
    if not name:
        raise ValueError(f"the run id {run!r} holds no letter or digit to name a ref with")
    return name
