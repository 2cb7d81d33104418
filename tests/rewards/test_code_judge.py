"""Programs behind the judge's seam: tests from `meta`, the preflight, public and hidden tests apart, and what
a failing sandbox is.
"""

import json
from dataclasses import replace

import pytest

from pipelines.corpora.records.record import Record
from pipelines.rewards.code.code_judge import CodeJudge, ProgramReport
from pipelines.rewards.code.code_tests_params import CodeTestsParams
from pipelines.rewards.judge import Response
from pipelines.rewards.reward_params import JUDGE
from pipelines.rewards.sandbox.probe import SandboxUnavailable
from pipelines.rewards.scoring import CheckerFailed
from tests.rewards.code_made import QUICK

DOUBLE, ADD = "def double(x):\n    return 2 * x\n", "print(sum(map(int, input().split())))"


def record(name, solution, hidden, public=(), fn_name=None, starter=""):
    code = {"fn_name": fn_name, "setup": "", "starter": starter, "solution": solution}
    code |= {"public_tests": list(public), "hidden_tests": list(hidden)}
    return Record(
        name,
        f"Write {name}.",
        solution or None,
        solution or name,
        "s",
        None,
        "set",
        [5],
        [6] if solution else None,
        {"id": name, "code": code},
    )


def double(*hidden, public=({"args": [1], "output": 2},)):
    return record(
        "double", DOUBLE, hidden or ({"args": [3], "output": 6},), public, "double", "def double(x):\n"
    )


RECORDS = [double(), record("add", ADD, [{"input": "1 2", "output": "3"}, {"input": "3 4", "output": "7"}])]


def judge_of(**options):
    try:
        return CodeJudge(CodeTestsParams(limits=QUICK, **options))
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def judge():
    return judge_of()


def responses(one, *texts, finished=True):
    return [Response(one, (4, 5), text, finished) for text in texts]


def test_verdicts_and_scores(judge):
    asked = responses(
        RECORDS[0],
        DOUBLE,
        "    return x + x\n",
        f"Here:\n```python\n{DOUBLE}```\n",
        "    return 6\n",
        "def (",
    )
    asked += responses(RECORDS[1], ADD, "print(3)", "") + responses(RECORDS[0], DOUBLE, finished=False)
    verdicts = judge.judge(asked)
    assert [verdict.outcome for verdict in verdicts] == ["right"] * 3 + ["wrong"] * 2 + ["right"] + [
        "wrong"
    ] * 3
    assert [verdict.score for verdict in verdicts] == [10.0] * 3 + [0.0] * 2 + [10.0] + [0.0] * 3
    assert judge.judge([]) == []
    assert judge.model is None
    assert not judge.deterministic


def test_the_shaped_reward_through_the_seam():
    options = JUDGE.choose({"kind": "code_tests", "reward": "shaped", "limits": QUICK})
    assert isinstance(options, CodeTestsParams)
    try:
        judge = CodeJudge(options)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    verdicts = judge.judge(responses(RECORDS[0], DOUBLE, "    return 1\n", "    return y\n", "def ("))
    assert [verdict.score for verdict in verdicts] == [1.0, -0.3, -0.6, -1.0]
    # to go on for ever must not pay
    assert judge.judge(responses(RECORDS[0], DOUBLE, finished=False))[0].score == -1.0


def test_a_record_without_tests_in_meta_is_judged_by_its_answer(judge):
    bare = replace(RECORDS[1], meta={}, answer=json.dumps(RECORDS[1].meta["code"]))
    assert judge.judge(responses(bare, ADD))[0].outcome == "right"
    damaged = replace(bare, answer="what?")
    assert judge.judge(responses(damaged, ADD))[0].outcome == "error"


def test_no_tests_and_a_broken_test_are_errors(judge):
    assert [verdict.outcome for verdict in judge.judge(responses(double(public=()), DOUBLE))] == ["right"]
    empty = record("none", DOUBLE, [])
    broken = record("broken", DOUBLE, [{"code": "raise RuntimeError"}], fn_name="double")
    assert [
        verdict.outcome for verdict in judge.judge([*responses(empty, DOUBLE), *responses(broken, DOUBLE)])
    ] == ["error", "error"]


def test_the_preflight(judge):
    judge.preflight(RECORDS)
    wrong = record("wrong", DOUBLE, [{"args": [3], "output": 7}], fn_name="double")
    with pytest.raises(
        CheckerFailed, match=r"1 of 3 solutions of set do not pass.*wrong \(test 1 of 1: wrong"
    ):
        judge.preflight([*RECORDS, wrong])
    # one of thirteen: as published sets have it
    judge.preflight([replace(RECORDS[0], id=str(number)) for number in range(12)] + [wrong])
    generous = record("generous", "", [{"input": "", "output": ""}])
    with pytest.raises(CheckerFailed, match="the empty program is right on generous"):
        judge.preflight([generous])


def test_public_and_hidden_tests_apart(judge):
    one = double({"args": [3], "output": 6}, {"args": [4], "output": 8})
    texts = [DOUBLE, "    return 2\n", "    return 6\n", "    return y\n", "def ("]
    assert judge.examine(responses(one, *texts)) == [
        ProgramReport("pass", True, True, True),
        ProgramReport("wrong", True, True, False),  # it knows the public test only
        ProgramReport("wrong", True, False, False),
        ProgramReport("runtime_error", True, False, False),
        ProgramReport("compile_error", False, False, False),
    ]
    # no public tests: nothing chooses
    assert judge.examine(responses(RECORDS[1], "print(3)")) == [ProgramReport("wrong", True, True, False)]
    assert judge.examine(responses(one, DOUBLE, finished=False)) == [
        ProgramReport("not_run", True, False, False)
    ]
    assert judge.examine(responses(record("none", DOUBLE, []), DOUBLE))[0].hidden is None


def test_a_module_that_the_sandbox_lacks_is_said_once(judge):
    """Over all problems, not only those that the preflight runs; a module that the tests can do without is no
    reason.
    """
    lacks = [
        record(f"p{n}", DOUBLE, [{"code": "import pandas as pd\nassert double(1) == 2"}], fn_name="double")
        for n in range(2)
    ]
    optional = record(
        "o",
        DOUBLE,
        [{"code": "try:\n    import scipy\nexcept ImportError:\n    scipy = None\nassert double(1) == 2"}],
        fn_name="double",
    )
    with_numpy = record(
        "n", DOUBLE, [{"code": "import numpy as np\nassert np.allclose(double(1), 2)"}], fn_name="double"
    )
    with pytest.raises(
        CheckerFailed,
        match=r"pandas in 2 of 5 \(p0, p1\)\. It has the standard library and `modules` of the reward \(numpy\)",
    ):
        judge.preflight([*RECORDS[:1], *lacks, optional, with_numpy])
    judge.preflight([optional, with_numpy])
    with pytest.raises(CheckerFailed, match=r"numpy in 1 of 1 \(n\).*\(none\)"):
        judge_of(modules=[]).preflight([with_numpy])


def test_a_listed_module_must_be_installed():
    with pytest.raises(
        SandboxUnavailable, match="no-such-thing of `modules` not installed here: pip install no-such-thing"
    ):
        CodeJudge(CodeTestsParams(modules=["numpy", "no-such-thing"]))
