"""What stages keep and lose of their rows, and what they warn of, is on the console of the run and in
`--json`; a role that is missing is named with the way out.
"""

import json
from pathlib import Path

import pytest

from flows.graph import params
from flows.graph.plan import Plan
from flows.graph.plan_rows import PlanRow
from flows.running.row_counts import rows_of, standing_warnings, warnings_of
from flows.running.run import Ran
from flows.running.session import Outcome
from pipelines.corpora.records.rows_kept import rows_kept, rows_sentence
from tests import clone
from tests.corpora.made import write_lines
from tests.flows.toy import Project

TABLE = {
    "reader": "table",
    "splits": {"train": "train.jsonl", "heldout": "heldout.jsonl"},
    "columns": {"solution": "solution"},
}
CORPUS = {
    "raw": "raw/small",
    "sources": {"made": TABLE},
    "max_bad_rows": 0.5,
    "max_prompt_tokens": 60,
}
PAIRS = {
    "origin": "raw/pairs",
    "data": "small",
    "judge": "none",
    "source": {"kind": "table", "splits": {"train": "pairs.jsonl"}},
    "validation_share": 0.0,
    "max_prompt_tokens": 40,
    "max_answer_tokens": 20,
    "max_tokens": 128,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, learning_python: str) -> Project:
    made = clone.make(
        tmp_path_factory.mktemp("clone") / "project",
        {
            "base.runs.tiny": {"data": "small", "tokenizer": {"kind": "char", "alphabet": "bytes"}},
            "sft.runs.tuned": {"start": "tiny", "data": "small"},
            "rl.runs.flat": {"method": "grpo", "start": "tuned", "data": "small", "judge": "none"},
        },
        learning_python,
    )
    raw = made.folder / "raw"
    (raw / "small").mkdir()
    (raw / "pairs").mkdir()
    rows: list[object] = [
        {"question": f"What is {n} plus {n * n}?", "answer": str(n + n * n), "solution": f"{n + n * n}"}
        for n in range(20)
    ]
    rows += [rows[3], {"question": "x" * 100, "answer": "1", "solution": "1"}, "no row", {"answer": "1"}]
    rows += [{"question": "Is the sky blue?", "answer": "yes", "solution": "yes"}]
    write_lines(raw / "small/train.jsonl", rows)
    write_lines(
        raw / "small/heldout.jsonl", [{"question": "Is the sky blue", "answer": "yes", "solution": "yes"}]
    )
    pairs = [
        {"prompt": f"Say {n}" + " again" * (n % 2) * 20, "chosen": f"{n}", "rejected": "no"}
        for n in range(30)
    ]
    write_lines(raw / "pairs/pairs.jsonl", [*pairs, {"prompt": "same", "chosen": "a", "rejected": "a"}])
    made.set("corpus.small", CORPUS)
    made.set("preferences.pairs", PAIRS)
    return made


@pytest.mark.slow
def test_counts_are_on_the_console_and_in_json(project: Project):
    shown = project.call("run", "preferences@pairs")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = " ".join((shown.stdout + shown.stderr).split())
    assert (
        "22 of 26 rows kept; left out: 2 bad rows, 1 duplicates exact, 1 in held-out or validation rows by text"
        in told
    )
    assert "30 of 31 pairs kept; left out: 1 equal answers" in told
    made = json.loads(project.call("run", "preferences@pairs", "--force", "--json").stdout)["stages"]
    assert made["preferences@pairs"]["rows"] == {
        "what": "pairs",
        "read": 31,
        "kept": 30,
        "lost": {"equal answers": 1},
    }
    # what is too long is so for a model: it is told where one reads the set
    shown = project.call("run", "rl@flat")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    told = " ".join((shown.stdout + shown.stderr).split())
    assert "20 of 21 demonstrations kept; left out: 1 long prompt" in told
    # a byte is one of 256: none of the policy's answers is right, so it is never updated
    unchanged = "warning: rl@flat: no optimiser update in 2 iterations"
    assert told.count(unchanged) == 2, "when the stage ends, and when the run does"
    assert standing_warnings(project.folder, ["sft@tuned", "rl@flat", "code"])["rl@flat"]
    counted = json.loads((project.folder / "metrics/corpus/small.json").read_text("utf-8"))
    records = [
        json.loads(line)["id"]
        for file in ("sft", "rl", "validation", "heldout")
        for line in (project.folder / f"data/small/records/{file}.jsonl").read_text("utf-8").splitlines()
    ]
    assert counted["rows"]["kept"] == len(set(records))
    assert counted["rows"]["read"] == 26


def test_a_role_that_is_missing_is_named_before_anything_runs(project: Project):
    before = (project.folder / "params.yaml").read_text("utf-8")
    try:
        roles = {"sft": "train.jsonl", "rl": "train.jsonl", "heldout": "heldout.jsonl"}
        project.set("corpus.small.sources.made", {**TABLE, "splits": roles})
        project.set("sft.runs.tuned.validation_every", 8)
        shown = project.call("plan")
        told = " ".join((shown.stdout + shown.stderr).split())
        assert shown.returncode == 2
        assert "no source has rows for validation: the roles named are heldout, rl, sft" in told
        assert (
            "name one of the role validation, or set validation_share above 0 where rows of the role train are split"
            in told
        )
        assert "sft.runs.tuned.validation_every" in told
        project.set("corpus.small.sources.made", {**TABLE, "splits": roles, "columns": {}})
        shown = project.call("plan")
        assert "splits.sft has no demonstrations: name their column as columns.solution" in " ".join(
            (shown.stdout + shown.stderr).split()
        )
    finally:
        (project.folder / "params.yaml").write_text(before, "utf-8")


def test_the_sentence():
    assert rows_sentence(rows_kept(10, {})) == "10 of 10 rows kept"
    assert (
        rows_sentence(rows_kept(10, {"near": 1, "exact_text": 1}))
        == "8 of 10 rows kept; left out: 1 exact text, 1 near"
    )
    assert rows_sentence(rows_kept(244, {"long_prompt": 144}, "pairs")) == (
        "warning: 59 % of the pairs are left out, most for: long prompt (raise max_prompt_tokens). "
        "100 of 244 pairs kept; left out: 144 long prompt"
    )
    assert rows_sentence(rows_kept(0, {})) == "0 of 0 rows kept"
    assert (
        rows_sentence(rows_kept(100, {"over_limits": 80})) == "20 of 100 rows kept; left out: 80 over limits"
    )
    assert rows_sentence(rows_kept(100, {"over_limits": 80, "bad_rows": 10})).startswith(
        "warning: 50 % of the rows are left out, most for: bad rows"
    )


def test_outputs_without_counts_say_nothing(tmp_path: Path):
    (tmp_path / "metrics").mkdir()
    for name, text in (("broken", "{"), ("other", '{"rows": 5}'), ("list", "[1]")):
        (tmp_path / f"metrics/{name}.json").write_text(text)
    assert (
        rows_of(
            tmp_path,
            ["models/x", *(f"metrics/{name}.json" for name in ("broken", "other", "list", "absent"))],
        )
        is None
    )


def test_a_fresh_result_warns_as_a_new_one(tmp_path: Path):
    (tmp_path / "metrics/train").mkdir(parents=True)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  rl: {foreach: '${rl.runs}', do: {cmd: x, outs: ['models/${key}/model', 'metrics/train/${key}.json']}}\n"
        "  report: {cmd: x, outs: [reports]}\n"
    )
    for name, warnings in (("flat", ["no update"]), ("odd", "no list"), ("fine", [])):
        (tmp_path / f"metrics/train/{name}.json").write_text(json.dumps({"warnings": warnings}))
    stages = ["rl@flat", "rl@odd", "rl@fine", "rl@absent", "report", "gone@flat"]
    assert standing_warnings(tmp_path, stages) == {"rl@flat": ["no update"]}
    assert warnings_of(tmp_path, ["models/flat/model", "metrics/train/flat.json"]) == ["no update"]
    rows = (PlanRow("rl@flat", "keep"), PlanRow("report", "run"))
    ran = Ran(0, "id", Plan(rows, params.load(clone.ROOT)), Outcome(), {"rl@flat": ["no update"]})
    stages_told = json.loads(ran.as_json())["stages"]
    assert stages_told["rl@flat"]["warnings"] == ["no update"]
    assert "warnings" not in stages_told["report"]
