"""The server's routes: /v1/models, /v1/chat/completions, /v1/completions, /health."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from threading import Lock
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipelines.inference.checkpoint import Checkpoint
from pipelines.inference.prompts import conversation_of, encode, encode_text
from pipelines.inference.server import answers
from pipelines.inference.server.answers import ChatAnswer, TextAnswer
from pipelines.inference.server.body_limit import BodyLimit
from pipelines.inference.server.generation import Generation, Piece
from pipelines.inference.server.requests import ChatRequest, CompletionRequest, GenerationRequest

LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
INVALID = "invalid_request_error"


class Refused(Exception):
    """A request that cannot be served; `body` is OpenAI's error object."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.body = status, answers.error(message, INVALID, param, code)


class Service:
    """One checkpoint under the name `model`; `seed` None draws one for each request that has none."""

    def __init__(self, checkpoint: Checkpoint, model: str, seed: int | None) -> None:
        self.checkpoint, self.model, self._seed = checkpoint, model, seed
        self._turn = Lock()

    def chat(self, request: ChatRequest) -> Any:
        tokens = self.checkpoint.tokens
        ids = self._ids(lambda: encode(conversation_of(request.messages, request.tools), tokens), "messages")
        return self._answer(request, [ids], ChatAnswer(self.model, tokens, request.top))

    def complete(self, request: CompletionRequest) -> Any:
        tokens = self.checkpoint.tokens
        prompts = [self._ids(partial(self._text_ids, text), "prompt") for text in request.prompts]
        return self._answer(request, prompts, TextAnswer(self.model, tokens, request.top))

    def _text_ids(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            return encode_text(prompt, self.checkpoint.tokens)
        size = self.checkpoint.tokens.vocab_size
        if bad := [id for id in prompt if not 0 <= id < size]:
            raise ValueError(f"token id {bad[0]} is outside of the vocabulary of {size}")
        return prompt

    def _ids(self, read: Callable[[], list[int]], param: str) -> list[int]:
        try:
            ids = read()
        except ValueError as fault:
            raise Refused(400, str(fault), param) from fault
        if not 0 < len(ids) < self.checkpoint.context:
            text = f"the prompt has {len(ids)} tokens, and the model's context is {self.checkpoint.context}"
            raise Refused(400, text, param, "context_length_exceeded" if ids else None)
        return ids

    def _answer(
        self, request: GenerationRequest, prompts: list[list[int]], answer: ChatAnswer | TextAnswer
    ) -> Any:
        if request.model != self.model:
            text = f"The model {request.model!r} does not exist; this server has {self.model!r}"
            raise Refused(404, text, "model", "model_not_found")
        seed = request.seed if request.seed is not None else self._seed
        generation = Generation(
            prompts,
            request.sampling(self.checkpoint.context),
            secrets.randbits(31) if seed is None else seed,
            request.n,
            request.stops,
            request.top,
        )
        asked = sum(map(len, prompts))
        if request.stream:
            with_usage = request.stream_options is not None and request.stream_options.include_usage
            lines = _events(generation.pieces(self.checkpoint, self._turn), answer, asked, with_usage)
            return StreamingResponse(lines, media_type="text/event-stream")
        choices = generation.whole(self.checkpoint, self._turn)
        drawn = sum(len(choice.steps) for choice in choices)
        return JSONResponse({**answer.whole(choices), "usage": answers.usage(asked, drawn)})


async def _events(
    pieces: Iterator[Piece], answer: ChatAnswer | TextAnswer, asked: int, with_usage: bool
) -> AsyncIterator[str]:
    """Yields server-sent events. Whoever leaves ends the drawing, which gives the turn to the next."""
    drawn = 0
    try:
        async for piece in iterate_in_threadpool(pieces):
            drawn += len(piece.steps)
            yield f"data: {json.dumps(answer.chunk(piece))}\n\n"
        if with_usage:
            yield f"data: {json.dumps(answer.last(answers.usage(asked, drawn)))}\n\n"
        yield "data: [DONE]\n\n"
    finally:
        pieces.close()  # type: ignore[attr-defined]


def make_app(
    checkpoint: Checkpoint, model: str, seed: int | None = None, key: str | None = None, loopback: bool = True
) -> FastAPI:
    """Returns the server of a checkpoint. `key`: what clients must send as a bearer token; `loopback`: answer
    only what is addressed to this machine by name, whatever page of a browser asks.
    """
    service = Service(checkpoint, model, seed)

    def known(request: Request) -> None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if key is not None and not secrets.compare_digest(sent, key.encode()):
            raise Refused(401, "the bearer token is not this server's key", code="invalid_api_key")

    app = FastAPI(title="Whetstone", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(BodyLimit)
    if loopback:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)
    entry = {
        "id": model,
        "object": "model",
        "created": 0,
        "owned_by": "whetstone",
        "max_model_len": checkpoint.context,
    }
    behind_key = [Depends(known)]
    app.get("/health")(lambda: {"status": "ok"})
    app.get("/v1/models", dependencies=behind_key)(lambda: {"object": "list", "data": [entry]})

    @app.get("/v1/models/{name:path}", dependencies=behind_key)
    def one_model(name: str) -> dict[str, Any]:
        if name != model:
            raise Refused(404, f"The model {name!r} does not exist", "model", "model_not_found")
        return entry

    @app.post("/v1/chat/completions", dependencies=behind_key, response_model=None)
    def chat(request: ChatRequest) -> Any:
        return service.chat(request)

    @app.post("/v1/completions", dependencies=behind_key, response_model=None)
    def complete(request: CompletionRequest) -> Any:
        return service.complete(request)

    _add_errors(app)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    def refused(_: Request, fault: Refused) -> JSONResponse:
        return JSONResponse(fault.body, fault.status)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, fault: RequestValidationError) -> JSONResponse:
        first = fault.errors()[0]  # of a body that is no JSON the place is a number of characters
        parts = () if first["type"] == "json_invalid" else first["loc"]
        param = ".".join(str(part) for part in parts if part != "body") or None
        said = str(first["msg"]).removeprefix("Value error, ")
        text = f"{param}: {said}" if param else said
        return JSONResponse(answers.error(text, INVALID, param), 400)

    @app.exception_handler(HTTPException)
    def no_route(_: Request, fault: HTTPException) -> JSONResponse:
        return JSONResponse(answers.error(str(fault.detail), INVALID), fault.status_code)

    @app.exception_handler(Exception)
    def failed(_: Request, fault: Exception) -> JSONResponse:
        return JSONResponse(answers.error(f"{type(fault).__name__}: {fault}", "server_error"), 500)
