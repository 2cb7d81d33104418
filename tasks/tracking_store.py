"""Where MLflow writes: an absolute sqlite file by default, opened only after a probe that tells in bounded time why it cannot be used.

MLflow itself retries a store that it cannot open for more than a minute, creates missing files silently, and keeps writing to a file that
was deleted under it. The probe finds each of these before MLflow does.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tasks.tracking_records import public

# A server that is gone is found out in seconds instead of minutes, and nothing calls home. Users' own settings win.
_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_DISABLE_TELEMETRY": "true"}


class StoreGone(OSError):
    """The store's file was removed or replaced after this process opened it."""


class Store:
    """One tracking store. `uri` None: `<root>/.whetstone/mlflow.db`. `patience_s` bounds the wait for a locked sqlite file."""

    def __init__(self, root: Path, uri: str | None, patience_s: float):
        self.root = root
        self.uri = uri or f"sqlite:///{root}/.whetstone/mlflow.db"
        self.patience_s = patience_s
        self._client: Any = None
        self._inode: int | None = None
        self._experiments: dict[str, str] = {}

    @property
    def file(self) -> Path | None:
        """The sqlite file, absolute; None for other stores."""
        head = "sqlite:///"
        return Path(unquote(self.uri[len(head) :].partition("?")[0])).absolute() if self.uri.startswith(head) else None

    @property
    def shown(self) -> str:
        """The store's name without a password."""
        return str(self.file or public({"uri": self.uri})["uri"])

    @property
    def exists(self) -> bool:
        """Whether there is something to read; a server is taken to exist, and so is a file that this process has opened."""
        return self.file is None or self._client is not None or self.file.exists()

    def check(self) -> None:
        """Raise at once (or after `patience_s` when locked) if the sqlite store cannot be written: OSError or sqlite3.Error."""
        if self.file is None:
            return
        if self._client is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        elif not self.file.exists() or self.file.stat().st_ino != self._inode:
            raise StoreGone("the file was removed or replaced during the run")
        with contextlib.closing(sqlite3.connect(self.file, timeout=self.patience_s, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("ROLLBACK")

    def client(self) -> Any:
        """The low-level MLflow client; the first call creates the tables (about a second)."""
        if self._client is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            for name in ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool"):
                logging.getLogger(name).setLevel(logging.ERROR)  # what matters in it is said by the one warning
            from mlflow.tracking import MlflowClient

            with self._creating():
                client = MlflowClient(self.uri, self.uri)
                client.search_experiments(max_results=1)
            self._client = client
            self._inode = self.file.stat().st_ino if self.file else None
        return self._client

    @contextlib.contextmanager
    def _creating(self) -> Iterator[None]:
        """Two processes that create the tables at once would break each other's migration."""
        if self.file is None:
            yield
            return
        with open(self.file.with_suffix(".lock"), "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def experiment(self, name: str) -> str:
        """The id of the experiment, which is made on first use; artifacts of a local store lie beside it, at an absolute place."""
        if name not in self._experiments:
            client = self.client()
            found = client.get_experiment_by_name(name)
            place = (self.file.parent / "mlflow_artifacts").as_uri() if self.file else None
            self._experiments[name] = found.experiment_id if found else client.create_experiment(name, artifact_location=place)
        return self._experiments[name]

    def may_have_running(self) -> bool:
        """Whether runs may be marked RUNNING; a read of the sqlite file decides in a millisecond, without MLflow."""
        if self.file is None:
            return True
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=self.patience_s)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "runs" not in tables:
                return False
            return connection.execute("SELECT 1 FROM runs WHERE status = 'RUNNING' LIMIT 1").fetchone() is not None

    def failures(self) -> tuple[type[BaseException], ...]:
        """What a store out of order raises. Programming errors are not in it and stay loud."""
        kinds: list[type[BaseException]] = [OSError, sqlite3.Error, ImportError]
        with contextlib.suppress(ImportError):
            from alembic.util import CommandError
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            kinds += [MlflowException, SQLAlchemyError, CommandError]
        return tuple(kinds)

    def remedy(self, error: BaseException) -> str:
        """What a person does about `error`."""
        text = str(error).lower()
        if isinstance(error, ImportError):
            return "install mlflow (make sets it up from requirements.lock)"
        if self.file is None:
            return f"start the server at {self.shown} or unset MLFLOW_TRACKING_URI"
        if "locked" in text:
            return "end the process that holds the file (another writer or a database browser)"
        if isinstance(error, StoreGone):
            return "nothing to do, the next run makes a new store; restore the file from a copy if its history matters"
        if "malformed" in text or "not a database" in text:
            return f"move the broken file away (mv {self.file} {self.file}.broken); the next run makes a new one"
        return f"make {self.file.parent} a folder that can be written and has free space, or set MLFLOW_TRACKING_URI to another store"
