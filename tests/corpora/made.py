"""Small corpora for the tests: an exam of a few hundred problems, rows of JSONL, and the place of the real
data.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipelines.corpora.build import build
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.records.example import Example
from pipelines.corpora.records.record import Record
from pipelines.corpora.records.tokenised import read_tokenised
from pipelines.corpora.records.training_texts import TrainingTexts
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import TemplateParams, TokenizerParams
from pipelines.models.tokenizer_training import make_tokens

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("WHETSTONE_DATA", ROOT / "../shared/data"))
CHAR = {"kind": "char", "alphabet": "bytes"}

EXAM: Mapping[str, Any] = {
    "raw": "raw/exam",
    "sources": {"exam": {"reader": "exam", "n_sft": 120, "n_rl": 160, "n_validation": 60, "n_heldout": 80}},
    "validation_share": 0.1,
    "heldout_share": 0.15,
    "near": None,
    "decontaminate": {"ngram": None, "near": False},
    "tokenizer": {"kind": "bpe", "vocab_size": 144},
}


@dataclass(frozen=True)
class MadeCorpus:
    """A set as text (`examples`), the contract of a model, and the set as that model reads it (`records`).
    `left_out`: by file and reason, what the model leaves out.
    """

    examples: Mapping[str, Sequence[Example]]
    tokens: Tokens
    records: Mapping[str, Sequence[Record]]
    left_out: Mapping[str, Counter[str]]
    metrics: Mapping[str, Any]


def corpus_of(
    name: str, value: Mapping[str, Any], root: Path, seed: int, folder: Path, **options: Any
) -> MadeCorpus:
    """`value`: parameters of a corpus, and `tokenizer` and `template` of the model that reads it; the contract
    lies in `folder` and the set in folder.records, as text.
    """
    value = dict(value)
    tokenizer: Any = TypeAdapter(TokenizerParams).validate_python(value.pop("tokenizer", CHAR))
    template = TemplateParams.model_validate(value.pop("template", {}))
    texts = folder.with_name(f"{folder.name}.records")
    opened = {"open_source": options["open_source"]} if "open_source" in options else {}
    corpus = build(name, CorpusParams.model_validate(value), root, seed, texts, **options)
    tokens = make_tokens(tokenizer, template, TrainingTexts.of(texts), folder, **opened)
    read = {file: read_tokenised(texts, file, tokens) for file in corpus.examples}
    return MadeCorpus(
        corpus.examples,
        tokens,
        {file: tokenised.records for file, tokenised in read.items()},
        {file: tokenised.left_out for file, tokenised in read.items()},
        corpus.metrics,
    )


def exam(
    folder: Path,
    seed: int = 0,
    root: Path = ROOT / "raw/exam",
    corpus: Mapping[str, Any] | None = None,
    **source: Any,
) -> MadeCorpus:
    """The embedded exam, small; `source` and `corpus` replace parameters."""
    value = {**EXAM, **(corpus or {})}
    value["sources"] = {"exam": {**EXAM["sources"]["exam"], **source}}
    return corpus_of("exam", value, root, seed, folder)


def table(
    folder: Path,
    root: Path,
    splits: Mapping[str, str],
    columns: Mapping[str, str] | None = None,
    **corpus: Any,
) -> MadeCorpus:
    """A corpus of local tables with a byte-level character tokenizer."""
    source = {
        "reader": "table",
        "splits": dict(splits),
        "columns": dict(columns or {}),
        **corpus.pop("source", {}),
    }
    value = {"raw": "raw", "sources": {"t": source}, "validation_share": 0, "tokenizer": CHAR, **corpus}
    return corpus_of("t", value, root, 0, folder)


def published(folder: Path, root: Path, reader: str, files: Mapping[str, str], **corpus: Any) -> MadeCorpus:
    """A corpus of one published set."""
    value = {
        "raw": "raw",
        "sources": {reader: {"reader": reader, "files": dict(files)}},
        "validation_share": 0,
        "tokenizer": CHAR,
        **corpus,
    }
    return corpus_of(reader, value, root, 0, folder)


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    """JSONL; text rows go in as they are."""
    data = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def real(*parts: str) -> Path:
    """A folder of the real data; the test is skipped where there is none."""
    folder = DATA.joinpath(*parts)
    if not folder.exists():
        pytest.skip(f"no real data at {folder}; set WHETSTONE_DATA")
    return folder
