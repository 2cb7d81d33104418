"""A corpus from raw data: read the sources, clean and split them, fix the tokenizer, make the ids: all that
the corpus stage does.

Rows lie on disk between the steps, and records are written as they are made: memory does not grow with the
texts.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.corpora.clean import Clean, Row, clean, losses, rows_read
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.lengths import spread
from pipelines.corpora.portions import over_portions
from pipelines.corpora.problem import Problem, Reading
from pipelines.corpora.record import RecordFiles, line_of
from pipelines.corpora.rendering import NotEncodable, record_of
from pipelines.corpora.roles import absent, idle_shares, reachable, roles_of
from pipelines.corpora.rows_kept import rows_kept
from pipelines.corpora.split import Shares
from pipelines.corpora.spool import PORTION
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_training import make_tokens
from pipelines.seams import load
from pipelines.sources.opening import Opener, unrecorded

FILES = ("sft", "rl", "validation", "heldout")
WAYS = {
    "sft": (
        "name columns.solution where the rows hold demonstrations, raise max_response_tokens, "
        "or give the rows the role rl"
    ),
    "rl": "look at the sources' files and the token limits",
    "heldout": "look at the sources' files, heldout_share and the token limits",
}
DROPPED = ("long_prompt", "long_response", "no_demonstration", "not_encodable")


@dataclass(frozen=True)
class Corpus:
    """Records by file name, the tokenisation contract, and every count on the way."""

    records: RecordFiles
    tokens: Tokens
    metrics: Mapping[str, Any]


def build(
    name: str,
    params: CorpusParams,
    root: Path,
    seed: int,
    tokenizer_folder: Path,
    say: Callable[[str], None] = lambda _: None,
    records: Path | None = None,
    processes: int | None = None,
    open_source: Opener = unrecorded,
) -> Corpus:
    """`root`: the raw file or folder; `records`: the folder of the records, absent: beside the tokenizer's;
    `processes` as in `over_portions`. TooManyBadRows, ValueError or OSError when the raw data cannot be used;
    all name file and way out.
    """
    folder = records or tokenizer_folder.with_name(f"{tokenizer_folder.name}.records")
    folder.mkdir(parents=True, exist_ok=True)
    ledgers = {source: Ledger(source) for source in params.sources}

    def problems(source: str) -> Iterator[Problem]:
        settings, ledger, count = params.sources[source], ledgers[source], 0
        shares = Shares(params.validation_share, params.heldout_share)
        reading = Reading(root, source, seed, shares, ledger, open_source=open_source)
        for problem in load("pipelines.corpora.readers", settings.reader).read(settings, reading):
            count += 1
            yield problem
        ledger.check(params.max_bad_rows)
        say(
            f"{source}: {count} problems, {ledger.bad} bad rows"
            + "".join(f"\n  {line}" for line in ledger.first)
        )

    rows = clean({source: problems(source) for source in params.sources}, params, folder, processes)
    tokens = make_tokens(
        params.tokenizer, params.template, params.reward, _TrainingTexts(rows), tokenizer_folder, open_source
    )
    figures = _write(rows, tokens, params, folder, processes)
    if figures.unencodable.bad:
        say(
            f"{figures.unencodable.bad} rows cannot be encoded"
            + "".join(f"\n  {line}" for line in figures.unencodable.first)
        )
    lost = losses(rows, ledgers.values()) + figures.lost
    for note in idle_shares(params):
        say(note)
    _refuse_empty(name, params, figures, lost)
    read = rows_read(rows, ledgers.values())
    metrics = {
        "corpus": name,
        "sources": {key: ledger.summary() for key, ledger in ledgers.items()},
        "rows": rows_kept(read, lost),
        **{step: dict(sorted(counts.items())) for step, counts in sorted(rows.counts.items())},
        "dropped": dict(sorted(figures.dropped.items())),
        "not_encodable": figures.unencodable.summary(),
        "records": dict(figures.records),
        "subjects": {file: dict(sorted(figures.subjects[file].items())) for file in FILES},
        "levels": {file: dict(sorted(figures.levels[file].items())) for file in FILES},
        "prompt_tokens": {file: spread(figures.prompts[file]) for file in FILES},
        "response_tokens": spread(figures.responses),
        "tokenizer": {
            "kind": params.tokenizer.kind,
            "vocab_size": tokens.vocab_size,
            "template_digest": tokens.template.digest,
        },
    }
    return Corpus(RecordFiles(folder, FILES), tokens, metrics)


@dataclass(frozen=True)
class _TrainingTexts:
    """Questions and demonstrations that a tokenizer may learn from, read from the disk each time."""

    rows: Clean

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        return ((row.problem.question, row.problem.solution) for row in self.rows.training())


@dataclass
class _Figures:
    """What is counted of the records while they are written. `lost`: rows that come into no file, by reason;
    `dropped` counts over-long demonstrations of others too.
    """

    records: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILES, 0))
    lost: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(DROPPED, 0)))
    subjects: dict[str, Counter[str]] = field(default_factory=lambda: {file: Counter() for file in FILES})
    levels: dict[str, Counter[str]] = field(default_factory=lambda: {file: Counter() for file in FILES})
    prompts: dict[str, array[int]] = field(default_factory=lambda: {file: array("I") for file in FILES})
    responses: array[int] = field(default_factory=lambda: array("I"))
    unencodable: Ledger = field(default_factory=lambda: Ledger("tokenisation"))


@dataclass(frozen=True)
class _Line:
    """A record as it will be written, or the reason against it."""

    where: str
    text: str = ""
    reason: str = ""
    prompt: int = 0
    response: int | None = None
    subject: str = ""
    level: str = ""


def _write(
    rows: Clean, tokens: Tokens, params: CorpusParams, folder: Path, processes: int | None
) -> _Figures:
    """Rows whose prompt is too long or cannot be encoded are dropped, over-long demonstrations only from
    sft.
    """
    ledger, figures = Ledger("tokenisation"), _Figures()
    streams = {file: open(folder / f"{file}.jsonl", "w", encoding="utf-8", newline="\n") for file in FILES}  # noqa: SIM115
    try:
        for role, found in rows.rows.items():
            for line in _lines(found, tokens, processes):
                files, reasons = _files(line, role, params)
                figures.dropped.update(reasons)
                figures.lost.update(reasons if not files else ())
                ledger.reject(line.where, line.reason) if line.reason else ledger.accept()
                for file in files:
                    streams[file].write(line.text)
                    figures.records[file] += 1
                    figures.subjects[file][line.subject] += 1
                    figures.levels[file][line.level] += 1
                    figures.prompts[file].append(line.prompt)
                    if file == "sft" and line.response is not None:
                        figures.responses.append(line.response)
    finally:
        for stream in streams.values():
            stream.close()
    ledger.check(params.max_bad_rows)
    figures.unencodable = ledger
    return figures


def _files(line: _Line, role: str, params: CorpusParams) -> tuple[list[str], list[str]]:
    """The files that a record goes to by its role and lengths, and the reasons why it does not go to
    others.
    """
    if line.reason:
        return [], ["not_encodable"]
    if line.prompt > params.max_prompt_tokens:
        return [], ["long_prompt"]
    if role in ("validation", "heldout"):
        return [role], []
    files = ["rl"] if role in ("train", "rl") else []
    if role == "rl" or (role == "train" and line.response is None):
        return files, []
    if line.response is None:
        return files, ["no_demonstration"]
    if line.response > params.max_response_tokens:
        return files, ["long_response"]
    return ["sft", *files], []


def _refuse_empty(name: str, params: CorpusParams, figures: _Figures, lost: Counter[str]) -> None:
    """ValueError where a file that every corpus needs is empty, or one that its sources name a role for."""
    sources = {key: source.model_dump() for key, source in params.sources.items()}
    roles = frozenset[str]().union(*map(roles_of, sources.values()))
    possible = reachable(sources, params.validation_share, params.heldout_share)
    for file in FILES:
        needed = file in ("rl", "heldout") or (file == "sft" and "sft" in roles)
        if figures.records[file] or not needed:
            continue
        if file not in possible:
            raise ValueError(f"corpus {name}: {absent(file, roles)}")
        why = ", ".join(
            f"{number} {reason.replace('_', ' ')}" for reason, number in lost.most_common() if number
        )
        raise ValueError(
            f"corpus {name} has no {file} rows left ({why or 'none was put aside'}); {WAYS[file]}"
        )


def _lines(rows: Iterable[Row], tokens: Tokens, processes: int | None) -> Iterator[_Line]:
    rest = iter(rows)
    portions = iter(lambda: list(islice(rest, PORTION)), [])
    for lines in over_portions(partial(_encoded, tokens.folder, tokens.digest), portions, processes):
        yield from lines


def _encoded(tokenizer: Path, digest: str, rows: list[Row]) -> list[_Line]:
    tokens = _tokens(tokenizer, digest)
    return [_line(row, tokens) for row in rows]


@cache
def _tokens(folder: Path, digest: str) -> Tokens:
    """Loaded once by each process; `digest` keeps two tokenizers apart that were written into one folder."""
    return Tokens.load(folder)


def _line(row: Row, tokens: Tokens) -> _Line:
    record = record_of(row.id, row.source, row.problem, tokens)
    if isinstance(record, NotEncodable):
        return _Line(record.where, reason=record.reason)
    responded = None if record.response_ids is None else len(record.response_ids)
    return _Line(
        row.id, line_of(record), "", len(record.prompt_ids), responded, record.subject, str(record.level)
    )
