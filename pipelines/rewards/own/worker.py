"""The process of one reward function: JSON lines in, JSON lines out, until the input ends.

First comes {"file" or "module", "name", options}, and {"style": …} or {"broken": reason} goes back; then
for each list of rows a {"verdicts": […]} for all of them, or for one after the other, or a {"failed":
reason}. Only `pipelines.rewards.own.process` starts it.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from pipelines.rewards.own.calls import FunctionCall, Refused
from pipelines.rewards.own.returned import last_line

PARENT_PERIOD_S = 0.5


def serve() -> None:
    """The process's loop. What the function prints goes to standard error."""
    requests, replies = _channels()
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    task = json.loads(requests.readline())
    try:
        call = FunctionCall.of(_function(task), task["options"])
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever the user's file raises is told
        _say(replies, broken=str(failure) if isinstance(failure, Refused) else last_line(failure))
        return
    _say(replies, style=call.style)
    loop = asyncio.new_event_loop()  # one for all calls: an HTTP client of the user's is bound to it
    asyncio.set_event_loop(loop)
    for line in requests:
        try:
            for verdicts in call.answers(json.loads(line), loop):
                _say(replies, verdicts=[(v.outcome, v.score, v.reason, v.parts) for v in verdicts])
        except Refused as failure:
            _say(replies, failed=str(failure), refused=True)
        except (Exception, SystemExit) as failure:  # noqa: BLE001 - whatever it raises is an error verdict
            _say(replies, failed=last_line(failure))


def _channels() -> tuple[IO[str], IO[str]]:
    """Returns input and output of the process, which the function's own code cannot reach by their names."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def _say(replies: IO[str], **message: Any) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _leave_with(parent: int) -> None:
    """End this process when its parent has ended, also in the middle of an endless loop."""
    while os.getppid() == parent:
        time.sleep(PARENT_PERIOD_S)
    os._exit(1)


def _function(task: dict[str, Any]) -> Any:
    """Returns the function. A file finds the modules beside it first, as a script does."""
    if task["file"] is None:
        module = importlib.import_module(task["module"])
    else:
        file = Path(task["file"])
        sys.path.insert(0, str(file.parent))
        name = file.stem if file.stem not in sys.modules else f"own_{file.stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    if not hasattr(module, task["name"]):
        raise Refused(f"there is no {task['name']}")
    return getattr(module, task["name"])
