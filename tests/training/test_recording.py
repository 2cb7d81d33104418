"""The teacher that keeps what it judged."""

from dataclasses import replace

from pipelines.corpora.records.record import Record
from pipelines.rewards.judge import Response, RuleJudge
from pipelines.rewards.rules import final_answer
from pipelines.rewards.verdict import Verdict, error, right, wrong
from pipelines.training.recording import RecordingJudge

RECORD = Record("q1", "2 + 2?", None, "4", "sum", None, "set", [1], None)


class Teacher:
    deterministic, model = False, None

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)

    def judge(self, responses):
        return [self.verdicts.pop(0) for _ in responses]

    def preflight(self, records):
        raise AssertionError


def said(text, finished=True):
    return Response(RECORD, (1, 2), text, finished)


def test_labels_are_the_teachers_and_the_truth_is_the_checkers():
    judge = RecordingJudge(Teacher(right(), wrong("no")), "model", RuleJudge(final_answer))
    judge.judge([said("it is five\n#### 5")])
    judge.judge([said("#### 4")])
    assert [(each.label, each.truth, each.step) for each in judge.kept] == [(1, 0, 0), (0, 1, 1)]
    assert judge.kept[0].response == "it is five\n#### 5"
    assert (judge.kept[0].subject, judge.kept[0].question) == ("sum", "2 + 2?")


def test_what_teaches_nothing_is_counted():
    judge = RecordingJudge(Teacher(error("no connection"), wrong(""), wrong("")), "model")
    judge.judge([said("#### 4"), said(" \n"), said("####", finished=False)])
    assert judge.kept == []
    assert judge.left_out == {"error: no connection": 1, "empty": 1, "cut off": 1}


def test_a_resumed_run_keeps_each_response_once(tmp_path):
    whole = RecordingJudge(RuleJudge(final_answer), "exact")
    for text in ("#### 4", "#### 5", "six\n#### 6"):
        whole.judge([said(text), said("")])
    half = RecordingJudge(RuleJudge(final_answer), "exact")
    half.judge([said("#### 4"), said("")])
    half.commit()
    half.judge([said("#### 5"), said("")])  # of a step that is not finished: judged again after the stop
    half.save(tmp_path)
    other = RecordingJudge(RuleJudge(final_answer), "exact")
    other.load(tmp_path)
    for text in ("#### 5", "six\n#### 6"):
        other.judge([said(text), said("")])
    assert other.kept == whole.kept
    assert other.left_out == whole.left_out == {"empty": 3}
    assert len({each.id for each in whole.kept}) == 3


def test_only_the_asked_questions_are_kept_and_no_other_call_is_a_step():
    judge = RecordingJudge(
        Teacher(wrong(""), Verdict("right", 0.9)), "model", questions={"q1"}, probable=True
    )
    judge.judge([Response(replace(RECORD, id="validation"), (1,), "#### 4", True)])
    judge.judge([said("#### 4")])
    (only,) = judge.kept
    assert (only.question_id, only.step, only.probability) == ("q1", 0, 0.9)
