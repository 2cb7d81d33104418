"""`whetstone serve-model`: a model behind an OpenAI-compatible API, by vLLM where it is installed, else by
the server of this project.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from flows import api
from flows.local_model import current_root, execution_settings, model_folder

Engine = Literal["auto", "vllm", "local"]


class NotServed(ValueError):
    """The server cannot be started as it was asked for; the text says the way out."""


def serve(
    model: str,
    host: str,
    port: int,
    name: str | None,
    key_variable: str | None,
    engine: Engine,
    seed: int | None,
    say: Callable[[str], None],
) -> int:
    """Serve `model` until Ctrl-C or SIGTERM. Returns the exit code. Raises NotServed, UnknownModel, and
    ValueError or OSError where the model cannot be loaded.
    """
    key = _key(key_variable)
    loopback = _is_loopback(host)
    if not loopback and key is None:
        raise NotServed(
            f"--host {host} lets other machines ask: put a key into an environment variable and name it with "
            f"--key-variable, or leave --host out"
        )
    shown = name or _short_name(model)
    if engine == "vllm" or (engine == "auto" and (reason := _why_not_vllm(model)) is None):
        return _serve_by_vllm(model, shown, host, port, key, seed, say)
    if engine == "auto" and reason:
        say(f"served by the local engine: {reason}")
    return _serve_locally(model, shown, host, port, key, seed, loopback, say)


def _serve_locally(
    model: str,
    name: str,
    host: str,
    port: int,
    key: str | None,
    seed: int | None,
    loopback: bool,
    say: Callable[[str], None],
) -> int:
    import uvicorn

    from pipelines.inference.server.app import make_app

    with _bound(host, port) as listening:  # before the model is loaded: a taken port is told at once
        checkpoint = api.load(model)
        app = make_app(checkpoint, name, seed, key, loopback)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        listening.listen()  # who reads the next line may ask at once
        say(f"{name} at {_url(host, listening.getsockname()[1])}; Ctrl-C stops it")
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal again, when all is closed
            server.run(sockets=[listening])
    return 0


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise NotServed(f"port {port} of {host}: {error.strerror}; choose another with --port") from error
    return listening


def _serve_by_vllm(
    model: str,
    name: str,
    host: str,
    port: int,
    key: str | None,
    seed: int | None,
    say: Callable[[str], None],
) -> int:
    from pipelines.models.template_jinja import chat_template_of
    from pipelines.models.tokenizer import Tokens

    root = current_root()
    folder = model_folder(model, root)
    execution = execution_settings(root)
    with tempfile.TemporaryDirectory(prefix="whetstone-vllm-") as scratch:
        template = Path(scratch) / "chat_template.jinja"
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder),
            "--served-model-name", name, "--host", host, "--port", str(port), "--dtype", execution.dtype,
        ]  # fmt: skip
        if (folder / "tokens.json").is_file():
            template.write_text(chat_template_of(Tokens.load(folder)), "utf-8")
            command += ["--chat-template", str(template)]
        if seed is not None:
            command += ["--seed", str(seed)]
        if execution.trust_remote_code:
            command.append("--trust-remote-code")
        say(f"{name} by vLLM at {_url(host, port)}; Ctrl-C stops it")
        env = {**os.environ, **({"VLLM_API_KEY": key} if key else {})}
        try:
            return subprocess.run(command, env=env, check=False).returncode
        except KeyboardInterrupt:
            return 0


def _why_not_vllm(model: str) -> str | None:
    """Returns why vLLM does not serve a model; None where it does, "" where it is only not installed."""
    if importlib.util.find_spec("vllm") is None:
        return ""
    from pipelines.models.tokenizer import Tokens

    if model.endswith(".gguf"):
        return "vLLM reads no .gguf file here"
    folder = model_folder(model, current_root())
    chat = Tokens.load(folder).chat if (folder / "tokens.json").is_file() else None
    if chat is not None and (chat.facts.system is not None or chat.facts.examples or chat.facts.variables):
        return "its template has a system turn, examples or variables of its own, which vLLM would leave out"
    return None


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise NotServed(f"--key-variable names {variable}, which is not set in the environment")
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _short_name(model: str) -> str:
    """Returns `grpo` for grpo, models/grpo and models/grpo/model."""
    place = Path(model)
    return place.parent.name or place.name if place.name == "model" else place.name
