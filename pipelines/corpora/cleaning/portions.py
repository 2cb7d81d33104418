"""Maps a function over portions of rows, on every core once there are many: results in order, only a few of
them in memory at once.

Workers are started as `python -m pipelines.corpora.cleaning.portions` and end when their input does, so also
when this process is killed. Unlike those of `multiprocessing` they import no `__main__`: a script that makes
a corpus needs no guard.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeVar

Portion = TypeVar("Portion")
Result = TypeVar("Result")
# portions that this process does itself before it starts workers: each needs a second to start
FIRST_PORTIONS = 16
ROOT = Path(__file__).resolve().parents[3]


def over_portions(
    function: Callable[[Portion], Result], portions: Iterable[Portion], processes: int | None = None
) -> Iterator[Result]:
    """Yields `function(portion)` of every portion, in order.

    `function` must be importable, and its result must depend on its argument alone: the number of processes
    does not change the results. `processes`: None for the number of usable cores. Raises RuntimeError when a
    worker dies.
    """
    number = processes or len(os.sched_getaffinity(0))
    portions = iter(portions)
    yield from map(function, islice(portions, FIRST_PORTIONS if number > 1 else None))
    for portion in portions:
        yield from _by_workers(function, chain([portion], portions), number)


def _by_workers(
    function: Callable[[Portion], Result], portions: Iterable[Portion], number: int
) -> Iterator[Result]:
    workers = [_Worker(function) for _ in range(number)]
    free, busy = deque(workers), deque[_Worker]()
    try:
        for portion in portions:
            if not free:
                oldest = busy.popleft()
                result = oldest.result()
                free.append(oldest)
            else:
                result = None
            worker = free.popleft()
            worker.give(portion)
            busy.append(worker)
            if result is not None:
                yield result
        while busy:
            yield busy.popleft().result()
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that maps the function over the portions that it is given."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.corpora.cleaning.portions"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.give(function)

    def give(self, value: Any) -> None:
        """Sends a pickled value."""
        assert self._process.stdin is not None
        try:
            pickle.dump(value, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def result(self) -> Any:
        """Waits for the next result. Raises the function's exception, or RuntimeError when the worker has
        died.
        """
        assert self._process.stdout is not None
        try:
            good, result = pickle.load(self._process.stdout)
        except EOFError as error:
            raise self._died() from error
        if not good:
            raise result
        return result

    def end(self) -> None:
        """Closes the worker's input and waits for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it may be gone already
            self._process.stdin.close()
        self._process.wait()

    def _died(self) -> RuntimeError:
        return RuntimeError(
            f"a process that helps to make the corpus ended with {self._process.wait()}; is there memory "
            f"enough?"
        )


def _serve(requests: IO[bytes], results: IO[bytes]) -> None:
    """Runs a worker: reads one function, then portions, until there are no more, and writes the result of
    each.
    """
    function = pickle.load(requests)
    while True:
        try:
            portion = pickle.load(requests)
        except EOFError:
            return
        try:
            result = (True, function(portion))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            result = (False, error)
        try:
            pickle.dump(result, results, pickle.HIGHEST_PROTOCOL)
            results.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # printed output must not be mixed with the results
    _serve(sys.stdin.buffer, answers)
    os._exit(0)
