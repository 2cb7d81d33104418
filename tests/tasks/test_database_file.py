"""Databases that a tool migrates: none is ever found half-made, and no row of a user's is lost. The migration
here is a toy's.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks import database_file
from tasks.database_file import MLFLOW, PREFECT, Schema, ensure_current, state, user_tables
from tests.cases import case

HEAD = {schema.package: schema.head() for schema in (PREFECT, MLFLOW)}
SCHEMA = Schema("mlflow", MLFLOW.versions, frozenset({"alembic_version"}))


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM work ORDER BY name")]


def migrate(path: Path) -> None:
    """As alembic on sqlite: every statement is committed by itself."""
    execute(
        path,
        "PRAGMA journal_mode=WAL",
        "CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)",
        "CREATE TABLE IF NOT EXISTS work (name TEXT)",
        "DELETE FROM alembic_version",
        f"INSERT INTO alembic_version VALUES ('{HEAD['mlflow']}')",
    )


def half(path: Path, *more: str) -> Path:
    execute(path, "CREATE TABLE alembic_version (version_num TEXT)", "CREATE TABLE work (name TEXT)", *more)
    return path


def others(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if file not in (path, path.with_suffix(".lock")))


@pytest.mark.parametrize("schema", [PREFECT, MLFLOW], ids=lambda schema: schema.package)
def test_the_newest_revision_is_read_from_the_text_of_the_migrations(schema: Schema) -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    place = Path(database_file.importlib.util.find_spec(schema.package).origin).parent / schema.versions  # type: ignore[union-attr]
    config = Config()
    config.set_main_option("script_location", str(place.parent.parent if schema is PREFECT else place.parent))
    config.set_main_option("version_locations", str(place))
    assert [schema.head()] == ScriptDirectory.from_config(config).get_heads()


@pytest.mark.parametrize(("name", "schema"), [("prefect", PREFECT), ("mlflow", MLFLOW)])
def test_the_handed_ones_are_half_made_and_hold_nothing_of_a_users(name: str, schema: Schema) -> None:
    path = case(f"half_made_{name}.db")
    assert state(path, schema) == "behind"
    assert user_tables(path, schema) == []


def test_an_absent_one_is_made_aside_and_renamed(tmp_path: Path) -> None:
    path, seen = tmp_path / "a.db", []

    def watched(aside: Path) -> None:
        seen.append((aside.name, path.exists()))
        migrate(aside)

    assert ensure_current(path, SCHEMA, watched) == ""
    assert seen
    assert seen[0][0] != path.name
    assert not seen[0][1]
    assert state(path, SCHEMA) == "whole"
    assert ensure_current(path, SCHEMA, lambda aside: pytest.fail("it is whole")) == ""
    assert others(path) == []


HALF = {
    "an empty file": lambda path: path.write_bytes(b""),
    "no table but the revisions'": lambda path: execute(
        path, "CREATE TABLE alembic_version (version_num TEXT)"
    ),
    "no revision": half,
    "an early revision": lambda path: half(path, "INSERT INTO alembic_version VALUES ('abc')"),
    "a table half-way": lambda path: half(
        path,
        f"INSERT INTO alembic_version VALUES ('{HEAD['mlflow']}')",
        "CREATE TABLE _alembic_tmp_work (name TEXT)",
    ),
    "two revisions": lambda path: half(
        path,
        f"INSERT INTO alembic_version VALUES ('{HEAD['mlflow']}')",
        "INSERT INTO alembic_version VALUES ('abc')",
    ),
    "a write-ahead log": lambda path: half(
        path, "PRAGMA journal_mode=WAL", "INSERT INTO alembic_version VALUES ('abc')"
    ),
}


@pytest.mark.parametrize("kind", HALF)
def test_a_half_made_one_is_made_anew(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.db"
    HALF[kind](path)
    said = ensure_current(path, SCHEMA, migrate)
    assert "half-made" in said
    assert "nothing of yours was in it" in said
    assert state(path, SCHEMA) == "whole"
    assert others(path) == []


def test_rows_of_a_users_are_taken_over_and_the_old_file_is_kept(tmp_path: Path) -> None:
    path = half(
        tmp_path / "a.db", "INSERT INTO alembic_version VALUES ('abc')", "INSERT INTO work VALUES ('mine')"
    )
    before = path.read_bytes()
    said = ensure_current(path, SCHEMA, migrate)
    (kept,) = others(path)
    assert kept.name in said
    assert kept.read_bytes() == before
    assert rows(path) == ["mine"]
    assert state(path, SCHEMA) == "whole"


def test_rows_that_cannot_be_taken_over_are_kept_aside_by_name(tmp_path: Path) -> None:
    path = half(
        tmp_path / "a.db",
        "INSERT INTO work VALUES ('mine')",
        "PRAGMA journal_mode=WAL",
        "INSERT INTO work VALUES ('too')",
    )

    def fails_on_the_old(aside: Path) -> None:
        if aside.exists():
            raise RuntimeError("table _alembic_tmp_work already exists")
        migrate(aside)

    said = ensure_current(path, SCHEMA, fails_on_the_old)
    (kept,) = others(path)
    assert "already exists" in said
    assert kept.name in said
    assert rows(kept) == ["mine", "too"]
    assert rows(path) == []


def test_a_file_that_is_no_database_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database" * 500)
    said = ensure_current(path, SCHEMA, migrate)
    (kept,) = others(path)
    assert "cannot be read" in said
    assert kept.read_bytes() == b"no database" * 500
    assert state(path, SCHEMA) == "whole"


def test_a_locked_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = half(tmp_path / "a.db", "INSERT INTO work VALUES ('mine')")
    real = sqlite3.connect
    monkeypatch.setattr(
        database_file.sqlite3, "connect", lambda *words, **more: real(*words, **{**more, "timeout": 0.1})
    )
    with contextlib.closing(real(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            ensure_current(path, SCHEMA, migrate)
        holder.execute("ROLLBACK")
    assert rows(path) == ["mine"]


def test_a_migration_that_fails_leaves_nothing_behind_that_looks_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    def dies(aside: Path) -> None:
        half(aside)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        ensure_current(path, SCHEMA, dies)
    assert not path.exists()
    assert ensure_current(path, SCHEMA, migrate) == ""
    assert others(path) == []


def test_several_at_once_make_it_once(tmp_path: Path) -> None:
    path, made = tmp_path / "a.db", []

    def counted(aside: Path) -> None:
        made.append(aside)
        migrate(aside)

    threads = [threading.Thread(target=ensure_current, args=(path, SCHEMA, counted)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert state(path, SCHEMA) == "whole"


def test_mlflow_is_killed_while_it_makes_its_store(tmp_path: Path) -> None:
    """A real creation, killed at two moments; the next one leaves a store that works."""
    code = "import sys; from tasks.tracking import Tracking; sys.exit(Tracking(sys.argv[1]).start_flow() is None)"
    for size in (1, 200_000):
        making = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
        while making.poll() is None and not any(
            path.stat().st_size >= size for path in tmp_path.glob(".whetstone/mlflow.db.making-*[0-9]")
        ):
            time.sleep(0.001)
        making.kill()
        making.wait()
        assert not (tmp_path / ".whetstone/mlflow.db").exists()
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=120).returncode == 0
    assert state(tmp_path / ".whetstone/mlflow.db", MLFLOW) == "whole"
