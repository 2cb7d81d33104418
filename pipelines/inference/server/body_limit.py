"""A limit of the bytes of a request: what is longer than any prompt is not read into memory."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 16 << 20  # JSON of a prompt for a context of millions of tokens


@dataclass
class BodyLimit:
    """ASGI middleware: whoever reads a body of more than `most` bytes is told 413 in its place."""

    app: ASGIApp
    most: int = MOST_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:
                raise HTTPException(413, f"the request has more than {self.most} bytes")
            return message

        await self.app(scope, limited, send)
