"""A function of portions of rows, on every core once there are many: results in order, few of them in memory
at once.

Helpers are started as `python -m pipelines.corpora.cleaning.portions` and end when their input does, so
also when this process is killed. They import no `__main__`, unlike those of `multiprocessing`: a script that
makes a corpus needs no guard.
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

Given = TypeVar("Given")
Made = TypeVar("Made")
ALONE = 16  # portions that this process does itself before it asks for help: a helper needs a second to start
ROOT = Path(__file__).resolve().parents[3]


def over_portions(
    function: Callable[[Given], Made], portions: Iterable[Given], processes: int | None = None
) -> Iterator[Made]:
    """`function` must be importable, and its result depend on its argument alone: the number of processes
    changes nothing. `processes` None: as many as there are cores to run on. RuntimeError when a helper dies.
    """
    number = processes or len(os.sched_getaffinity(0))
    portions = iter(portions)
    yield from map(function, islice(portions, ALONE if number > 1 else None))
    for first in portions:
        yield from _helped(function, chain([first], portions), number)


def _helped(function: Callable[[Given], Made], portions: Iterable[Given], number: int) -> Iterator[Made]:
    helpers = [_Helper(function) for _ in range(number)]
    free, busy = deque(helpers), deque[_Helper]()
    try:
        for portion in portions:
            if not free:
                oldest = busy.popleft()
                result = oldest.result()
                free.append(oldest)
            else:
                result = None
            helper = free.popleft()
            helper.give(portion)
            busy.append(helper)
            if result is not None:
                yield result
        while busy:
            yield busy.popleft().result()
    finally:
        for helper in helpers:
            helper.end()


class _Helper:
    def __init__(self, function: Callable[[Any], Any]) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.corpora.cleaning.portions"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.give(function)

    def give(self, what: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(what, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error

    def result(self) -> Any:
        assert self._process.stdout is not None
        try:
            good, result = pickle.load(self._process.stdout)
        except EOFError as error:
            raise self._died() from error
        if not good:
            raise result
        return result

    def end(self) -> None:
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


def _help(given: IO[bytes], made: IO[bytes]) -> None:
    """One function, then its portions, until there are no more."""
    function = pickle.load(given)
    while True:
        try:
            portion = pickle.load(given)
        except EOFError:
            return
        try:
            result = (True, function(portion))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            result = (False, error)
        try:
            pickle.dump(result, made, pickle.HIGHEST_PROTOCOL)
            made.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints must not stand among the results
    _help(sys.stdin.buffer, answers)
    os._exit(0)
