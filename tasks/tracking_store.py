"""The store that MLflow writes to: by default a sqlite file, opened only after a probe that finds in bounded
time why it cannot be used.

MLflow itself retries a store that it cannot open for more than a minute, creates missing files silently, and
keeps writing to a file that was deleted under it. The probe finds each of these before MLflow does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tasks import tracking_database, tracking_names
from tasks.database_file import MLFLOW, ensure_current, locked, state, user_tables
from tasks.tracking_records import public

# A server that is gone is found out in seconds instead of minutes, and nothing calls home. Users' own
# settings win.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for people, or JSON
}
_KIND = "mlflow.experimentKind"  # a tag of MLflow's page, which its Python does not name


class StoreGone(OSError):
    """The store's file was removed or replaced after this process opened it."""


class StoreBehind(OSError):
    """A file that is not the project's own holds runs and the tables of an older release."""


class Store:
    """One tracking store. `uri` None: `<root>/.whetstone/mlflow.db`. `patience_s` bounds the wait for a
    locked sqlite file.
    """

    def __init__(
        self, root: Path, uri: str | None, patience_s: float, say: Callable[[str], None] = lambda text: None
    ):
        self.root = root
        self.uri = uri or f"sqlite:///{root}/.whetstone/mlflow.db"
        self.patience_s = patience_s
        self._say = say
        self._client: Any = None
        self._inode: int | None = None
        self._experiments: dict[str, str] = {}

    @property
    def file(self) -> Path | None:
        """The sqlite file, absolute; None for other stores."""
        head = "sqlite:///"
        return (
            Path(unquote(self.uri[len(head) :].partition("?")[0])).absolute()
            if self.uri.startswith(head)
            else None
        )

    @property
    def shared(self) -> bool:
        """Whether other projects may write there: everything but a file below the project."""
        return self.file is None or not self.file.is_relative_to(self.root)

    @property
    def served(self) -> bool:
        """Whether it is a server, which decides where artifacts go."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        """The store's name without a password."""
        return str(self.file or public({"uri": self.uri})["uri"])

    @property
    def exists(self) -> bool:
        """Whether there is something to read. A server counts as existing, and so does a file that this
        process has opened.
        """
        return self.file is None or self._client is not None or self.file.exists()

    def check(self) -> None:
        """Raise OSError or sqlite3.Error at once (or after `patience_s` when locked) if the sqlite store
        cannot be written.
        """
        if self.file is None:
            return
        if self._client is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            if not self.file.exists():
                return  # it is made aside: an empty file here would be half a store
        elif not self.file.exists() or self.file.stat().st_ino != self._inode:
            raise StoreGone("the file was removed or replaced during the run")
        with contextlib.closing(
            sqlite3.connect(self.file, timeout=self.patience_s, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("ROLLBACK")

    def client(self) -> Any:
        """Returns the low-level MLflow client; the first call creates the tables (some seconds)."""
        if self._client is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            logging.getLogger("mlflow.store.model_registry.abstract_store").setLevel(logging.WARNING)
            # tracebacks of what is told in a sentence
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
            for name in ("alembic", "urllib3.connectionpool"):
                # what matters in it is said by the one warning
                logging.getLogger(name).setLevel(logging.ERROR)
            self._client = self._opened()
            self._inode = self.file.stat().st_ino if self.file else None
        return self._client

    def _opened(self) -> Any:
        from mlflow.tracking import MlflowClient

        def connect() -> Any:
            client = MlflowClient(self.uri, os.environ.get("MLFLOW_REGISTRY_URI") or self.uri)
            client.search_experiments(max_results=1)
            return client

        if self.file is not None:
            self._settle(self.file)
            with locked(self.file):
                return connect()
        return connect() if self.served else tracking_database.first(self.uri, self.patience_s, connect)

    def settle(self) -> None:
        """Ensure that a sqlite file is complete, for a server that will open it. Raises what `failures`
        lists.
        """
        if self.file is not None:
            self.check()
            self._settle(self.file)

    def _settle(self, file: Path) -> None:
        if self.shared and state(file, MLFLOW) == "behind" and user_tables(file, MLFLOW):
            raise StoreBehind("it holds runs and the tables of another release of MLflow")
        message = ensure_current(file, MLFLOW, tracking_database.migrate)
        if message:
            self._say(f"MLflow store {message}")

    def experiment(self) -> str:
        """Returns the id of this workspace's experiment, which is created on first use and restored when
        somebody has deleted it.

        Its artifacts go to the server's own place, or else beside a local file or below the project, by an
        absolute path.
        """
        if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return experiment_id
        name = tracking_names.experiment(self.root, self.shared)
        if name not in self._experiments:
            self._experiments[name] = self._existing_experiment(name) or self._create_experiment(name)
            if not os.environ.get("MLFLOW_EXPERIMENT_NAME"):  # one that somebody named is theirs to set up
                self._show_as_training(self._experiments[name])
        return self._experiments[name]

    def _show_as_training(self, experiment: str) -> None:
        """Mark the experiment as one of training runs, where somebody has not chosen otherwise. MLflow 3.17's
        page opens on agents' traces whatever the tag says, so `whetstone ui` prints the address of the table.
        """
        if _KIND not in self.client().get_experiment(experiment).tags:
            self.client().set_experiment_tag(experiment, _KIND, "custom_model_development")

    def forget_experiments(self) -> None:
        """Drop the known experiment ids, since somebody has deleted one."""
        self._experiments.clear()

    def _existing_experiment(self, name: str) -> str:
        experiment = self.client().get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            self.client().restore_experiment(experiment.experiment_id)
            self._say(f"MLflow store {self.shown}: the experiment {name} had been deleted and is restored")
        return experiment.experiment_id if experiment is not None else ""

    def _create_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        folder = self.file.parent if self.file and not self.shared else self.root / ".whetstone"
        try:
            return self.client().create_experiment(
                name, artifact_location=None if self.served else (folder / "mlflow_artifacts").as_uri()
            )
        except MlflowException as error:  # another process was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._existing_experiment(name)

    def may_have_running(self) -> bool:
        """Returns whether runs may be marked RUNNING, from a read of the sqlite file that takes a
        millisecond, without MLflow.
        """
        if self.file is None:
            return True
        with contextlib.closing(
            sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=self.patience_s)
        ) as connection:
            tables = {
                row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            if "runs" not in tables:
                return False
            return (
                connection.execute("SELECT 1 FROM runs WHERE status = 'RUNNING' LIMIT 1").fetchone()
                is not None
            )

    def failures(self) -> tuple[type[BaseException], ...]:
        """Returns the exceptions of a store that cannot be used. Programming errors are not among them."""
        kinds: list[type[BaseException]] = [OSError, sqlite3.Error, ImportError]
        with contextlib.suppress(ImportError):
            from alembic.util import CommandError
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            kinds += [MlflowException, SQLAlchemyError, CommandError]
        return tuple(kinds)

    def remedy(self, error: BaseException) -> str:
        """Returns what a person can do about `error`."""
        text = str(error).lower()
        if isinstance(error, ImportError) and error.name and not error.name.startswith("mlflow"):
            kind = self.uri.partition(":")[0]
            return (
                f"install the package {error.name}, which MLflow needs for {kind} (PostgreSQL: pip install "
                f"'.[postgres]')"
            )
        if isinstance(error, ImportError):
            return "install mlflow (make sets it up from requirements.lock)"
        variables = [
            name for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME") if name in os.environ
        ]
        if variables and "experiment" in text:
            return f"correct {variables[0]}={os.environ[variables[0]]}, or unset it"
        if self.served and ("401" in text or "403" in text):
            return (
                "give the server's login in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN"
            )
        if self.served:
            return f"start the server at {self.shown} or unset MLFLOW_TRACKING_URI"
        if isinstance(error, StoreBehind) or "out-of-date" in text:
            return (
                "copy the store, then run `mlflow db upgrade` on it; or set MLFLOW_TRACKING_URI to another "
                "one"
            )
        if self.file is None:
            return f"start the database of {self.shown}, correct MLFLOW_TRACKING_URI, or unset it"
        return self._file_remedy(text, error)

    def _file_remedy(self, text: str, error: BaseException) -> str:
        if "locked" in text:
            return "end the process that holds the file (another writer or a database browser)"
        if isinstance(error, StoreGone):
            return (
                "nothing to do, the next run makes a new store; restore the file from a copy if its history "
                "matters"
            )
        if "malformed" in text or "not a database" in text:
            return (
                f"move the broken file away (mv {self.file} {self.file}.broken); the next run makes a new one"
            )
        parent = self.file.parent if self.file else ""
        return (
            f"make {parent} a folder that can be written and has free space, or set MLFLOW_TRACKING_URI to "
            f"another store"
        )
