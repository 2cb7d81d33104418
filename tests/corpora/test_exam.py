"""The embedded exam: right answers, checkable working, splits by canonical chain, and a corpus that depends
on content alone.
"""

import json
import re
from dataclasses import asdict
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.raw.exam_subjects import SUBJECTS, ExamProblem, Ranges
from pipelines.corpora.records.example import write_examples
from pipelines.rewards.rules.final_answer import check
from tests.corpora.made import ROOT, exam

RANGES = Ranges(start_max=60, operand_max=9, operations="+-*", letters=3)
WORDS = {"name": ["Ann", "Ben"], "thing": ["coins", "pens"], "gain": ["finds"], "loss": ["loses"]}


def draw(subject, seed, size=4):
    rng = Random(seed)
    item = SUBJECTS[subject].draw(rng, size, RANGES)
    return item, SUBJECTS[subject].ask(item, rng, WORDS)


def solve(question):
    """The answer by another way than the subject's own: from the question's text alone."""
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    if question.startswith("max"):
        return max(numbers)
    if question.startswith("count"):
        _, asked, _, *word = question.rstrip("?").split()
        return word.count(asked)
    if question.startswith("It is"):
        return (sum(numbers) - 1) % 12 + 1
    if "has" in question:
        return numbers[0] + sum(
            n if verb == "finds" else -n
            for verb, n in re.findall(r"(finds|loses) (\d+)", question)
            for n in [int(n)]
        )
    if question.endswith("mod 10?"):
        value, *moves = re.findall(r"[-+*]?\d+", question.removesuffix(" mod 10?"))
        value = int(value)
        for move in moves:  # from left to right, without precedence
            value = eval(f"({value}){move}") % 10
        return value
    return sum(numbers)


@given(st.sampled_from(sorted(SUBJECTS)), st.integers(0, 10**6), st.integers(1, 6))
def test_the_answer_and_the_working_are_right(subject, seed, size):
    item, question = draw(subject, seed, size + 1)
    steps, answer = SUBJECTS[subject].work(item, int)
    assert int(answer) == solve(question)
    for step in steps:
        match = re.fullmatch(r"(\d+)([-+*])(\d+)=(\d+)", step)
        if match and subject in ("add", "money"):
            assert eval(match[1] + match[2] + match[3]) == int(match[4])
    if subject not in ("count", "max"):
        assert steps[-1].endswith(f"={answer}")


@given(st.sampled_from(sorted(SUBJECTS)), st.integers(0, 10**6))
def test_a_slip_is_carried_on(subject, seed):
    item, _ = draw(subject, seed)
    steps, answer = SUBJECTS[subject].work(item, lambda value: value + 1)
    if subject in ("chain", "clock", "add", "money"):
        for step, following in pairwise(steps):
            assert following.startswith(step.rpartition("=")[2])
        assert steps[-1].endswith(f"={answer}")
    assert subject == "chain" or subject == "clock" or answer != SUBJECTS[subject].work(item, int)[1]


def test_twins_share_a_key():
    count = SUBJECTS["count"]
    assert (
        count.key(ExamProblem(values=(1, 1, 0, 1, 2)))
        == count.key(ExamProblem(values=(4, 4, 7, 4, 3)))
        != count.key(ExamProblem(values=(1, 0, 1, 1, 2)))
    )
    chain = ExamProblem(12, (("+", 3), ("-", 4)))
    assert SUBJECTS["money"].key(chain) == SUBJECTS["add"].key(chain)  # the same sum, in words or not
    assert SUBJECTS["max"].key(ExamProblem(values=(31, 22))) == SUBJECTS["max"].key(
        ExamProblem(values=(22, 31))
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return exam(tmp_path_factory.mktemp("exam") / "tokenizer")


def test_sizes_levels_and_styles(corpus):
    assert corpus.metrics["records"] == {"sft": 120, "rl": 160, "validation": 60, "heldout": 80}
    assert {record.level for record in corpus.records["sft"]} == {1, 2}
    for file in ("rl", "validation", "heldout"):
        assert {record.level for record in corpus.records[file]} == {1, 2, 3, 4}
    terse = [record.response == f"#### {record.answer}" for record in corpus.records["sft"]]
    assert 0.35 < sum(terse) / len(terse) < 0.65
    assert all(
        check(record.response, record.answer, True).outcome == "right" for record in corpus.records["sft"]
    )


def test_no_canonical_chain_crosses_the_split(tmp_path, monkeypatch):
    from pipelines.corpora import build as module

    kept = {}
    monkeypatch.setattr(module, "clean", lambda *given: kept.setdefault("rows", module_clean(*given)))
    module_clean = __import__("pipelines.corpora.cleaning.clean", fromlist=["clean"]).clean
    exam(tmp_path, n_sft=400, n_rl=400)
    rows = kept["rows"].rows
    sides = [
        {row.problem.key for row in found}
        for found in ([*rows["sft"], *rows["rl"]], rows["validation"], rows["heldout"])
    ]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


def test_records_are_a_function_of_content(tmp_path, corpus):
    """Early cut-off: another spelling of the same lexicon gives the same bytes; another word does not."""
    rows = [json.loads(line) for line in (ROOT / "raw/exam/lexicon.jsonl").read_text().splitlines()]

    def of(name, rows):
        root = tmp_path / name
        root.mkdir()
        (root / "lexicon.jsonl").write_text(
            "\n\n".join(
                json.dumps({"note": name, **row}, indent=None, separators=(" , ", " : ")) for row in rows
            )
        )
        made = exam(root / "tokenizer", root=root)
        for file, records in made.records.items():
            write_examples(root / f"{file}.jsonl", records)
        files = sorted(path for path in root.rglob("*.json*") if path.name != "lexicon.jsonl")
        return {path.name: path.read_bytes() for path in files}, made

    first, made = of("one", rows)
    second, _ = of("two", rows[::-1])
    other, _ = of("three", [*rows, {"kind": "name", "word": "Zed"}])
    assert first == second
    assert first != other
    assert [asdict(record) for record in made.records["heldout"]] == [
        asdict(record) for record in corpus.records["heldout"]
    ]


def test_another_seed_is_another_exam_with_the_same_split(tmp_path, corpus):
    other = exam(tmp_path / "t", seed=1)
    train = {record.prompt for file in ("sft", "rl") for record in corpus.records[file]}
    assert {record.prompt for record in other.records["sft"]} != {
        record.prompt for record in corpus.records["sft"]
    }
    assert not train & {record.prompt for file in ("validation", "heldout") for record in other.records[file]}


def test_more_rl_prompts_leave_the_demonstrations_as_they_are(tmp_path, corpus):
    more = exam(tmp_path / "t", n_rl=300)
    assert [record.prompt for record in more.records["sft"]] == [
        record.prompt for record in corpus.records["sft"]
    ]


def test_asking_for_more_than_there_is(tmp_path):
    with pytest.raises(
        ValueError, match=r"only \d+ different heldout problems exist, 5000 were asked for; lower n_heldout"
    ):
        exam(tmp_path / "t", subjects=["add"], rl_levels=[1], n_heldout=5000, n_rl=10, n_validation=10)


def test_a_lexicon_without_a_kind(tmp_path):
    (tmp_path / "lexicon.jsonl").write_text('{"kind": "name", "word": "Ann"}\n')
    with pytest.raises(ValueError, match=r"lexicon\.jsonl holds no word of kind thing, gain, loss"):
        exam(tmp_path / "t", root=tmp_path)
