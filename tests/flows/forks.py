"""A fork server for tests: Python processes that start with DVC and pydantic already loaded, so that a plan
costs what it computes.

A project calls `python`, a script that hands its arguments, folder, environment and streams over a Unix
socket; the server forks and goes on as that very command. None of the project's own packages is ever loaded
in the server. What needs a true process tree (kills, lifelines) must not use it. `python tests/flows/forks.py
SOCKET MODULES` is the server, `python tests/flows/forks.py SOCKET -- ARGUMENTS` a command.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

PRELOADED = ("dvc.cli", "dvc.repo", "dvc.stage", "dvc.stage.cache", "dvc.dependency", "dvc.commands.repro", "dvc.commands.status", "dvc.rwlock",
             "dvc.repo.reproduce", "dvc.repo.status", "dvc.dvcfile", "dvc_data.hashfile.tree", "networkx", "psutil", "pydantic", "ruamel.yaml",
             "typer", "rich.console", "rich.table", "rich.progress", "yaml")  # fmt: skip
# What a stage that trains imports as well, and what MLflow and Prefect import: not these two, nor DeepSpeed,
# which imports MLflow: that loads the project's plug-in, and Prefect keeps the environment of its import.
LEARNING = (*PRELOADED, "torch", "torch._dynamo", "torch.distributed.launcher.api", "numpy", "sympy", "accelerate", "safetensors.torch", "tokenizers",
            "transformers", "transformers.generation.utils", "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto",
            "transformers.models.qwen2.modeling_qwen2", "transformers.models.llama.modeling_llama", "jinja2", "fastapi", "httpx", "griffe",
            "sqlalchemy.orm", "alembic", "google.protobuf", "opentelemetry.sdk.trace", "pandas", "pyarrow", "requests", "pendulum", "jsonschema", "pydantic_settings", "prometheus_client",
            "websockets")  # fmt: skip
# What libraries keep of the environment of their import. One thread, since a fork takes none along: not of
# what computes in parallel, and none of pyarrow's allocator. Whoever asks a hub uses a true interpreter.
AT_IMPORT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}


def request(path: str, words: list[str]) -> int:
    """Run `python WORDS` in the server, with this process's folder, environment and streams; returns its exit
    code, or minus the signal that ended it.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        text = json.dumps({"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
        client.sendmsg(
            [struct.pack("!I", len(text))],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))],
        )
        client.sendall(text)
        child = _number(client)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, frame: os.kill(child, got))
        return _number(client)


def _number(stream: socket.socket) -> int:
    return struct.unpack("!i", _exactly(stream, 4))[0]


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = stream.recv(size - len(data))
        if not part:
            raise ConnectionError("the fork server went away")
        data += part
    return data


def serve(path: str, preloaded: Iterable[str]) -> None:
    """Accept commands until the process that started the server is gone."""
    from importlib import import_module

    for name in preloaded:
        import_module(name)
    if own := {"flows", "tasks", "pipelines"} & set(sys.modules):
        raise RuntimeError(f"{own} would not be the project's")
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("something that was preloaded has started a thread, and a fork would lack it")
    gc.freeze()  # a collection in a child would touch, and so copy, every page
    owner = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(32)
        listener.settimeout(0.5)
        while os.getppid() == owner:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                listener.close()
                _attend(connection)
            connection.close()


def _attend(connection: socket.socket) -> None:
    """In a child of the server: fork the command, tell its pid, wait, tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.setblocking(True)
    head, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(12))
    streams = array.array("i", ancillary[0][2][:12])
    asked = json.loads(_exactly(connection, struct.unpack("!I", head)[0]))
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _become(**asked)
    for stream in streams:
        os.close(stream)
    connection.sendall(struct.pack("!i", child))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        connection.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Go on as `python WORDS`; never returns."""
    import runpy

    code = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        os.umask(0o022)
        added = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
        sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
        sys.executable = environment["TOY_PYTHON"]
        if "PYTHONUNBUFFERED" in environment:
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        if words[0] == "-m":
            sys.path[:0] = [folder, *added]
            sys.argv = [words[1], *words[2:]]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[:0] = [str(Path(words[0]).parent), *added]
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  as the interpreter does with whatever leaves the main module
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            _finish_threads()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _finish_threads() -> None:
    import threading

    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


@contextlib.contextmanager
def server(folder: Path, preloaded: Iterable[str] = PRELOADED) -> Iterator[str]:
    """Start a server with `preloaded` modules; yields the path of a `python` that uses it (options other than -m and -c go to the real
    interpreter).
    """
    path = folder / "s"
    script = folder / "bin" / "python"
    script.parent.mkdir(parents=True)
    real, here = sys.executable, Path(__file__).resolve()
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = -u ]; then PYTHONUNBUFFERED=1; export PYTHONUNBUFFERED; shift; fi\ncase "$1" in\n  -m|*.py) TOY_PYTHON="$0"; export TOY_PYTHON; exec {real} -S -E {here} {path} -- "$@";;\n  *) exec {real} "$@";;\nesac\n'
    )
    script.chmod(0o755)
    process = subprocess.Popen(
        [real, str(here), str(path), *preloaded], stdin=subprocess.DEVNULL, env=os.environ | AT_IMPORT
    )
    try:
        while not path.exists():
            if process.poll() is not None:
                raise RuntimeError("the fork server did not start")
            time.sleep(0.02)
        yield str(script)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    if "--" in sys.argv[:3]:
        ended = request(sys.argv[1], sys.argv[3:])
        if ended < 0:  # who waits for this process sees how the command ended
            signal.signal(-ended, signal.SIG_DFL) if -ended != signal.SIGKILL else None
            os.kill(os.getpid(), -ended)
        sys.exit(ended)
    sys.path.pop(0)  # the folder of the tests; commands bring their own
    serve(sys.argv[1], sys.argv[2:])
