"""MLflow's tables: migrating them in a file to the newest revision, and creating them once where several
first runs use one database server.
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
    """Bring the sqlite file to MLflow's newest revision; it may be missing."""
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
    """Returns what `connect()` returns, which creates missing tables, while no other process does. Raises
    SQLAlchemyError when the server does not answer.
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
    """Hold the database's own advisory lock, which ends with the connection. For a database without such
    locks, only the retries help.
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
