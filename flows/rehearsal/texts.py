"""Whether the rows of each set fit the model that reads them: what is left out, what its context holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.configured_run import Finding
from pipelines.corpora.records.pair_tokens import read_pairs
from pipelines.corpora.records.rows_kept import WARNING_SHARE, rows_kept, rows_sentence
from pipelines.corpora.records.tokenised import Tokenised, read_tokenised
from pipelines.models.tokenizer import Tokens

FILES = {"sft": "sft", "rl": "rl", "evaluate": "heldout"}


def findings(folder: Path, params: Any, contexts: dict[str, int]) -> Iterator[Finding]:
    """Yields a finding for each set and the model that reads it. `contexts`: positions by model."""
    told: set[tuple[str, str, int]] = set()
    for family, file in FILES.items():
        for name, run in getattr(params, family).runs.items():
            model = run.start if family != "evaluate" else run.model
            records = folder / "whole" / "data" / run.data / "records"
            key = (run.data, file, contexts.get(model, 0))
            if key in told or not (records / f"{file}.jsonl").exists() or model not in contexts:
                continue
            told.add(key)
            tokens, what = Tokens.load(folder / "models" / model / "model"), f"rows of {family}@{name}"
            try:
                rows = read_tokenised(records, file, tokens)
            except ValueError as error:
                yield Finding(what, False, str(error), "see the message; `whetstone show` prints a row")
                continue
            new_tokens = 0 if family == "sft" else run.sampling.max_new_tokens
            yield _fit(what, rows, contexts[model], new_tokens, f"corpus.{run.data}")
    for name, run in params.dpo.runs.items():
        pairs, model = folder / "whole" / "data" / run.data / "pairs", run.start
        if (pairs / "train.jsonl").exists() and model in contexts:
            yield _pairs(f"pairs of dpo@{name}", pairs, Tokens.load(folder / "models" / model / "model"))


def _fit(what: str, rows: Tokenised, context: int, new_tokens: int, section: str) -> Finding:
    if not rows.records:
        return Finding(what, False, "the set is empty", f"look at {section}: its files, shares and limits")
    counted = rows_kept(rows.read, rows.left_out)
    said = rows_sentence(counted)
    lengths = [
        len(record.prompt_ids) + (0 if new_tokens else len(record.response_ids or ()))
        for record in rows.records
    ]
    over = sum(length >= context for length in lengths)
    if over:
        return Finding(
            what,
            False,
            f"{over} of {len(lengths)} are as long as the model's context of {context} tokens, or longer "
            f"(longest {max(lengths)})",
            f"lower {section}.max_prompt_tokens below {context}, or take a model with a longer context",
        )
    if counted["read"] - counted["kept"] > WARNING_SHARE * counted["read"]:
        return Finding(what, False, said, f"raise the limits of {section}, or look at its rows")
    cut = sum(length + new_tokens > context for length in lengths)
    note = f"; responses to {cut} of them are cut at the context of {context}" if cut else ""
    return Finding(what, True, f"{said}; longest {max(lengths)} tokens of a context of {context}{note}")


def _pairs(what: str, folder: Path, tokens: Tokens) -> Finding:
    try:
        pairs = read_pairs(folder, "train", tokens)
    except ValueError as error:
        return Finding(what, False, str(error), "see the message")
    read = len(pairs.pairs) + pairs.left_out.total()
    counted = rows_kept(read, pairs.left_out, "pairs")
    bad = not pairs.pairs or counted["read"] - counted["kept"] > WARNING_SHARE * counted["read"]
    return Finding(what, not bad, rows_sentence(counted), "raise the set's limits, or look at its pairs")
