"""A multi-subject set: split by key, no question twice, unseen subjects apart, other words, and the same
bytes again.
"""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from pipelines.corpora.build import build
from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.exams.exam_set import write_exams
from pipelines.corpora.exams.item import ExamQuestion
from pipelines.corpora.verifier_questions import FILES, exam_rows
from pipelines.rewards.rules import phrase_answer
from tasks.corpus import run
from tasks.report_page.question_sets import exam_tables
from tasks.stage import Spec, Stage

ROOT = Path(__file__).resolve().parents[2]
PHRASES = {
    "raw": str(ROOT / "raw/phrases"),
    "sources": {
        "phrases": {
            "reader": "phrases",
            "unseen": ["both"],
            "n_sft": 120,
            "n_rl": 160,
            "n_validation": 20,
            "n_heldout": 40,
        }
    },
    "validation_share": 0.1,
    "heldout_share": 0.15,
    "near": None,
    "decontaminate": {"ngram": None, "near": False},
    "wording": {"share": 0.75},
    "verifier": {},
    "reward": "phrase_answer",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    params = CorpusParams.model_validate(PHRASES)
    corpus = build("rlvr", params, Path(params.raw), 0, tmp_path_factory.mktemp("set"))
    return SimpleNamespace(records=corpus.examples, metrics=corpus.metrics)


def test_no_question_lies_in_two_files_and_unseen_subjects_are_only_held_out(made):
    questions = {
        file: {canonical_form(record.prompt) for record in made.records[file]}
        for file in FILES
        if file != "sft"
    }
    assert sum(map(len, questions.values())) == len(set().union(*questions.values()))
    assert made.metrics["unseen_subjects"] == ["both"]
    assert all("both" not in made.metrics["subjects"][file] for file in ("sft", "explore", "rl", "calib"))
    assert made.metrics["records"]["explore"] > made.metrics["records"]["calib"] > 0
    counted = made.metrics["rows"]
    assert (
        counted["kept"]
        == counted["read"] - sum(counted["lost"].values())
        == sum(made.metrics["records"].values())
    )


def test_demonstrations_are_right_and_most_say_it_in_other_words(made):
    said = [
        phrase_answer.check(record.response, record.answer, True).outcome for record in made.records["sft"]
    ]
    assert Counter(said) == {"right": len(said)}
    others = [record for record in made.records["sft"] if record.response.splitlines()[-1] != record.answer]
    assert 0.6 < len(others) / len(said) < 0.9


def test_held_out_questions_have_variants_with_exact_labels(made):
    for record in made.records["heldout"]:
        assert record.meta["right"] and record.meta["wrong"]  # noqa: PT018
        assert all(phrase_answer.matches(record.prompt, record.answer, text) for text in record.meta["right"])
        assert not any(
            phrase_answer.matches(record.prompt, record.answer, text) for text in record.meta["wrong"]
        )


def test_the_stage_writes_the_same_bytes_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outs = ("data/rlvr/records", "metrics/corpus/rlvr.json")
    found = []
    for work in ("one", "two"):
        stage = Stage(
            Spec(
                "corpus@rlvr",
                "k",
                work,
                outs,
                {PHRASES["raw"]: ""},
                {"identity.seed": 0, "corpus.rlvr": PHRASES},
            )
        )
        run(stage)
        found.append(
            {
                str(path.relative_to(work)): path.read_bytes()
                for path in sorted(Path(work).rglob("*"))
                if path.is_file()
            }
        )
    assert found[0] == found[1]
    assert json.loads(found[0]["outs/metrics/corpus/rlvr.json"])["records"]["heldout"] == 40


def by_file(placed):
    rows = {file: [row for row, files, _ in placed.rows if file in files] for file in FILES}
    return rows, placed.metrics


def test_a_set_of_exams_is_split_by_cluster_and_holds_subjects_out(tmp_path):
    rng = Random(0)
    words = [f"w{number}" for number in range(400)]
    exams = [
        ExamQuestion(
            f"q{n}",
            " ".join(rng.sample(words, 12)) + "?",
            f"answer {n}",
            ("law", "physics", "art")[n % 3],
            "stem",
            "one",
            "en",
            "phrase",
        )
        for n in range(240)
    ]
    (tmp_path / "one").mkdir()
    write_exams(tmp_path / "one/questions.jsonl", exams)
    settings = {
        "raw": "data/exams",
        "exams": {"exams": ["one"]},
        "unseen": ["art"],
        "reward": "containment",
    }
    params = CorpusParams.model_validate(settings)
    rows, counts = by_file(exam_rows(params, tmp_path))
    assert {row.problem.subject for row in rows["rl"]} == {"law", "physics"}
    assert {row.problem.subject for row in rows["heldout"]} == {"law", "physics", "art"}
    assert [row.problem.solution for row in rows["sft"]] == [row.problem.answer for row in rows["rl"]]
    assert set(counts["united"]["splits"]) == {"explore", "rl", "calib", "test"}
    (tmp_path / "elsewhere").mkdir()
    taken = [row.problem.question for file in ("rl", "heldout") for row in rows[file][:2]]
    write_exams(
        tmp_path / "elsewhere/questions.jsonl", [replace(exams[0], question=question) for question in taken]
    )
    apart = params.model_copy(update={"exams": params.exams.model_copy(update={"against": ("elsewhere",)})})
    kept, counts = by_file(exam_rows(apart, tmp_path))
    assert not {row.problem.question for file in FILES for row in kept[file]} & set(taken)
    assert {split: sum(found["elsewhere"].values()) for split, found in counts["united"]["contamination"].items()} == {
        "test": 2, "calib": 0, "rl": 2, "explore": 0
    }  # fmt: skip
    tables = {table.title: table for table in exam_tables({}, {"rlvr": counts})}
    assert ("rlvr", "rl", "elsewhere", 2, 0, 0) in tables["Taken out for an evaluation set"].rows
    with pytest.raises(
        FileNotFoundError, match="exams two is no key of the section exams, or its stage has not run"
    ):
        exam_rows(
            params.model_copy(update={"exams": params.exams.model_copy(update={"exams": ("two",)})}), tmp_path
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sources": {}}, "give either sources or exams"),
        ({"verifier": {"explore": 0.9, "calib": 0.2}}, "must stay below 1"),
        ({"unseen": ["both"]}, "a source names its own"),
        ({"heldout_share": 0.95}, "validation_share"),
        ({"sources": {}, "exams": {"exams": ["a"]}}, "exams.shares divides exams"),
        ({"sources": {}, "exams": {"exams": ["a"], "against": ["a"]}}, "named in exams and in against"),
        ({"sources": {}, "exams": {"exams": ["a"], "limits": {"b": 3}}}, "limits of b: no such name"),
    ],
)
def test_what_cannot_be_a_set_is_said(change, words):
    with pytest.raises(ValidationError, match=words):
        CorpusParams.model_validate(PHRASES | change)
