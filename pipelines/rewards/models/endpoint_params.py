"""Parameters of a verifier behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pipelines.rewards.models.chat_verifier_params import ChatAskingParams
from pipelines.rewards.models.verifier_params import ReadingParams


class EndpointParams(ReadingParams):
    """A verifier or teacher served by vLLM, llama.cpp, Ollama or the like. The result's identity includes the
    model's name and the template, not its weights: pin the model.
    """

    kind: Literal["endpoint"] = "endpoint"
    url: str = Field("http://127.0.0.1:8000/v1", description="base of the API; /chat/completions is added")
    model: str = Field(min_length=1, description="name that the server knows the model by, with its version")
    key_variable: str | None = Field(
        None, description="environment variable that holds the key; the key itself never stands in a file"
    )
    allow_remote: bool = Field(
        False, description="send questions and answers to another machine than this one"
    )
    timeout_s: float = Field(60.0, gt=0, description="for one answer")
    tries: int = Field(
        4, ge=1, le=20, description="for one answer, with growing pauses; then it is an error verdict"
    )
    parallel: int = Field(8, ge=1, le=256, description="requests at once")
    asking: ChatAskingParams = ChatAskingParams()

    @property
    def on_this_machine(self) -> bool:
        return _loopback(urlsplit(self.url).hostname or "")

    @model_validator(mode="after")
    def _stays_here(self) -> EndpointParams:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r} is no http or https address")
        if parts.username or parts.password:
            raise ValueError("url holds credentials; name an environment variable in key_variable instead")
        if not self.allow_remote and not _loopback(parts.hostname):
            raise ValueError(
                f"url {self.url!r} is another machine: questions and answers would leave this one; set "
                f"allow_remote: true if so"
            )
        return self


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
