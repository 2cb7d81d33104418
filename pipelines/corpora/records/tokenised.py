"""The examples of a set as records of one model: rendered and tokenised at the start of a stage with the
model's tokenizer and chat template, within the set's limits.

What cannot be tokenised or is too long is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.records.example import Example, read_examples
from pipelines.corpora.records.record import Record
from pipelines.corpora.records.rendering import NotEncodable, row_of, with_ids
from pipelines.corpora.records.rows_kept import none_left_message
from pipelines.corpora.records.set_rules import SetRules
from pipelines.corpora.records.token_cache import TokenRow, cached
from pipelines.models.tokenizer import Tokens

DEMONSTRATIONS = "sft"  # the file whose long demonstrations are left out; of others they are not looked at


@dataclass(frozen=True)
class Tokenised:
    """`records`: in the order of the file; `read`: the number of examples in it; `left_out`: examples left
    out, by reason: not_encodable, long_prompt, long_response; `rules`: those of the set.
    """

    records: Sequence[Record]
    read: int
    rules: SetRules
    left_out: Counter[str] = field(default_factory=Counter)


def read_tokenised(folder: Path, file: str, tokens: Tokens, cache: Path | None = None) -> Tokenised:
    """Returns the records of `folder`/`file`.jsonl for a model with `tokens`. `cache`: folder of cached ids.
    Raises TooManyBadRows, naming rows and reasons, where more of them cannot be tokenised than the set
    allows.
    """
    rules, path = SetRules.read(folder), folder / f"{file}.jsonl"
    examples = read_examples(path)

    def compute() -> list[TokenRow]:
        return [_row(example, tokens, rules) for example in examples]

    rows = cached(cache, path, tokens, f"records {rules.answers}", compute)
    return _within(examples, rows, rules, str(path), file == DEMONSTRATIONS)


def tokenise(
    examples: Sequence[Example], tokens: Tokens, rules: SetRules, where: str, demonstrations: bool = False
) -> Tokenised:
    """Returns the records of examples that are in memory. With `demonstrations` those longer than the set's
    limit are left out too. `where` is for errors.
    """
    rows = [_row(example, tokens, rules) for example in examples]
    return _within(examples, rows, rules, where, demonstrations)


def _row(example: Example, tokens: Tokens, rules: SetRules) -> TokenRow:
    """Returns the ids of prompt, response and earlier turns that are trained on; or why there are none."""
    row = row_of(example, tokens, rules.answers)
    return f"{row.where}: {row.reason}" if isinstance(row, NotEncodable) else row


def _within(
    examples: Sequence[Example], rows: Sequence[TokenRow], rules: SetRules, where: str, demonstrations: bool
) -> Tokenised:
    """Returns the records within the set's limits."""
    ledger, left_out, records = Ledger(where), Counter[str](), []
    for line, (example, row) in enumerate(zip(examples, rows, strict=True), 1):
        if isinstance(row, str):
            ledger.reject(f"{where}:{line}", row)
            left_out["not_encodable"] += 1
            continue
        ledger.accept()
        record = with_ids(example, row)
        if reason := _too_long(record, rules, demonstrations):
            left_out[reason] += 1
        else:
            records.append(record)
    if ledger.bad:
        ledger.check(rules.max_bad_rows)
    if examples and not records:
        raise ValueError(f"{where}: {none_left_message(len(examples), left_out)}")
    return Tokenised(records, len(examples), rules, left_out)


def _too_long(record: Record, rules: SetRules, demonstrations: bool) -> str:
    """Returns the reason why a record is too long; empty where it is not."""
    prompt, response = len(record.prompt_ids), len(record.response_ids or ())
    if prompt > rules.max_prompt_tokens:
        return "long_prompt"
    limit = rules.max_tokens or prompt + response
    return (
        "long_response"
        if demonstrations and (response > rules.max_response_tokens or prompt + response > limit)
        else ""
    )
