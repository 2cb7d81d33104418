"""The cause of a failure from the last lines that a process printed: its exception with the first lines of
the message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LINES = 4  # of a message
_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?([A-Z]\w*)(?:: ?(.*))?$")
_AFTER = re.compile(
    r"^(Traceback \(most|Exception ignored in|During handling of|The above exception|For further information "
    r"visit|.*resource_tracker)"
)
_RANK = re.compile(r"^\[rank\d+\]: ?")  # torch puts it before every line of a worker's traceback
# Launchers and loaders that say only that somebody else failed: the worker's own exception stands before.
_CARRIERS = frozenset(
    {
        "ChildFailedError",
        "CalledProcessError",
        "ProcessRaisedException",
        "ProcessExitedException",
        "WorkersFailed",
    }
)


def cause(tail: Sequence[str]) -> str:
    """Returns one to LINES lines; "" when nothing was printed.

    Of several tracebacks the last one counts, since its message is nearest to the user, unless it only
    reports another process's failure. Without a traceback it is the last line that is not indented, with the
    indented lines below it.
    """
    lines = [_RANK.sub("", line).rstrip() for line in tail]
    exceptions = [
        message
        for index in range(len(lines))
        if lines[index].startswith("Traceback (most recent")
        for message in _raised(lines, index)
    ]
    messages = [message for name, message in exceptions if name not in _CARRIERS] or [
        message for _, message in exceptions
    ]
    return messages[-1] if messages else _last_lines(lines)


def _raised(lines: Sequence[str], traceback: int) -> list[tuple[str, str]]:
    """Returns [(class, message)] of the exception whose traceback begins at that line; empty when its end is
    missing.
    """
    for index in range(traceback + 1, len(lines)):
        if lines[index] and not lines[index][0].isspace():
            head = _EXCEPTION.match(lines[index])
            if head:
                first = f"{head[1]}: {head[2]}" if head[2] else head[1]
                return [(head[1], _with_rest(first, lines[index + 1 :]))]
            return []
    return []


def _with_rest(first: str, below: Sequence[str]) -> str:
    message = [first]
    for line in below:
        if not line.strip() or _AFTER.match(line.strip()):
            break
        message.append(line)
    if len(message) > LINES:
        message = [*message[: LINES - 1], message[-1]]  # the last one often says how many more there are
    return "\n".join(message)


def _last_lines(lines: Sequence[str]) -> str:
    printed = [line for line in lines if line.strip()]
    if not printed:
        return ""
    heads = [index for index, line in enumerate(printed) if not line[0].isspace()]
    return _with_rest(printed[heads[-1]], printed[heads[-1] + 1 :]) if heads else printed[-1].strip()
