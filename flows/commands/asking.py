"""`whetstone chat`, `sample`, `serve-model`: asking a trained model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command_line import err, fail, out

if TYPE_CHECKING:
    from pipelines.rollouts.rollout_params import SamplingParams

Model = Annotated[
    str,
    typer.Argument(
        help="A run by its name (`grpo`), a folder with a model, a .gguf file, or a registered model."
    ),
]
Temperature = Annotated[
    float, typer.Option("--temperature", "-t", help="0 takes the most likely token.", min=0, max=10)
]
TopP = Annotated[float, typer.Option("--top-p", help="Smallest set of tokens with this probability.", max=1)]
TopK = Annotated[int, typer.Option("--top-k", help="This many most likely tokens; 0 is off.", min=0)]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", help="Longest response, what ends it included.", min=1)
]
Seed = Annotated[int, typer.Option("--seed", help="With the same seed the same responses are drawn.")]
LONGEST = 512


class ServingEngine(StrEnum):
    auto = "auto"
    vllm = "vllm"
    local = "local"


def chat(
    model: Model,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="OTHER", help="Ask this model as well, turn by turn.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="A system turn; needs a chat template.")
    ] = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    max_tokens: MaxTokens = LONGEST,
    seed: Seed = 0,
) -> None:
    """Talk to a model in the terminal; lines of a pipe are turns too.

    Example: [bold]whetstone chat grpo --compare sft --temperature 0[/]
    """
    import sys

    from flows.chat_command import chat as talk

    sampling = _sampling(temperature, top_p, top_k, max_tokens)
    try:
        talk([model, *([compare] if compare else [])], sampling, seed, system, sys.stdin, out)
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error), 2)


def sample(
    model: Model,
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="JSON Lines with `prompt`, `question` or `messages`; or text, a prompt a line; - is stdin.",
        ),
    ],
    target: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Default: standard output.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Responses to each prompt.", min=1)] = 1,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    max_tokens: MaxTokens = LONGEST,
    seed: Seed = 0,
) -> None:
    """Write a model's responses to the prompts of a file, as JSON Lines: each row with its `response`,
    tokens and `finish_reason` (stop, length or context).

    A response depends on its prompt, seed and sampling alone. Rows that are no prompts are named, and
    nothing is sampled then.

    Example: [bold]whetstone sample grpo --prompts questions.jsonl -o answers.jsonl --seed 1[/]
    """
    from flows.sample_command import sample_file

    sampling = _sampling(temperature, top_p, top_k, max_tokens)
    try:
        count = sample_file(model, prompts, target, sampling, seed, samples)
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error), 2)
    if target:
        err.print(f"{target}: {count} responses", markup=False)


def serve_model(
    model: Model,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8000,
    name: Annotated[
        str | None, typer.Option("--name", help="What clients call it; default the run's or folder's name.")
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Another than this machine's own needs --key-variable.")
    ] = "127.0.0.1",
    key_variable: Annotated[
        str | None,
        typer.Option("--key-variable", help="Environment variable with the key that clients must send."),
    ] = None,
    engine: Annotated[
        ServingEngine, typer.Option("--engine", help="auto: vLLM where it is installed.")
    ] = ServingEngine.auto,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of requests that have none; default one drawn for each.")
    ] = None,
) -> None:
    """Serve a model by the OpenAI API on loopback, until Ctrl-C: /v1/chat/completions and /v1/completions,
    streamed or whole, with log-probs, and /v1/models.

    Example: [bold]whetstone serve-model grpo --port 8000[/], and in params.yaml
    [bold]{kind: endpoint, url: "http://127.0.0.1:8000/v1", model: grpo}[/]
    """
    from flows.serve_model_command import serve

    try:
        code = serve(
            model,
            host,
            port,
            name,
            key_variable,
            engine.value,
            seed,
            lambda text: err.print(text, markup=False),
        )
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error), 2)
    raise typer.Exit(code)


def _sampling(temperature: float, top_p: float, top_k: int, max_tokens: int) -> SamplingParams:
    from pydantic import ValidationError

    from pipelines.rollouts.rollout_params import SamplingParams

    try:
        return SamplingParams(temperature=temperature, top_p=top_p, top_k=top_k, max_new_tokens=max_tokens)
    except ValidationError as error:
        fault = error.errors()[0]
        fail(f"--{'-'.join(map(str, fault['loc']))}: {fault['msg']}".replace("_", "-"), 2)
