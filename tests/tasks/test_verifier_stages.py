"""The stages of the verifier branch through their files: explored judgements, a distilled verifier, its
report, the gate, RL behind it.
"""

import gzip
import json
import os
import signal
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from flows.graph import families
from flows.graph.closure import Code
from pipelines.corpora.raw.long_reference import MODELS
from pipelines.corpora.records.example import read_examples, write_examples
from pipelines.corpora.records.judgement import read_judgements
from pipelines.rewards.models.verifier import load_facts
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.settings import seam_modules
from pipelines.training.recording import FILE, RecordingJudge
from pipelines.training.verifier_params import NegativesParams
from tasks.gate import GateClosed, check_gate, write_gate
from tasks.rl_params import RlRun
from tasks.stage import Spec, Stage
from tests.rewards.test_teachers import Server, logprobs
from tests.tasks.preference_inputs import bytes_below, run_stage
from tests.tasks.verifier_inputs import (
    EXPLORED,
    POLICY,
    RUN,
    SET,
    VERIFIER,
    distil,
    judge,
    make_folder,
    reinforce,
    report,
    varied,
)
from tests.training.stages import stop_while_sampling

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verifier")
    make_folder(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        judge()
        distil()
        report()
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def judged(file, name="explored"):
    return read_judgements(f"data/{name}/judgements/{file}.jsonl")


def figures(path):
    return json.loads(Path(path).read_text())


def test_every_explored_response_is_kept_once_with_its_step_and_both_labels():
    rows, metrics = judged("train"), figures("metrics/judgements/explored.json")
    questions = {record.id for record in read_examples("data/tiny/records/explore.jsonl")}
    assert {row.question_id for row in rows} <= questions
    assert len(rows) + sum(metrics["left_out"].values()) == POLICY["iterations"] * POLICY["prompts"] * 4
    assert {row.step for row in rows} == set(range(POLICY["iterations"]))
    assert len({row.id for row in rows}) == len(rows)
    assert {row.label for row in rows} == {0, 1}
    assert all(row.label == row.truth for row in rows)
    assert metrics["files"]["train"]["teacher_accuracy"] == 1.0
    assert sum(part["n"] for part in metrics["drift"]) == len(rows)


def test_held_out_questions_are_answered_before_and_after_the_run():
    for file in ("calib", "heldout"):
        rows = judged(file)
        known = {record.id for record in read_examples(f"data/tiny/records/{file}.jsonl")}
        assert {row.question_id for row in rows} <= known
        assert {row.step for row in rows} == {0, POLICY["iterations"]}


def test_a_stopped_exploration_ends_byte_equal(monkeypatch):
    whole = bytes_below("data/explored/judgements")

    class Stopped(Exception):
        pass

    def stop(self, step, **metrics):
        original(self, step, **metrics)
        if step == 3:
            raise Stopped

    original = Stage.log
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "log", stop)
        with pytest.raises(Stopped):
            judge("explored", work="again", checkpoint_period_s=0)
    judge("explored", work="again", checkpoint_period_s=0)
    assert bytes_below("data/explored/judgements") == whole


def test_an_exploration_that_is_stopped_within_a_refill_ends_byte_equal(monkeypatch):
    """The first round of the step that is broken off has been judged then, and is judged again."""
    settings = EXPLORED | {
        "source": EXPLORED["source"] | {"policy": POLICY | {"refill": {"prompts": 8, "rounds": 3}}}
    }
    judge("refilled", settings, work="undisturbed")
    whole, curve = (
        bytes_below("data/refilled/judgements"),
        figures("metrics/judgements/refilled.json")["curve"],
    )
    assert [row["refill_rounds"] for row in curve[1:3]] == [2, 2]
    held, save = [], RecordingJudge.save

    def counted(self, folder):
        save(self, folder)
        held.append((len(self.kept), len(read_judgements(folder / FILE))))

    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "generate", LocalEngine.generate)  # which the next line replaces
        # two of the validation, two of the first step, one of the second
        stop_while_sampling(6, signal.SIGTERM)
        patch.setattr(RecordingJudge, "save", counted)
        with pytest.raises(SystemExit):
            judge("refilled", settings, work="again")
    ((judged_so_far, saved),) = held
    assert judged_so_far > saved > 0, "else it was not stopped within the second step's refill"
    judge("refilled", settings, work="again")
    assert bytes_below("data/refilled/judgements") == whole


def test_a_teacher_that_finds_all_right_or_all_wrong_stops_the_stage():
    never = EXPLORED | {
        "source": EXPLORED["source"]
        | {"policy": POLICY | {"sampling": {"max_new_tokens": 1}, "zero_signal": "count"}}
    }
    with pytest.raises(
        ValueError, match=r"judgements.never: train holds nothing; a verifier needs right and wrong responses"
    ):
        judge("never", never)


def test_variants_of_the_answers_are_judged_beside_the_policys():
    settings = EXPLORED | {"source": EXPLORED["source"] | {"variants": 1}}
    with pytest.raises(ValueError, match=r"but the set tiny has none; give corpus.tiny a wording"):
        judge("varied", settings)
    path = Path("data/tiny/records/explore.jsonl")
    before, records = path.read_bytes(), read_examples(path)
    write_examples(path, [varied(record) for record in records])
    judge("varied", settings, work="varied")
    path.write_bytes(before)
    made = [row for row in judged("train", "varied") if row.source.endswith(":variant")]
    assert len({row.question_id for row in made}) == len(records)
    assert figures("metrics/judgements/varied.json")["files"]["train"]["variants"] == len(made)


def test_published_solutions_are_split_by_question(tmp_path):
    row = {"ground_truth": "She has 5 eggs.\nA: 5"}
    for number, model in enumerate(MODELS):
        row[model] = {"solution": f"So 2 + 3 = {number + 4}.\nA: {number + 4}", "is_correct": number == 1}
    path = Path("solutions.jsonl.gz")
    with gzip.open(path, "wt") as stream:
        stream.writelines(
            json.dumps(row | {"question": f"How many are {number} eggs?"}) + "\n" for number in range(40)
        )
    judge(
        "published",
        {
            "data": "tiny",
            "origin": str(path),
            "source": {"kind": "published", "calib_share": 0.3, "heldout_share": 0.3},
        },
    )
    rows = {file: judged(file, "published") for file in ("train", "calib", "heldout")}
    questions = [{each.question_id for each in found} for found in rows.values()]
    assert sum(map(len, questions)) == 40 == len(set.union(*questions))
    assert Counter(each.label for found in rows.values() for each in found) == {0: 120, 1: 40}
    assert rows["train"][0].reference == "She has 5 eggs."


def test_the_verifier_says_how_it_is_asked_and_what_it_learnt_from():
    asking, temperature = load_facts(Path("models/verifier/model"))
    metrics = figures("metrics/train/verifier.json")
    assert asking.template == "{candidate}{key}"
    assert metrics["temperature"] == temperature > 0
    assert metrics["judgements"]["distinct"] < metrics["judgements"]["read"] == len(judged("train"))
    assert set(metrics["negatives"]) <= set(NegativesParams.model_fields)
    assert set(metrics["calibration"]) == {"before", "after"}
    assert "validation_loss" in metrics


def test_judgements_that_do_not_fit_stop_the_stage():
    with pytest.raises(
        ValueError,
        match=r"of train.jsonl cannot be asked, more than max_error_share 0.01 allows: candidate and reference",
    ):
        distil("short", VERIFIER | {"asking": VERIFIER["asking"] | {"max_tokens": 8}})


def test_the_report_measures_all_arms_on_exact_labels_and_the_gate_says_each_limit():
    found, gate = figures("metrics/verifier_report/verifier.json"), figures("models/verifier/gate/gate.json")
    assert found["labels"] == "exact"
    assert found["unseen_subjects"] == ["even"]
    assert set(found["arms"]) == {"verifier", "containment", "jaccard"} == set(found["laboratory"])
    assert set(found["arms"]["verifier"]["subjects"]) == {"sum", "even"}
    assert {"kappa", "kappa_low", "auroc", "ece"} <= set(found["arms"]["verifier"]["seen"])
    assert set(found["against_rules"]) == {"containment", "jaccard"}
    assert gate["reasons"] == found["gate"]["reasons"]
    assert gate["passed"] is (not gate["reasons"])


def test_a_failed_gate_stops_arms_with_the_verifier_names_every_limit_and_the_way_out():
    strict = {
        "laboratory": {
            "cases": 4,
            "gate": {"min_kappa": 1.0, "max_false_reject": 0.0, "max_false_accept": 0.0},
        }
    }
    report(settings=strict)
    reasons = figures("models/verifier/gate/gate.json")["reasons"]
    assert len(reasons) >= 2
    with pytest.raises(GateClosed) as closed:
        reinforce("soft", {"judge": "verifier", "reward": {"kind": "verifier", "form": "soft"}})
    assert all(reason in str(closed.value) for reason in reasons)
    assert "rl.runs.soft.ignore_gate: true" in str(closed.value)
    reinforce("rule", {"reward": "containment"})
    # bare answers are foreign to it
    reading = {"kind": "verifier", "form": "soft", "max_leak": 1.0, "preflight": False}
    reinforce("soft", {"judge": "verifier", "reward": reading, "ignore_gate": True})
    curve = [json.loads(line) for line in Path("curves/soft.jsonl").read_text().splitlines()]
    assert {"validation_greedy", "validation_reward"} <= set(curve[-1])
    assert [row["step"] for row in curve] == [0, 1, 2]


def test_the_gate_is_for_the_reading_that_was_examined(tmp_path):
    from pipelines.rewards.models.options import VerifierParams

    write_gate(tmp_path, [], VerifierParams())
    check_gate(tmp_path, VerifierParams(form="binary"), "verifier", "binary")
    with pytest.raises(GateClosed, match="it was examined with prefilter True, here prefilter is False"):
        check_gate(tmp_path, VerifierParams(prefilter=False), "verifier", "soft")


def test_an_arm_is_validated_on_the_subjects_that_it_practises(monkeypatch):
    class Seen(Exception):
        pass

    def stop(stage, settings, course):
        raise Seen(
            {record.subject for record in course.problems}, {record.subject for record in course.validation}
        )

    monkeypatch.setattr("tasks.rl.optimise", stop)
    with pytest.raises(Seen) as seen:
        reinforce("rule", {"reward": "containment"})
    assert seen.value.args == ({"sum"}, {"sum"})


def test_an_arm_may_use_a_part_of_the_questions():
    with pytest.raises(ValueError, match=r"rl.runs.rule.problems is 1000, .*rl.jsonl holds 20"):
        reinforce("rule", {"reward": "containment", "problems": 1000})


def test_held_out_accuracy_by_subject_and_novelty():
    own = {"model": "sft", "data": "tiny", "reward": "final_answer", "sampling": {"max_new_tokens": 8}}
    run_stage(
        "evaluate@sft",
        {"evaluate.runs.sft": own},
        ["models/sft/model", *SET],
        ["metrics/evaluate/sft.json", "samples/sft.jsonl"],
    )
    found = figures("metrics/evaluate/sft.json")
    assert set(found["by_subject"]) == {"sum", "even"}
    assert found["by_novelty"]["unseen"]["greedy"]["n"] == 5
    assert 0 < found["top_line"]["share"] <= 1
    with pytest.raises(
        ValueError, match=r"names the checker final_answer, .*sft.reward is containment; make them equal"
    ):
        run_stage(
            "evaluate@sft",
            {"evaluate.runs.sft": own | {"reward": "containment"}},
            ["models/sft/model", *SET],
            [],
        )


def test_where_nothing_is_trained_one_process_of_several_writes(tmp_path):
    # another process may not even read it
    published = {"data": "tiny", "origin": "raw/none.jsonl", "source": {"kind": "published"}}
    spec = Spec(
        "judgements@published",
        "key",
        str(tmp_path / "judgements"),
        (),
        dict.fromkeys(["raw/none.jsonl", *SET], ""),
        {"identity.seed": 0, "judgements.published": published},
        execution={"device": "cpu", "threads": 1},
    )
    stage = Stage(spec, first=False)
    import_module(f"tasks.{stage.kind}").run(stage)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_arm_reaches_its_verifier_through_its_parameters(folder):
    stage = reinforce("rule", {"reward": "containment"})
    stage.spec.params["rl.runs.rule"].update({"judge": "verifier", "reward": {"kind": "verifier"}})
    settings = stage.settings(RlRun)
    assert settings.reward.model == "verifier"
    named = set(seam_modules(settings))
    code = Code(ROOT)
    assert {
        "pipelines.rewards.models.verifier",
        "pipelines.rewards.generative.verifier_judge",
    } <= code.closure(["tasks.rl", *named])[0]
    assert "pipelines.rewards.generative.verifier_judge" not in code.closure(["tasks.rl"])[0]
    assert RUN["data"] == "explored"


def test_the_report_has_a_section_with_every_figure_once_and_none_without_the_branch(tmp_path):
    from tasks.report_page import html, verifiers
    from tasks.report_page.stages import ReportedStages
    from tasks.report_page.tables import Table

    stages = ReportedStages(families.reported())
    (section,) = verifiers.sections(stages, Path("metrics"), Path("curves"), {}, tmp_path, 5)
    titles = [block.title for block in section.blocks if isinstance(block, Table)]
    assert titles[:4] == ["Judgements", "Agreement with exact labels", "Kappa by subject", "Laboratory"]
    page = html.blocks(section)
    found = figures("metrics/verifier_report/verifier.json")
    assert f"{found['arms']['verifier']['seen']['kappa']:.3f}" in page
    assert "The gate is " in page
    assert verifiers.sections(stages, tmp_path / "no", tmp_path / "no", {}, tmp_path, 5) == []


def test_a_teacher_behind_a_server_needs_no_exact_checker_and_may_grade():
    """It says YES where the candidate between its marks ends with the key."""

    def say(body):
        _, candidate, key = body["messages"][-1]["content"].split("|")
        agrees = candidate.strip().endswith(key.removeprefix(", key "))
        return 200, logprobs(YES=0.9, NO=0.1) if agrees else logprobs(YES=0.1, NO=0.9)

    with Server(say) as server:
        asking = {"template": "YES or NO? Candidate {candidate}, key {key}", "marks": ["|", "|"]}
        teacher = {"kind": "endpoint", "url": server.url, "model": "judge-1", "asking": asking}
        settings = EXPLORED | {
            "source": EXPLORED["source"] | {"policy": POLICY | {"reward": teacher, "iterations": 2}}
        }
        judge("taught", settings)
        own = {"model": "sft", "data": "tiny", "reward": teacher, "sampling": {"max_new_tokens": 8}}
        run_stage(
            "evaluate@sft",
            {"evaluate.runs.sft": own},
            ["models/sft/model", *SET],
            ["metrics/evaluate/sft.json", "samples/sft.jsonl"],
        )
    found = figures("metrics/judgements/taught.json")
    assert found["teacher"] == "endpoint"
    assert found["files"]["train"]["teacher_accuracy"] is None
    assert 0 < found["files"]["train"]["right"] < 1
    assert all(
        row.label == int(row.response.strip().endswith(row.reference)) for row in judged("train", "taught")
    )
    assert figures("metrics/evaluate/sft.json")["heldout"]["greedy"]["n"] == 25
