"""Builds a corpus from raw data: reads the sources, cleans and splits them and writes them as text; all that
the corpus stage does.

Rows are kept on disk between the steps, and examples are written as they are made: memory does not grow with
the texts.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.corpora.cleaning.clean import CleanRow, clean, losses, rows_read
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.corpus_params import CorpusParams, VerifierShares
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Problem, Reading
from pipelines.corpora.raw.roles import missing_role_message, possible_files, roles_of, unused_shares
from pipelines.corpora.records.example import Example, ExampleFiles, json_line, lone_surrogate
from pipelines.corpora.records.lengths import length_statistics
from pipelines.corpora.records.rows_kept import rows_kept
from pipelines.corpora.records.set_rules import SetRules
from pipelines.corpora.verifier_questions import FILES, PlacedRows, Reworded, exam_rows, verifier_file
from pipelines.seams import load
from pipelines.sources.opening import Opener, unrecorded

PLAIN_FILES = ("sft", "rl", "validation", "heldout")
REQUIRED_FILES = ("rl", "heldout", "explore", "calib")  # of the files that a set has
REMEDIES = {
    "sft": ("name columns.solution where the rows hold demonstrations, or give the rows the role rl"),
    "rl": "look at the sources' files, and the shares of questions for verifiers",
    "heldout": "look at the sources' files and heldout_share",
    "explore": "raise its share, or give more questions",
    "calib": "raise its share, or give more questions",
}
DROP_REASONS = ("no_demonstration", "not_encodable")


@dataclass(frozen=True)
class Corpus:
    """The examples by file name, and all counts for the metrics."""

    examples: ExampleFiles
    metrics: Mapping[str, Any]


def build(
    name: str,
    params: CorpusParams,
    root: Path,
    seed: int,
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
    processes: int | None = None,
    open_source: Opener = unrecorded,
    most: int | None = None,
) -> Corpus:
    """Builds the corpus `name` and returns its examples and metrics.

    `root`: the raw file or folder; `folder`: where the examples are written; `say` is called with each
    console message; `processes` as in `over_portions`; `most` as in `Reading`. Raises
    TooManyBadRows, ValueError or OSError when the raw data cannot be used; each names the file and the way
    out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if params.exams is not None:
        placed = exam_rows(params, root)
    else:
        placed = _source_rows(params, root, seed, folder, say, processes, open_source, most)
    files = FILES if params.for_verifiers else PLAIN_FILES
    wording = None if params.wording is None else Reworded(params.wording, seed)
    figures = _write(placed.rows, folder, files, wording)
    _rules(params).write(folder)
    if figures.unusable.bad:
        say(
            f"{figures.unusable.bad} rows cannot be written"
            + "".join(f"\n  {line}" for line in figures.unusable.first)
        )
    figures.unusable.check(params.max_bad_rows)
    lost = placed.lost + figures.lost
    for note in unused_shares(params):
        say(note)
    _refuse_empty(name, params, figures, lost)
    metrics = {
        "corpus": name,
        "rows": rows_kept(placed.read, lost),
        **placed.metrics,
        "dropped": dict(sorted(figures.dropped.items())),
        "not_encodable": figures.unusable.summary(),
        **figures.summary(),
    }
    return Corpus(ExampleFiles(folder, files), metrics)


def _source_rows(
    params: CorpusParams,
    root: Path,
    seed: int,
    folder: Path,
    say: Callable[[str], None],
    processes: int | None,
    open_source: Opener,
    most: int | None,
) -> PlacedRows:
    """Reads the rows of all sources, cleaned and split."""
    ledgers = {source: Ledger(source) for source in params.sources}

    def problems(source: str) -> Iterator[Problem]:
        settings, ledger, count = params.sources[source], ledgers[source], 0
        shares = Shares(params.validation_share, params.heldout_share)
        reading = Reading(root, source, seed, shares, ledger, open_source=open_source, most=most)
        for problem in load("pipelines.corpora.readers", settings.reader).read(settings, reading):
            count += 1
            yield problem
        ledger.check(params.max_bad_rows)
        say(
            f"{source}: {count} problems, {ledger.bad} bad rows"
            + "".join(f"\n  {line}" for line in ledger.first)
        )

    rows = clean({source: problems(source) for source in params.sources}, params, folder, processes)
    metrics = {
        "sources": {key: ledger.summary() for key, ledger in ledgers.items()},
        **{step: dict(sorted(counts.items())) for step, counts in sorted(rows.counts.items())},
    }
    placed = (
        (row, *_files(row.problem, role, params.verifier))
        for role, role_rows in rows.rows.items()
        for row in role_rows
    )
    return PlacedRows(placed, rows_read(rows, ledgers.values()), losses(rows, ledgers.values()), metrics)


def example_of(row: CleanRow) -> Example:
    """Returns a clean row as the example that is written. Raises ValueError where a text holds a lone
    surrogate, which no file can.
    """
    problem = row.problem
    texts = (problem.question, problem.answer, problem.solution or "", problem.subject)
    if reason := lone_surrogate(*texts):
        raise ValueError(reason)
    return Example(
        id=row.id,
        prompt=problem.question,
        response=problem.solution,
        answer=problem.answer,
        subject=problem.subject,
        level=problem.level,
        source=row.source,
        meta=problem.meta,
        conversation=None if problem.conversation is None else problem.conversation.as_json(),
        loss=problem.loss,
    )


def _rules(params: CorpusParams) -> SetRules:
    return SetRules(
        max_prompt_tokens=params.max_prompt_tokens,
        max_response_tokens=params.max_response_tokens,
        max_bad_rows=params.max_bad_rows,
        reward=params.reward,
        answers=params.for_verifiers,  # a verifier is shown them
    )


@dataclass
class _Figures:
    """Counts of the examples while they are written. `lost`: rows that are in no file, by reason; `dropped`:
    reasons why a row is not in one of its files. Lengths are in characters.
    """

    files: Sequence[str]
    lost: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(DROP_REASONS, 0)))
    responses: array[int] = field(default_factory=lambda: array("I"))
    unusable: Ledger = field(default_factory=lambda: Ledger("texts"))
    records: Counter[str] = field(default_factory=Counter)
    subjects: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    levels: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    fields: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    prompts: dict[str, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("I")))

    def add(self, file: str, example: Example) -> None:
        """Counts an example that is written to `file`."""
        self.records[file] += 1
        self.subjects[file][example.subject] += 1
        self.levels[file][str(example.level)] += 1
        self.fields[file][str(example.meta.get("field"))] += 1
        self.prompts[file].append(len(example.prompt))
        if file == "sft" and example.response is not None:
            self.responses.append(len(example.response))

    def summary(self) -> dict[str, Any]:
        """Returns the metrics: counts by file; of sets with questions for verifiers also those by field, and
        the subjects that nothing is trained on.
        """

        def by_file(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
            return {file: dict(sorted(counts[file].items())) for file in self.files}

        figures = {
            "records": {file: self.records[file] for file in self.files},
            "subjects": by_file(self.subjects),
            "levels": by_file(self.levels),
            "prompt_characters": {file: length_statistics(self.prompts[file]) for file in self.files},
            "response_characters": length_statistics(self.responses),
        }
        if len(self.files) > len(PLAIN_FILES):
            trained = {*self.subjects["rl"], *self.subjects["explore"]}
            figures["unseen_subjects"] = sorted({*self.subjects["heldout"]} - trained)
            figures["fields"] = by_file(self.fields)
        return figures


def _write(
    placed: Iterable[tuple[CleanRow, Sequence[str], Sequence[str]]],
    folder: Path,
    files: Sequence[str],
    wording: Reworded | None,
) -> _Figures:
    """Writes the examples and returns their counts. Rows whose texts no file can hold are dropped; those
    without a demonstration are left out of sft alone.
    """
    figures = _Figures(files)
    ledger = figures.unusable
    streams = {file: open(folder / f"{file}.jsonl", "w", encoding="utf-8", newline="\n") for file in files}  # noqa: SIM115
    try:
        for row, row_files, reasons in placed:
            try:
                examples = [example_of(row if wording is None else wording(row, file)) for file in row_files]
            except ValueError as fault:
                row_files, examples, reasons = [], [], ["not_encodable"]
                ledger.reject(row.problem.where or row.id, str(fault))
            else:
                ledger.accept()
            figures.dropped.update(reasons)
            figures.lost.update(reasons if not row_files else ())
            for file, example in zip(row_files, examples, strict=True):
                streams[file].write(json_line(example))
                figures.add(file, example)
    finally:
        for stream in streams.values():
            stream.close()
    return figures


def _files(problem: Problem, role: str, verifier: VerifierShares | None) -> tuple[list[str], list[str]]:
    """Returns the files that a row is written to by its role, and the reasons why it is not written to
    others.
    """
    if role in ("validation", "heldout"):
        return [role], []
    questions = "rl" if verifier is None else verifier_file(problem, verifier)
    files = [questions] if role in ("train", "rl") else []
    if role == "rl" or (role == "train" and problem.solution is None):
        return files, []
    if problem.solution is None:
        return files, ["no_demonstration"]
    return ["sft", *files], []


def _refuse_empty(name: str, params: CorpusParams, figures: _Figures, lost: Counter[str]) -> None:
    """Raises ValueError where a file that every corpus needs is empty, or a file for which its sources name a
    role. One whose rows are demonstrations alone has neither questions for RL nor held-out ones: a stage that
    would read them is refused by the check of params.yaml.
    """
    sources = {key: source.model_dump() for key, source in params.sources.items()}
    roles = frozenset[str]().union(*map(roles_of, sources.values()))
    texts_alone = bool(roles) and roles <= {"sft", "validation"}
    possible = possible_files(sources, params.validation_share, params.heldout_share)
    for file in figures.files:
        needed = (file in REQUIRED_FILES and not texts_alone) or (file == "sft" and "sft" in roles)
        if figures.records[file] or not needed:
            continue
        if sources and file in PLAIN_FILES and file not in possible:
            raise ValueError(f"corpus {name}: {missing_role_message(file, roles)}")
        reasons = ", ".join(
            f"{number} {reason.replace('_', ' ')}" for reason, number in lost.most_common() if number
        )
        raise ValueError(
            f"corpus {name} has no {file} rows left ({reasons or 'none was put aside'}); {REMEDIES[file]}"
        )
