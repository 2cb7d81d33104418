"""A finished project in which anything may be changed and put back: files, links, entries of dvc.lock and of
the run cache, database rows.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.graph.stage_records import load_yaml, run_cache_name


def dump_yaml(value: Any) -> bytes:
    """The bytes of a YAML file as DVC would read them back."""
    stream = io.BytesIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.dump(value, stream)
    return stream.getvalue()


class Workbench:
    """`undo` puts back all that was changed through this object, times and links included."""

    def __init__(self, root: Path):
        self.root = root
        self._before: dict[Path, Callable[[], None]] = {}

    # -- files -----------------------------------------------------------------------------------------------

    def _remember(self, path: Path) -> None:
        if path in self._before:
            return
        if path.is_symlink():
            target = os.readlink(path)
            self._before[path] = lambda: os.symlink(target, path)
        elif path.is_file():
            found, data = path.stat(), path.read_bytes()

            def again() -> None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                path.chmod(stat.S_IMODE(found.st_mode))
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

            self._before[path] = again
        elif path.is_dir():
            aside = self.root.parent / "aside" / str(len(self._before))
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(path, aside, symlinks=True)
            self._before[path] = lambda: shutil.copytree(aside, path, symlinks=True) and None
        else:
            self._before[path] = lambda: None

    def undo(self) -> None:
        for path, again in reversed(list(self._before.items())):
            if path.name != "mlflow.db":
                _clear(path)
            again()
        self._before.clear()

    def write(self, path: str | Path, data: bytes, keep_times: bool = False) -> None:
        place = self.root / path
        self._remember(place)
        before = place.stat() if place.exists() else None
        _clear(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        if keep_times and before:
            os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, path: str | Path) -> None:
        self._remember(self.root / path)
        _clear(self.root / path)

    def link(self, path: str | Path, target: str | Path) -> None:
        self.remove(path)
        os.symlink(target, self.root / path)

    def replace(self, path: str | Path, source: str | Path) -> None:
        """Put a copy of another file or folder in place of `path`."""
        self.remove(path)
        source = self.root / source
        shutil.copytree(source, self.root / path) if source.is_dir() else shutil.copyfile(
            source, self.root / path
        )

    def touch(self, path: str | Path) -> None:
        self._remember(self.root / path)
        os.utime(self.root / path)

    def flip(self, path: str | Path) -> None:
        """Another last byte; size and time of change stay, as silent corruption leaves them."""
        data = (self.root / path).read_bytes()
        self.write(path, data[:-1] + bytes([data[-1] ^ 1]), keep_times=True)

    # -- records ---------------------------------------------------------------------------------------------

    def lock(self) -> dict[str, Any]:
        return load_yaml((self.root / "dvc.lock").read_bytes())

    def write_lock(self, value: dict[str, Any]) -> None:
        self.write("dvc.lock", dump_yaml(value))

    def edit_lock(self, stage: str, edit: Callable[[dict[str, Any]], Any]) -> None:
        value = self.lock()
        edit(value["stages"][stage])
        self.write_lock(value)

    def run_cache(self, row: dict[str, Any]) -> Path:
        key, value = run_cache_name(row)
        return self.root / ".dvc/cache/runs" / key[:2] / key / value

    def forge(self, stage: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Let dvc.lock and the run cache, under the right name, say `after` instead of `before`."""
        self.remove(self.run_cache(before))
        self.write(self.run_cache(after), dump_yaml(after))
        self.edit_lock(stage, lambda row: (row.clear(), row.update(after)))

    def edit_params(self, values: dict[str, Any]) -> None:
        """Set dotted keys in params.yaml."""
        text = load_yaml((self.root / "params.yaml").read_bytes())
        for key, value in values.items():
            *parents, last = key.split(".")
            target = text
            for part in parents:
                target = target[part]
            target[last] = value
        self.write("params.yaml", dump_yaml(text))

    def json(self, path: str) -> dict[str, Any]:
        return json.loads((self.root / path).read_bytes())

    def write_json(self, path: str, value: Any) -> None:
        self.write(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def object(self, digest: str) -> Path:
        return self.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]

    def sql(self, statement: str, *values: Any) -> None:
        """Change MLflow's database, of which MLflow keeps connections, so it is put back in place."""
        path = self.root / ".whetstone/mlflow.db"
        if path not in self._before:
            aside = sqlite3.connect(":memory:")
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.backup(aside)

            def again() -> None:
                with contextlib.closing(sqlite3.connect(path)) as connection, aside:
                    aside.backup(connection)

            self._before[path] = again
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            assert connection.execute(statement, values).rowcount == 1, statement

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.root / ".whetstone/mlflow.db")) as connection:
            return connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def without_registry(self) -> Iterator[None]:
        """Most tampers do not concern it, and asking it costs more than all the rest."""
        path = self.root / ".whetstone/mlflow.db"
        aside = path.with_suffix(".aside")
        present = path.exists()
        if present:
            os.replace(path, aside)
        try:
            yield
        finally:
            if present:
                os.replace(aside, path)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
