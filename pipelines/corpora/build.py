"""A corpus from raw data: read the sources, clean and split them, fix the tokenizer, make the ids: all that the corpus stage does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.corpora.clean import Clean, Row, clean
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.lengths import spread
from pipelines.corpora.problem import Problem, Reading
from pipelines.corpora.record import Record
from pipelines.corpora.split import Shares
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_training import make_tokens
from pipelines.seams import load

FILES = ("sft", "rl", "validation", "heldout")


@dataclass(frozen=True)
class Corpus:
    """Records by file name, the tokenisation contract, and every count on the way."""

    records: Mapping[str, Sequence[Record]]
    tokens: Tokens
    metrics: Mapping[str, Any]


def build(
    name: str,
    params: CorpusParams,
    root: Path,
    seed: int,
    tokenizer_folder: Path,
    offline: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Corpus:
    """`root`: the raw file or folder. TooManyBadRows, ValueError or OSError when the raw data cannot be used; all name file and way out."""
    ledgers: dict[str, Ledger] = {}
    found: dict[str, list[Problem]] = {}
    for source_name, source in params.sources.items():
        ledger = ledgers[source_name] = Ledger(source_name)
        reading = Reading(root, source_name, seed, Shares(params.validation_share, params.heldout_share), ledger, offline)
        found[source_name] = list(load("pipelines.corpora.readers", source.reader).read(source, reading))
        ledger.check(params.max_bad_rows)
        say(f"{source_name}: {len(found[source_name])} problems, {ledger.bad} bad rows" + "".join(f"\n  {line}" for line in ledger.first))
    rows = clean(found, params)
    tokens = make_tokens(params.tokenizer, params.template, params.reward, _training_texts(rows), tokenizer_folder, offline)
    records, dropped = _tokenise(rows, tokens, params)
    if not records["rl"] or not records["heldout"]:
        empty = "rl" if not records["rl"] else "heldout"
        raise ValueError(f"corpus {name} has no {empty} rows left; look at the sources' files, heldout_share and the token limits")
    metrics = {
        "corpus": name,
        "sources": {key: ledger.summary() for key, ledger in ledgers.items()},
        **{step: dict(sorted(counts.items())) for step, counts in sorted(rows.counts.items())},
        "dropped": dict(sorted(dropped.items())),
        "records": {file: len(records[file]) for file in FILES},
        "subjects": {file: dict(sorted(Counter(record.subject for record in records[file]).items())) for file in FILES},
        "levels": {file: dict(sorted(Counter(str(record.level) for record in records[file]).items())) for file in FILES},
        "prompt_tokens": {file: spread([len(record.prompt_ids) for record in records[file]]) for file in FILES},
        "response_tokens": spread([len(record.response_ids) for record in records["sft"] if record.response_ids]),
        "tokenizer": {"kind": params.tokenizer.kind, "vocab_size": tokens.vocab_size, "template_digest": tokens.template.digest},
    }
    return Corpus(records, tokens, metrics)


def _training_texts(rows: Clean) -> Iterator[tuple[str, str | None]]:
    for row in rows.training():
        yield row.problem.question, row.problem.solution


def _tokenise(rows: Clean, tokens: Tokens, params: CorpusParams) -> tuple[dict[str, list[Record]], Counter[str]]:
    """Records by file; rows whose prompt is too long or cannot be encoded are dropped, over-long demonstrations only from sft."""
    ledger, dropped = Ledger("tokenisation"), Counter[str](long_prompt=0, long_response=0, not_encodable=0)
    records: dict[str, list[Record]] = {file: [] for file in FILES}
    for role, found in rows.rows.items():
        for row in found:
            record = _record(row, tokens, ledger)
            if record is None:
                dropped["not_encodable"] += 1
            elif len(record.prompt_ids) > params.max_prompt_tokens:
                dropped["long_prompt"] += 1
            else:
                if role in ("train", "sft") and record.response_ids is not None:
                    if len(record.response_ids) <= params.max_response_tokens:
                        records["sft"].append(record)
                    else:
                        dropped["long_response"] += 1
                if role in ("train", "rl"):
                    records["rl"].append(record)
                if role in ("validation", "heldout"):
                    records[role].append(record)
    ledger.check(params.max_bad_rows)
    return records, dropped


def _record(row: Row, tokens: Tokens, ledger: Ledger) -> Record | None:
    problem = row.problem
    for text in (problem.question, problem.solution or ""):
        reason = tokens.reason_against(text)
        if reason:
            ledger.reject(f"{row.id} ({problem.question[:40]!r})", reason)
            return None
    ledger.accept()
    return Record(
        id=row.id,
        prompt=problem.question,
        response=problem.solution,
        answer=problem.answer,
        subject=problem.subject,
        level=problem.level,
        source=row.source,
        prompt_ids=tokens.encode_prompt(problem.question),
        response_ids=None if problem.solution is None else tokens.encode_response(problem.solution),
        meta=problem.meta,
    )
