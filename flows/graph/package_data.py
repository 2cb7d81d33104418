"""Which files beside the modules count as code: those that a module names, by the file's name, its folder's,
or its suffix.

A file in a package folder that is named nowhere (notes, an editor's swap file, `.DS_Store`, a copy) makes
nothing stale. A stage that reads such a file is stopped by `tasks.reads`, so the file cannot be read
unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.code_files import PACKAGES

LEFT_OVERS = ("~", "#", ".swp", ".swo", ".swn", ".orig", ".rej", ".bak", ".tmp")


@dataclass(frozen=True)
class _File:
    """A file at or below a package folder that is not a module of it. `inner`: its path relative to that
    folder, with slashes.
    """

    inner: str
    path: str

    @property
    def name(self) -> str:
        return self.inner.rpartition("/")[2]

    def below(self, names: Iterable[str]) -> bool:
        """Returns whether one of the subfolders `names` holds the file."""
        folders = self.inner.split("/")[:-1]
        return any(
            "/".join(folders[start:end]) in names
            for end in range(1, len(folders) + 1)
            for start in range(end)
        )

    @property
    def left_over(self) -> bool:
        """Whether the file is a leftover of an editor, a merge or the system: it counts only when it is named
        in full.
        """
        return any(part.startswith((".", "#")) for part in self.inner.split("/")) or self.name.endswith(
            LEFT_OVERS
        )


class PackageData:
    """The non-module files of the packages below `root`. Each folder is listed once."""

    def __init__(self, root: Path):
        self.root = root
        self._files: dict[str, list[_File]] = {}
        self._at: dict[tuple[str, str], list[str]] = {}

    def named(self, folders: Mapping[str, Iterable[str]]) -> list[str]:
        """Returns paths (from the root, with slashes) of the files that count, sorted.

        `folders`: package folder (relative to the root) -> the words of the reached modules in it. A word is
        a string constant: `page.css` names that file in any of the folders, `script.py` in its own folder
        only; `prompts` or `prompts/` names all files in such a subfolder, `.jinja` or `*.jinja` the files
        with that suffix in the folder; `../x/page.css` and `tasks/x/page.css` name the file, or all files of
        the folder, at that path.
        """
        everywhere = {word for words in folders.values() for word in words}
        paths = set[str]()
        for folder, words in folders.items():
            own_words = {word.strip("/") for word in words}
            kinds = tuple(
                kind for word in own_words if len(kind := word.lstrip("*")) > 1 and kind.startswith(".")
            )
            for file in self._list(folder):
                script = file.name.endswith(".py")
                named = (
                    file.name in own_words
                    or (not script and file.name in everywhere)
                    or file.inner in own_words
                )
                of_kind = not script and bool(kinds) and file.name.endswith(kinds)
                if named or ((of_kind or file.below(own_words)) and not file.left_over):
                    paths.add(file.path)
            for word in own_words:
                if word.endswith(".py") or "/" in word:
                    paths.update(self._place(folder, word))
        return sorted(paths)

    def _list(self, folder: str) -> list[_File]:
        if folder not in self._files:
            self._files[folder] = list(_files(str(self.root), folder))
        return self._files[folder]

    def _place(self, folder: str, word: str) -> list[str]:
        """Returns the file, or the files of a folder that is not a package, at a path relative to the
        module's folder or to the project's.
        """
        if (folder, word) not in self._at:
            paths = self._at[folder, word] = []
            for path in {os.path.normpath(f"{base}/{word}") for base in (folder, ".")}:
                full_path = os.path.join(self.root, path)
                if path.partition("/")[0] not in PACKAGES:
                    continue
                if os.path.isfile(full_path):
                    paths.append(path)
                elif (
                    "/" in path
                    and os.path.isdir(full_path)
                    and not os.path.isfile(os.path.join(full_path, "__init__.py"))
                ):
                    paths.extend(file.path for file in _files(str(self.root), path) if not file.left_over)
        return self._at[folder, word]


def _files(root: str, folder: str) -> Iterator[_File]:
    """Yields the files in a package folder that are not its modules, also those in subfolders that are not
    packages.
    """
    top = os.path.join(root, folder)
    for parent, names, files in os.walk(top):
        names[:] = [
            name
            for name in names
            if name != "__pycache__" and not os.path.isfile(os.path.join(parent, name, "__init__.py"))
        ]
        for name in files:
            if not name.endswith((".pyc", ".pyo")) and not (parent == top and name.endswith(".py")):
                path = os.path.join(parent, name)
                yield _File(os.path.relpath(path, top), os.path.relpath(path, root))
