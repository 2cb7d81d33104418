"""The examples of a set as records of one model: rendered and tokenised by the model's contract where a stage
begins, within the set's limits.

What cannot be tokenised or is too long is left out and counted. Ids of a file are kept where a folder is
given for it; they are derived from it and the contract alone, so that a kept one and a new one are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.corpora.example import Example, read_examples
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.record import Record
from pipelines.corpora.rendering import NotEncodable, record_of
from pipelines.corpora.rows_kept import none_left
from pipelines.corpora.set_rules import SetRules
from pipelines.models.tokenizer import Tokens

DEMONSTRATIONS = "sft"  # the file whose long demonstrations are left out; of others they are not looked at


@dataclass(frozen=True)
class Tokenised:
    """Records in the order of the file, how many examples it holds, and those left out by reason:
    not_encodable, long_prompt, long_response. `rules` are the set's.
    """

    records: Sequence[Record]
    read: int
    rules: SetRules
    left_out: Counter[str] = field(default_factory=Counter)


def read_tokenised(folder: Path, file: str, tokens: Tokens) -> Tokenised:
    """`folder`/`file`.jsonl for a model with `tokens`. TooManyBadRows names rows and reasons where more of
    them cannot be tokenised than the set allows.
    """
    rules, path = SetRules.read(folder), folder / f"{file}.jsonl"
    return tokenise(read_examples(path), tokens, rules, str(path), file == DEMONSTRATIONS)


def tokenise(
    examples: Sequence[Example], tokens: Tokens, rules: SetRules, where: str, demonstrations: bool = False
) -> Tokenised:
    """With `demonstrations` those longer than the set's limit are left out too. `where` is for errors."""
    ledger, left_out = Ledger(where), Counter[str]()
    records = []
    for line, example in enumerate(examples, 1):
        record = record_of(example, tokens, rules.answers)
        if isinstance(record, NotEncodable):
            ledger.reject(f"{where}:{line}", f"{record.where}: {record.reason}", record.reason)
            left_out["not_encodable"] += 1
            continue
        ledger.accept()
        if reason := _too_long(record, rules, demonstrations):
            left_out[reason] += 1
        else:
            records.append(record)
    if ledger.bad:
        ledger.check(rules.max_bad_rows)
    if examples and not records:
        raise ValueError(f"{where}: {none_left(len(examples), left_out)}")
    return Tokenised(records, len(examples), rules, left_out)


def _too_long(record: Record, rules: SetRules, demonstrations: bool) -> str:
    prompt, response = len(record.prompt_ids), len(record.response_ids or ())
    if prompt > rules.max_prompt_tokens:
        return "long_prompt"
    both = rules.max_tokens or prompt + response
    return (
        "long_response"
        if demonstrations and (response > rules.max_response_tokens or prompt + response > both)
        else ""
    )
