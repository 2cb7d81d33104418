"""The real files, where they are at hand: the counts that their notes state, and what cleaning makes of
them.
"""

import re

from pipelines.corpora.cleaning.canonical import canonical_form
from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.raw.problem import Reading
from pipelines.corpora.raw.sources_params import FileSource
from pipelines.corpora.readers import aime, gsm8k, hendrycks_math, mawps
from pipelines.rewards.rules.final_answer import check
from tests.corpora.made import published, real

MATH = {"train": "hendrycks_math/train.jsonl.gz", "heldout": "hendrycks_math/test_minus_math500.jsonl.gz"}


def read(module, folder, **files):
    ledger = Ledger("real")
    name = module.__name__.rpartition(".")[2]
    source = FileSource(reader=name, files=files)
    return list(module.read(source, Reading(folder, name, 0, Shares(), ledger))), ledger


def test_gsm8k_rows(tmp_path):
    folder = real("gsm8k")
    problems, ledger = read(gsm8k, folder, train="train.jsonl.gz", heldout="dev.jsonl")
    assert [sum(p.role == role for p in problems) for role in ("train", "heldout")] == [7473, 660]
    assert ledger.bad == 0
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", p.answer) for p in problems)
    assert not any("<<" in p.solution or ">>" in p.solution for p in problems)
    assert {check(p.solution, p.answer, True).outcome for p in problems} == {"right"}


def test_gsm8k_corpus(tmp_path):
    corpus = published(tmp_path, real("gsm8k"), "gsm8k", {"train": "train.jsonl.gz", "heldout": "dev.jsonl"}, validation_share=0.05,
                       max_prompt_tokens=4000, max_response_tokens=4000)  # fmt: skip
    metrics = corpus.metrics
    assert metrics["records"]["heldout"] == 660  # the published test rows stay whole
    assert metrics["duplicates"]["exact"] == 0  # as the set's notes say: none within or between the splits
    assert metrics["train_in_heldout"]["text"] == 0
    assert 0 < metrics["train_in_heldout"]["ngram"] < 20
    lost = metrics["duplicates"]["near"] + sum(
        n for step in ("train_in_heldout", "validation_in_heldout") for n in metrics[step].values()
    )
    assert metrics["records"]["sft"] + metrics["records"]["validation"] + lost == 7473
    assert 300 < metrics["records"]["validation"] < 450
    record = corpus.records["sft"][0]
    assert corpus.tokens.decode(record.response_ids) == record.response


def test_math_and_aime():
    folder = real("math")
    problems, ledger = read(hendrycks_math, folder, **MATH)
    assert (len(problems), ledger.bad) == (11998, 2)  # two solutions box nothing
    texts = [canonical_form(p.question) for p in problems]
    assert 6 <= len(texts) - len(set(texts)) <= 12
    competition, _ = read(aime, folder / "aime_1983_2023", train="aime.jsonl.gz")
    assert len(competition) == 968
    train = {text for text, p in zip(texts, problems, strict=True) if p.role == "train"}
    overlap = [canonical_form(p.question) for p in competition]
    assert abs(sum(text in train for text in overlap) - 354) <= 3
    assert abs(sum(text in set(texts) - train for text in overlap) - 36) <= 3


def test_mawps():
    problems, ledger = read(mawps, real("math", "mawps"), train="mawps.jsonl.gz")
    assert (len(problems), ledger.bad) == (1581, 4)  # four equations contradict their answers
    assert abs(len(problems) - len({p.question for p in problems}) - 141) <= 1
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", p.answer) for p in problems)
    assert not any("number0" in p.question for p in problems)
