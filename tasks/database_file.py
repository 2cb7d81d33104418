"""SQLite databases that a tool migrates step by step (Prefect's, MLflow's). They are made under another name
and renamed, so that no process finds a partial one.

Alembic commits each statement separately on SQLite. A process that is killed while it creates the tables
leaves a file whose next migration fails for ever ("table _alembic_tmp_… already exists"). Whether a file is
complete follows from its revision, without importing the tool.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_REVISION = re.compile(r"^(down_)?revision\s*(?::[^=]+)?=\s*(.+)$", re.MULTILINE)
_WORD = re.compile(r"[\"']([0-9a-zA-Z_]+)[\"']")


@dataclass(frozen=True)
class Schema:
    """The migrations of one tool: the folder `versions` in `package`. `bookkeeping`: the tables without
    users' rows.
    """

    package: str
    versions: str
    bookkeeping: frozenset[str]

    def head(self) -> str:
        """Returns the newest revision, read from the text of the migrations (10 ms; importing the tool takes
        seconds); "" when there is none.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            return ""
        revisions, superseded = set[str](), set[str]()
        for path in (Path(spec.origin).parent / self.versions).glob("*.py"):
            for down, value in _REVISION.findall(path.read_text("utf-8", "replace")):
                (superseded if down else revisions).update(_WORD.findall(value))
        heads = revisions - superseded
        return heads.pop() if len(heads) == 1 else ""


PREFECT = Schema(
    "prefect",
    "server/database/_migrations/versions/sqlite",
    frozenset(
        {
            "alembic_version",
            "block_type",
            "block_schema",
            "block_schema_reference",
            "configuration",
            "concurrency_limit_v2",
        }
    ),
)
MLFLOW = Schema(
    "mlflow",
    "store/db_migrations/versions",
    frozenset({"alembic_version", "experiments", "experiment_tags", "workspaces"}),
)


def state(path: Path, schema: Schema) -> str:
    """ "absent", "whole" (at the newest revision), or "behind": half-made, or made by an older release.
    Raises
    sqlite3.Error, OSError.
    """
    if not path.exists():
        return "absent"
    with _reading(path) as connection:
        tables = _tables(connection)
        rows = (
            connection.execute("SELECT version_num FROM alembic_version").fetchall()
            if "alembic_version" in tables
            else []
        )
    head = schema.head()
    at_head = [row[0] for row in rows] == [head] or (rows and not head)
    return "whole" if at_head and not any(name.startswith("_alembic_tmp_") for name in tables) else "behind"


def user_tables(path: Path, schema: Schema) -> list[str]:
    """Returns the tables with rows of users' work; an experiment besides MLflow's own `Default` counts."""
    with _reading(path) as connection:
        tables = _tables(connection)
        tables_with_rows = [
            name
            for name in tables
            if name not in schema.bookkeeping
            and not name.startswith("_alembic_tmp_")
            and connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()
        ]
        if (
            "experiments" in tables
            and connection.execute("SELECT 1 FROM experiments WHERE experiment_id != 0 LIMIT 1").fetchone()
        ):
            tables_with_rows.append("experiments")
    return tables_with_rows


def ensure_current(path: Path, schema: Schema, migrate: Callable[[Path], None]) -> str:
    """Ensure that the database at `path` exists and is at the newest revision: `migrate` brings a file under
    another name there, which then replaces it.

    A file without rows of the user's is created again. A file with such rows is migrated as a copy; where
    that fails, it is kept under another name and a new one is created. Returns what was done, for people; ""
    when the file was complete. Several processes may call it at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        for leftover in path.parent.glob(f"{path.name}.making-*"):  # of one that was killed
            leftover.unlink(missing_ok=True)
        aside = path.with_name(f"{path.name}.making-{os.getpid()}-{time.time_ns()}")
        backup = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            before = state(path, schema)
            if before == "whole":
                return ""
            message = _migrated(path, aside, backup, schema, migrate) if before == "behind" else ""
        except sqlite3.OperationalError:
            raise  # locked, or not to be opened: it may be a good one
        except sqlite3.DatabaseError as error:
            shutil.copyfile(path, backup)
            message = f"{path} cannot be read ({_words(error)}): it is kept as {backup.name} beside a new one"
        if not aside.exists():
            migrate(aside)
        _close(aside)
        _remove(path, only_journals=True)
        _durable(aside)
        os.replace(aside, path)
        _durable(path.parent)
        return message


def _migrated(path: Path, aside: Path, backup: Path, schema: Schema, migrate: Callable[[Path], None]) -> str:
    """Migrate a file that is behind, and return what was done. `aside` exists afterwards if its rows could be
    kept.
    """
    if not user_tables(path, schema):
        return (
            f"{path} was half-made (a server was killed while it created it) and is made anew; nothing of "
            f"yours was in it"
        )
    _close(path)
    shutil.copyfile(path, backup)
    shutil.copyfile(path, aside)
    try:
        migrate(aside)
    except Exception as error:  # noqa: BLE001  whatever the tool raises: its rows are kept, and runs go on with a new file
        _remove(aside)
        return f"{path} could not be migrated ({_words(error)}): it is kept as {backup.name} beside a new one"
    return f"{path} was of an older release and was migrated; the file as it was is {backup.name} beside it"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for creating a database; the kernel releases it when its holder dies."""
    from filelock import FileLock  # 25 ms, which stages without a database of their own do not need

    with FileLock(path.with_suffix(".lock"), fallback_to_soft=False):
        yield


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        yield connection


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }


def _close(path: Path) -> None:
    """Merge the write-ahead log into the file itself."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()


def _remove(path: Path, only_journals: bool = False) -> None:
    for suffix in ("-wal", "-shm", "-journal", *(() if only_journals else ("",))):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _words(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
