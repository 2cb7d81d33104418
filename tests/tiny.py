"""The smallest real thing: a character tokenizer of 17 tokens, sums of two digits, a two-layer model. Shared
by the learning tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.corpora.records.record import Record
from pipelines.models import policy
from pipelines.models.base_params import ArchitectureParams
from pipelines.models.placement import Placement
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import CharTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens

ARCHITECTURE = ArchitectureParams(
    hidden_size=32, intermediate_size=64, layers=2, heads=2, kv_heads=1, context=64
)
CPU = Placement.resolve("cpu", "float32", 0)


def make_tiny_tokens(folder: Path) -> Tokens:
    """Digits, `+`, `#`, space and the special tokens."""
    return make_tokens(CharTokenizer(kind="char"), TemplateParams(), [("0123456789+ #", None)], folder)


def make_tiny_model(tokens: Tokens, seed: int = 0, family: str = "qwen2") -> Any:
    return policy.without_dropout(
        policy.build(ARCHITECTURE.model_copy(update={"family": family}), tokens, seed)
    )


def make_records(tokens: Tokens, count: int, demonstrated: bool = True) -> list[Record]:
    """`a+b` with answer (a + b) mod 10, demonstrated as `#### c`."""
    records = []
    for index in range(count):
        a, b = index % 10, index * 7 // 10 % 10
        prompt, answer = f"{a}+{b}", str((a + b) % 10)
        response = f"#### {answer}" if demonstrated else None
        ids = tokens.encode_response(response) if response else None
        records.append(
            Record(
                f"sum:{index}",
                prompt,
                response,
                answer,
                "sum",
                a % 3,
                "tiny",
                tokens.encode_prompt(prompt),
                ids,
            )
        )
    return records
