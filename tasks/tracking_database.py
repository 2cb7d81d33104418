"""MLflow's tables: brought to the newest revision in a file; made once where several first runs come to one
database at a time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

LOCK = 0x57686574  # "Whet": the key of the advisory lock
TRIES = 6
# What MLflow says when somebody who does not know the lock (a server that starts) makes the tables at this
# moment.
_RACES = (
    "already exists",
    "duplicate",
    "out-of-date",
    "deadlock",
    "does not exist",
    "unique",
    "undefinedtable",
)


def migrate(path: Path) -> None:
    """Bring the sqlite file to MLflow's newest revision; it may be absent."""
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri, exists = f"sqlite:///{path}", path.exists()
    if exists:
        engine = utils.create_sqlalchemy_engine(uri)
        utils._upgrade_db(engine)
        engine.dispose()
    else:
        # the artifacts of MLflow's own experiment `Default` lie beside the file too, not below whatever the
        # current folder is
        SqlAlchemyStore(uri, (path.parent / "mlflow_artifacts").as_uri()).engine.dispose()


def first(uri: str, patience_s: float, connect: Callable[[], Result]) -> Result:
    """`connect()`, which makes missing tables, while no other process does. Raises SQLAlchemyError when
    nothing answers.
    """
    with _alone(uri, patience_s):
        for attempt in range(TRIES):
            try:
                return connect()
            except Exception as error:
                if attempt + 1 == TRIES or not any(phrase in str(error).lower() for phrase in _RACES):
                    raise
                time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _alone(uri: str, patience_s: float) -> Iterator[None]:
    """Hold the database's own advisory lock, which dies with the connection; a database that knows none is
    left to the tries.
    """
    import sqlalchemy

    options: dict[str, Any] = (
        {"connect_timeout": max(1, round(patience_s))} if uri.startswith(("postgresql", "mysql")) else {}
    )
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool, connect_args=options)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({LOCK})"))
        elif engine.dialect.name == "mysql":
            connection.execute(sqlalchemy.text(f"SELECT GET_LOCK('whetstone-{LOCK}', 120)"))
        yield
