"""The evaluate stage through its files: contract of the metrics, every answer in the samples, repeatable
bytes.
"""

import json
import os
from pathlib import Path

import pytest

from tests.training.stages import EVALUATE, make_inputs, make_stage, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    make_inputs(folder, 24)
    here = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(here)


def test_metrics_and_samples_agree(folder):
    files = run(make_stage(folder, "evaluate@sft"))
    metrics = json.loads(files["metrics/evaluate/sft.json"])
    samples = [json.loads(line) for line in files["samples/sft.jsonl"].splitlines()]
    assert metrics["model"] == "sft"
    assert metrics["data"] == "tiny"
    assert metrics["settings"]["samples"] == 2
    assert set(metrics["by_subject"]) == {"sum"}
    assert set(metrics["by_level"]) == {"0", "1", "2"}
    for decoding, count in (("greedy", 24), ("sampled", 48)):
        figures = metrics["heldout"][decoding]
        shown = [row for row in samples if row["decoding"] == decoding]
        assert len(shown) == figures["n"] == count
        assert figures["right"] == sum(row["verdict"] == "right" for row in shown)
        assert figures["low"] <= figures["accuracy"] <= figures["high"]
        assert sum(level[decoding]["n"] for level in metrics["by_level"].values()) == count
        assert metrics["lengths"][decoding] == pytest.approx(sum(len(row["ids"]) for row in shown) / count)
    assert metrics["entropy"] > 0
    assert 0 <= metrics["finished"] <= 1
    assert run(make_stage(folder, "evaluate@sft", "again")) == files


def test_fewer_problems_and_another_batch_size(folder):
    whole = run(make_stage(folder, "evaluate@sft", "whole"))["samples/sft.jsonl"].decode().splitlines()
    small = (
        run(make_stage(folder, "evaluate@sft", "small", sample_batch=3))["samples/sft.jsonl"]
        .decode()
        .splitlines()
    )
    assert [json.loads(row)["ids"] for row in whole] == [json.loads(row)["ids"] for row in small]
    few = make_stage(folder, "evaluate@sft", "few", {"evaluate.common": EVALUATE | {"problems": 6}})
    assert json.loads(run(few)["metrics/evaluate/sft.json"])["heldout"]["greedy"]["n"] == 6


def test_another_checker_than_the_corpus_names_is_refused(folder):
    path = folder / "data/tiny/records/set.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"reward": "code_tests"}))
    try:
        with pytest.raises(ValueError, match=r"names the checker code_tests.*final_answer"):
            run(make_stage(folder, "evaluate@sft", "other"))
    finally:
        path.write_text(json.dumps(facts))
