"""A stage that is brought up to date while Prefect is still being imported and its server started. Its
Prefect task joins it later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from flows.running.executor import Result, StageWatch

BACKLOG = 1000  # messages of the stage that are kept until a listener joins


class HeadStart:
    """Runs `bring(watch)` in a thread, from construction on."""

    def __init__(self, name: str, bring: Callable[[StageWatch], Result]):
        self._lock = threading.Lock()
        self._listener: StageWatch | None = None
        self._backlog: list[tuple[str, tuple[Any, ...]]] = []
        self._result: Future[Result] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(bring,), name=f"head start of {name}", daemon=True
        )
        self._thread.start()

    def _work(self, bring: Callable[[StageWatch], Result]) -> None:
        watch = StageWatch(
            **{kind: self._teller(kind) for kind in ("line", "progress", "started", "command_ended")}
        )
        try:
            self._result.set_result(bring(watch))
        except BaseException as error:  # noqa: BLE001  whoever joins raises it
            self._result.set_exception(error)

    def _teller(self, kind: str) -> Callable[..., None]:
        def tell(*arguments: Any) -> None:
            with self._lock:
                if self._listener is None:
                    self._backlog = [*self._backlog[1 - BACKLOG :], (kind, arguments)]
                else:
                    getattr(self._listener, kind)(*arguments)

        return tell

    def join(self, listener: StageWatch) -> Result:
        """Pass all earlier and later messages to `listener`, and return the result or raise the error of the
        stage.
        """
        with self._lock:
            for kind, arguments in self._backlog:
                getattr(listener, kind)(*arguments)
            self._backlog, self._listener = [], listener
        return self._result.result()

    def wait(self) -> None:
        """Wait until the stage has ended, well or not."""
        self._thread.join()
