"""A verifier or teacher behind an OpenAI-compatible endpoint: reads the top log-probs of the first token,
else a hard label.

A failure (no connection, time-out, an answer that is no label) becomes an error verdict with its reason,
after the configured retries.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from pipelines.rewards.generative.reading import LabelProbabilities
from pipelines.rewards.generative.verifier_judge import JudgeQuery, VerifierJudge
from pipelines.rewards.judge import Judge, JudgeContext
from pipelines.rewards.models.options import EndpointParams

TOP_LOGPROBS = 20  # the API's limit
MAX_TOKENS = 8  # a label may have several tokens, and a server may give no log-probs
PAUSE_S = 0.5
RETRY_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class EndpointLabels:
    """A LabelModel over HTTP; `client` replaces the HTTP client in tests."""

    temperature, model = 1.0, None

    def __init__(self, options: EndpointParams, client: httpx.Client | None = None) -> None:
        self._options = options
        headers = {}
        if options.key_variable:
            key = os.environ.get(options.key_variable)
            if not key:
                raise ValueError(
                    f"key_variable names {options.key_variable}, which is not set in the environment"
                )
            headers["Authorization"] = f"Bearer {key}"
        # a server of this machine is never asked through a proxy
        self._client = client or httpx.Client(
            timeout=options.timeout_s, headers=headers, trust_env=not options.on_this_machine
        )

    def read(self, asks: Sequence[JudgeQuery]) -> list[LabelProbabilities | str]:
        with ThreadPoolExecutor(self._options.parallel) as pool:
            return list(pool.map(self._read, asks))

    def _read(self, ask: JudgeQuery) -> LabelProbabilities | str:
        asking = self._options.asking
        messages = [{"role": "system", "content": asking.system}] if asking.system else []
        messages.append(
            {"role": "user", "content": asking.prompt.render(ask.question, ask.candidate, ask.key)}
        )
        body = {
            "model": self._options.model,
            "messages": messages,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
        }
        reason = ""
        for turn in range(self._options.tries):
            if turn:
                time.sleep(PAUSE_S * 2 ** (turn - 1))
            try:
                reply = self._client.post(f"{self._options.url.rstrip('/')}/chat/completions", json=body)
            except httpx.HTTPError as failure:
                reason = f"endpoint {self._options.url}: {type(failure).__name__}"
                continue
            if reply.status_code == 200:
                return self._reading(reply)
            reason = f"endpoint {self._options.url}: status {reply.status_code}"
            if reply.status_code not in RETRY_STATUS:
                break
        return reason

    def _reading(self, reply: httpx.Response) -> LabelProbabilities | str:
        asking = self._options.asking
        try:
            choice: dict[str, Any] = reply.json()["choices"][0]
            content = (choice.get("logprobs") or {}).get("content") or []
            text = str(choice["message"]["content"] or "").strip()
            chances = (
                {
                    row["token"]: math.exp(min(0.0, float(row["logprob"])))
                    for row in (content[0].get("top_logprobs") or [])
                }
                if content
                else {}
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as failure:
            return f"endpoint: an answer that is none of the API's ({type(failure).__name__})"
        read = LabelProbabilities(
            *(
                sum(chances.get(label, 0.0) for label in set(labels))
                for labels in (asking.positive, asking.negative)
            )
        )
        if read.positive or read.negative:
            return read
        # a label of several tokens, or a server without log-probs
        first = next(iter(text.split()), "").strip(".,:;!*`'\"()[]")
        for spellings, reading in (
            (asking.positive, LabelProbabilities(1.0, 0.0)),
            (asking.negative, LabelProbabilities(0.0, 1.0)),
        ):
            if first in {label.strip() for label in spellings}:
                return reading
        return f"unparsed: {text[:40]!r}"


def make_judge(options: EndpointParams, context: JudgeContext) -> Judge:
    """Returns a judge over the endpoint that the options name; `context` is not used."""
    return VerifierJudge(EndpointLabels(options), options)
