"""Chat templates rendered in a process of their own, which is ended when one does not end: a template is a
program from elsewhere.

The process loads transformers' sandboxed Jinja, not torch. A timer of the kernel ends it after the processor
time of one conversation is spent, and its memory is limited; whatever dates or dice a template asks for is
fixed, since equal rows must give equal ids.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.settings import ROOT

SECONDS = 5.0  # processor time of one conversation, all its renderings together
WALL = 15  # times that, on a machine that is busy
MEMORY = 4 * 2**30
LONGEST = 64 * 2**20  # characters of one rendering
MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
PROGRAM = "from pipelines.models.chat_renderer import serve; serve()"


class TemplateFault(ValueError):
    """The template cannot be rendered, or not within its limits; the text says of which and why."""


class Refused(ValueError):
    """The template itself refuses a conversation (`raise_exception`), or fails on it; the text is what it
    said.
    """


class Renderer:
    """Renders one template in the process that all renderers of this process share. `name`: whose template it
    is, for errors.
    """

    def __init__(
        self, name: str, source: str, variables: Mapping[str, Any], date: str, seconds: float = SECONDS
    ) -> None:
        self.name, self.seconds = name, seconds
        self._head = {"source": source, "variables": dict(variables), "date": date, "seconds": seconds}

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], cuts: Sequence[int]
    ) -> dict[str, Any]:
        """`whole`: all messages, with the generation prompt where the last is not the assistant's; `marks`:
        places in it that the template marks by {% generation %}; for each of `cuts` the first so many
        messages with the generation prompt (`asked`), and those and the next one without (`answered`).
        """
        request = json.dumps(
            {**self._head, "messages": list(messages), "tools": list(tools), "cuts": list(cuts)}
        )
        line, code = _SHARED.exchange(request.encode() + b"\n", self.seconds * WALL)
        if not line.endswith(b"\n"):
            failure = (
                "did not end" if code in (-signal.SIGPROF, -signal.SIGKILL) else f"ended its process ({code})"
            )
            raise TemplateFault(
                f"the chat template of {self.name} {failure} within {self.seconds:g} s of processor time for "
                f"one conversation: it loops "
                "without end, or is no template of a chat; give another as template.jinja, or write "
                "template.prompt out"
            )
        reply: dict[str, Any] = json.loads(line)
        if "refused" in reply:
            raise Refused(reply["refused"])
        if "fault" in reply:
            raise TemplateFault(f"the chat template of {self.name} cannot be rendered: {reply['fault']}")
        return reply


class Process:
    """The process, started at first use and after its end. Thread-safe; a fork starts its own."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner, self._lock = os.getpid(), threading.Lock()
        atexit.register(self.close)

    def exchange(self, line: bytes, seconds: float) -> tuple[bytes, int]:
        """Returns the reply to a line, and 0; an incomplete line and the exit status where the process ended,
        or was ended after `seconds`.
        """
        if os.getpid() != self._owner:  # after a fork the pipes belong to the parent
            self._process, self._owner, self._lock = None, os.getpid(), threading.Lock()
        with self._lock:
            process = self._process = self._process or _start()
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
                reply = _line(process, seconds)
            except BrokenPipeError:
                reply = b""
            except BaseException:
                self.close()
                raise
            if reply.endswith(b"\n"):
                return reply, 0
            self.close()
            return reply, process.returncode

    def close(self) -> None:
        if self._process is not None and os.getpid() == self._owner:
            _kill(self._process)
        self._process = None


_SHARED = Process()


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Returns the output up to the next line break; less where the process ends or does not answer."""
    assert process.stdout is not None
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        part = os.read(process.stdout.fileno(), 2**16) if ready else b""
        if not part:
            if not ready:
                process.kill()
            process.wait()
            break
        parts.append(part)
    return b"".join(parts)


def _start() -> subprocess.Popen[bytes]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        start_new_session=True,
    )  # fmt: skip


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


def serve() -> None:
    """The process: a line of JSON in, a line of JSON out, until the input ends."""
    import resource

    from transformers.utils.chat_template_utils import render_jinja_template

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage that Ctrl-C ends closes the pipe
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        reply = json.dumps(_reply(render_jinja_template, request))
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(reply + "\n")
        sys.stdout.flush()


def _reply(render: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    import jinja2

    try:
        _fix_date(request)
        messages, tools, marked = (
            request["messages"],
            request["tools"] or None,
            bool(MARK.search(request["source"])),
        )

        def text(count: int, generation: bool, marks: bool = False) -> Any:
            random.seed(0)
            texts, places = render(
                [messages[:count]], tools=tools, chat_template=request["source"],
                add_generation_prompt=generation,
                return_assistant_tokens_mask=marks, **request["variables"],
            )  # fmt: skip
            if len(texts[0]) > LONGEST:
                raise MemoryError
            return texts[0], [list(place) for place in places[0]] if places else []

        answered = messages[-1]["role"] == "assistant"
        text_of_all, marks = text(len(messages), not answered, marked)
        cuts = request["cuts"]
        return {
            "whole": text_of_all, "marks": marks, "marked": marked,
            "asked": [text(cut, True)[0] for cut in cuts],
            "answered": [text(cut + 1, False)[0] for cut in cuts],
        }  # fmt: skip
    except jinja2.TemplateSyntaxError as error:
        return {"fault": f"line {error.lineno}: {error.message}"}
    except jinja2.TemplateError as error:
        return {"refused": str(error) or type(error).__name__}
    except (MemoryError, RecursionError, OverflowError) as error:
        return {
            "fault": (
                f"{type(error).__name__}: it needs more than {MEMORY // 2**30} GiB, or calls itself without "
                f"end"
            )
        }
    except Exception as error:  # noqa: BLE001 - any other is the template's own mistake with this conversation
        return {"refused": f"{type(error).__name__}: {error}"}


def _fix_date(request: Mapping[str, Any]) -> None:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    template = _compile_jinja_template(request["source"])
    template.globals["strftime_now"] = datetime.fromisoformat(request["date"]).strftime
