"""Small corpora for the tests: an exam of a few hundred problems, rows of JSONL, and the place of the real
data.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.corpora.build import Corpus, build
from pipelines.corpora.corpus_params import CorpusParams

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


def exam(
    folder: Path,
    seed: int = 0,
    root: Path = ROOT / "raw/exam",
    corpus: Mapping[str, Any] | None = None,
    **source: Any,
) -> Corpus:
    """The embedded exam, small; `source` and `corpus` replace parameters."""
    value = {**EXAM, **(corpus or {})}
    value["sources"] = {"exam": {**EXAM["sources"]["exam"], **source}}
    return build("exam", CorpusParams.model_validate(value), root, seed, folder)


def table(
    folder: Path,
    root: Path,
    splits: Mapping[str, str],
    columns: Mapping[str, str] | None = None,
    **corpus: Any,
) -> Corpus:
    """A corpus of local tables with a byte-level character tokenizer."""
    source = {
        "reader": "table",
        "splits": dict(splits),
        "columns": dict(columns or {}),
        **corpus.pop("source", {}),
    }
    value = {"raw": "raw", "sources": {"t": source}, "validation_share": 0, "tokenizer": CHAR, **corpus}
    return build("t", CorpusParams.model_validate(value), root, 0, folder)


def published(folder: Path, root: Path, reader: str, files: Mapping[str, str], **corpus: Any) -> Corpus:
    """A corpus of one published set."""
    value = {
        "raw": "raw",
        "sources": {reader: {"reader": reader, "files": dict(files)}},
        "validation_share": 0,
        "tokenizer": CHAR,
        **corpus,
    }
    return build(reader, CorpusParams.model_validate(value), root, 0, folder)


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
