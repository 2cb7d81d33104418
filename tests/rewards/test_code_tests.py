"""The code reward: statuses, what they are worth (dpo_vs_ppo.md 3.2, 9.2.25 and 9.2.26), and what a
response's program is.
"""

import json
import signal

import pytest

from pipelines.corpora.code.code_source import read_source
from pipelines.corpora.code.code_source_params import CodeProblemFile
from pipelines.corpora.raw.ledger import Ledger
from pipelines.rewards.code import code_tests
from pipelines.rewards.code.code_tests_params import SandboxLimits
from pipelines.rewards.code.program_scoring import reward, verdict
from pipelines.rewards.code.program_text import extract_program
from pipelines.rewards.sandbox.execution import outcome_of_exit
from pipelines.rewards.sandbox.process import ChildExit
from pipelines.rewards.sandbox.status import Status, TestOutcome, TestResults
from tests.corpora.made import real
from tests.rewards.code_made import answer, judges, stdio

# the numbers of MBPP tasks whose own solution fails, out of those that the set's notes list (56 64 123 160
# 341 349 367 596 601 607 631 642 899 927 966 967); the others pass here, with imports that the tests lack and
# each test for itself. 64 is no Python at all
FAILING = {160, 367, 596, 601, 607, 631, 642, 927}
PASS, WRONG, RUNTIME, TIMEOUT, COMPILE, SANDBOX, NOT_RUN = Status


def result(*statuses):
    return TestResults(tuple(TestOutcome(status) for status in statuses))


@pytest.fixture(scope="module")
def judge():
    with judges(stop_early=False) as made:
        yield made


@pytest.mark.parametrize(
    ("statuses", "paper", "shaped"),
    [  # dpo_vs_ppo.md 9.2.25: [T,T,T] -> 10; [T,F,T], [-1], [-2], [] -> 0. Shaped: CodeRL's values
        ((PASS, PASS, PASS), 10, 1.0),
        ((PASS, WRONG, PASS), 0, -0.3),
        ((RUNTIME,), 0, -0.6),
        ((TIMEOUT,), 0, -0.6),
        ((COMPILE,), 0, -1.0),
        ((), 0, 0.0),
        ((WRONG, RUNTIME), 0, -0.6),
    ],
)
def test_identity_25(statuses, paper, shaped):
    assert reward(result(*statuses)) == paper
    assert reward(result(*statuses), "shaped") == shaped


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [((PASS,), "right"), ((PASS, WRONG), "wrong"), ((), "error"), ((SANDBOX,), "error"), ((PASS, SANDBOX), "error"),
     ((SANDBOX, WRONG), "wrong"), ((WRONG, NOT_RUN), "wrong")],
)  # fmt: skip
def test_a_sandbox_error_is_an_error_unless_another_test_failed(statuses, outcome):
    assert verdict(result(*statuses)).outcome == outcome


@pytest.mark.parametrize(
    ("signalled", "cpu_seconds", "status"),
    [(signal.SIGXCPU, 0.98, TIMEOUT), (signal.SIGKILL, 1.02, TIMEOUT), (signal.SIGSEGV, 0.1, RUNTIME)],
)
def test_a_signal_of_the_cpu_limit_is_a_time_out(signalled, cpu_seconds, status):
    """Also where the usage that the kernel tells lies a little below the limit."""
    outcome = outcome_of_exit(ChildExit(int(signalled), cpu_seconds), SandboxLimits(test_seconds=1))
    assert outcome is not None
    assert outcome.status is status


@pytest.mark.parametrize(
    ("source", "statuses"),
    [
        ("print(int(input()) * 2)", (PASS, PASS)),
        ("print(4)", (PASS, WRONG)),
        ("n = int(input())\nprint(n * 2)\nassert n < 3", (PASS, RUNTIME)),
        ("n = int(input())\nwhile n > 2: pass\nprint(n * 2)", (PASS, TIMEOUT)),
        ("print(int(input()) * 2", (COMPILE, COMPILE)),
        ("print('4')\nexit(0)", (PASS, WRONG)),
        ("if __name__ == '__main__':\n    print(int(open(0).read()) * 2)", (PASS, PASS)),
        ("import sys\nfor line in sys.stdin: sys.stdout.write(str(int(line) * 2))", (PASS, PASS)),
        ("from collections import Counter\nimport threading\nt = threading.Thread(target=lambda: print(int(input()) * 2))\nt.start()\nt.join()", (PASS, PASS)),
    ],
)  # fmt: skip
def test_whole_programs(judge, source, statuses):
    sample = judge.judge([(source, stdio(("2", "4\n"), ("5\n", "10")), True)])[0]
    assert sample.result.statuses == statuses, sample.verdict
    assert sample.passed == (set(statuses) == {PASS})
    assert sample.verdict.score == (10 if sample.passed else 0)


@pytest.mark.parametrize(
    ("source", "test", "status"),
    [
        ("def f(a): return a + a", {"args": [[1, 2]], "output": [1, 2, 1, 2]}, PASS),
        # APPS: tuples are lists, results wrapped
        ("def f(a): return tuple(a)", {"args": [[1, 2]], "output": [[1, 2]]}, PASS),
        ("class Solution:\n    def f(self, a): return len(a)", {"args": ["abc"], "output": 3}, PASS),
        # number keys
        ("def f(a): return {k + 1: v for k, v in a.items()}", {"args": [{"1": 2}], "output": {"2": 2}}, PASS),
        ("def f(a): return 0.1 + 0.2", {"args": [1], "output": 0.3}, PASS),
        ("def f(a): return '3'", {"args": [1], "output": 3}, WRONG),
        ("def f(a): return a.x", {"args": [1], "output": 3}, RUNTIME),
        ("def g(a): return a", {"args": [1], "output": 1}, RUNTIME),
        ("raise OSError", {"args": [1], "output": 1}, RUNTIME),
        ("def f(a): return a", {"code": "for n in range(3):\n    assert candidate(n) == n"}, PASS),
        ("def f(a): return a * (a < 2)", {"code": "for n in range(3):\n    assert candidate(n) == n"}, WRONG),
        ("def f(a): raise ValueError('no')", {"code": "try:\n    f(1)\n    assert False\nexcept ValueError:\n    pass"}, PASS),
        ("def f(a): return [a]", {"code": "assert len(candidate(1)) == 1 and half(3) == 1.5"}, PASS),
        ("def f(a): return None", {"code": "assert len(candidate(1)) == 1"}, WRONG),
        ("def f(a, t): return isinstance(a, t)", {"code": "assert candidate(1, int)"}, PASS),
        ("import random\ndef f(a): return random.random()", {"code": "import random\nassert 0 <= candidate(1) < 1"}, PASS),
        ("def f(a): return a", {"code": "import nothing_like_it\nassert f(1) == 1"}, SANDBOX),
        ("def f(a): return a", {"code": "import os\nos._exit(0)"}, SANDBOX),
        ("def f(a): return a", {"code": "assert f(object()) == 1"}, WRONG),
        ("def f(a): return a", {"code": "assert f(1) == 1\nimport nothing_like_it"}, SANDBOX),
    ],
)  # fmt: skip
def test_functions(judge, source, test, status):
    sample = judge.judge([(source, answer(test, fn_name="f", setup="def half(n):\n    return n / 2"), True)])[
        0
    ]
    assert sample.result.statuses == (status,), sample.verdict


def test_the_tests_after_the_first_failure_are_left_undone():
    with judges() as quick:
        sample = quick.judge([("print(1)", stdio(("", "1"), ("", "2"), ("1", "1")), True)])[0]
    assert sample.result.statuses == (PASS, WRONG, NOT_RUN)
    with judges(reward="shaped") as shaped:
        sample = shaped.judge([("print(1) if input() else x", stdio(("1", "2"), ("", "1")), True)])[0]
    assert sample.result.statuses == (WRONG, RUNTIME)
    assert sample.verdict.score == -0.6


def test_total_time_ends_the_tests():
    with judges(limits={"total_seconds": 1}, stop_early=False) as quick:
        # equal tests are one
        sample = quick.judge([("import time\ntime.sleep(.4)\nprint(1)", stdio(*[("", "1")] * 6), True)])[0]
        assert sample.passed
        sample = quick.judge(
            [("import time\ntime.sleep(.4)\nprint(1)", stdio(*[(str(n), "1") for n in range(6)]), True)]
        )[0]
    assert sample.result.statuses[0] == PASS
    assert TIMEOUT in sample.result.statuses
    assert sample.result.statuses[-1] == NOT_RUN


def test_public_and_hidden_tests_are_apart():
    both = answer({"input": "1", "output": "1"}, public_tests=[{"input": "2", "output": "2"}])
    outcomes = {}
    for which in ("all", "public", "hidden"):
        with judges(tests=which) as made:
            outcomes[which] = [
                made.judge([(source, both, True)])[0].passed
                for source in ("print(1)", "print(2)", "print(input())")
            ]
    assert outcomes == {
        "all": [False, False, True],
        "public": [False, True, True],
        "hidden": [True, False, True],
    }


def test_references_that_cannot_be_used_are_errors(judge):
    for reference in (
        "",
        "[]",
        '{"tests": []}',
        answer(),
        answer({"input": "1"}),
        answer({"args": [], "output": 1}),
        "[" * 10**5,
    ):
        assert judge.judge([("print(1)", reference, True)])[0].verdict.outcome == "error", reference
    assert "no tests" in judge.judge([("print(1)", answer(), False)])[0].verdict.reason


def test_the_form_of_every_checker(judge):
    reference = json.dumps(json.loads(stdio(("1", "1"))) | {"solution": "print(input())"})
    assert code_tests.check(code_tests.respond(reference), reference, True).outcome == "right"
    assert code_tests.check("print(2)", reference, True).outcome == "wrong"
    cut = code_tests.check("print(input())", reference, False)
    assert (cut.outcome, cut.reason) == ("wrong", "cut off before the end")


def test_verdicts_do_not_depend_on_the_number_of_workers():
    sources = [
        "print(input())",
        "print(2)",
        "x",
        "while True: pass",
        "print(hash('a') % 1 + int(input()))",
        "import random\nprint(random.random() < 2)",
    ] * 2
    found = []
    for workers in (1, 3):
        with judges(workers) as made:
            samples = made.judge([(source, stdio(("1", "1")), True) for source in sources])
            # of several limits a busy machine may reach another one first: the reason differs then, the
            # verdict does not
            found.append([(sample.verdict.outcome, sample.verdict.score) for sample in samples])
    assert found[0] == found[1]


def test_identity_26_samples_for_pairs(judge):
    """Pairs need to know who passes: 0, 2 and 5 of 5 here; the rule that follows is the pair builder's."""
    good, bad = "print(input())", "print(0)"
    judged = judge.judge_programs(
        [stdio(("1", "1"))] * 3, [[bad] * 5, [good, bad, good, bad, bad], [good] * 5]
    )
    assert [[sample.passed for sample in samples] for samples in judged] == [
        [False] * 5,
        [True, False, True, False, False],
        [True] * 5,
    ]


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("x = 1", "x = 1"),
        ("So:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\nx = 1\n```\nor\n```py\ny = 2\n```", "y = 2\n"),
        ("```json\n{}\n```", "```json\n{}\n```"),
        ("```python\nx = 1", "x = 1\n"),
    ],
)
def test_the_program_of_a_response(text, program):
    assert extract_program(text) == program


def test_a_completion_goes_on_where_the_prompt_ends():
    starter = "import math\ndef f(n):\n"
    assert extract_program("    return n\n", starter, "f") == starter + "    return n\n"
    assert extract_program("def f(n):\n    return n\n", starter, "f") == "def f(n):\n    return n\n"
    assert extract_program("```python\nf = abs\n```", starter, "f") == "f = abs\n"


def references(reader, *parts):
    ledger = Ledger(parts[0])
    return list(
        read_source(CodeProblemFile(reader=reader, file="/".join(parts)), real("code"), ledger)
    ), ledger


@pytest.mark.parametrize(
    ("reader", "parts", "every"),
    [("human_eval", ("humaneval", "humaneval_even.jsonl"), 8), ("mbpp", ("mbpp_sanitized", "mbpp_sanitized.jsonl"), 60), ("mbpp", ("mbpp", "mbpp.jsonl"), 120)],
)  # fmt: skip
def test_some_reference_solutions_pass(reader, parts, every):
    problems = references(reader, *parts)[0][::every]
    check_references(problems)


@pytest.mark.slow
@pytest.mark.skipif(
    "not __import__('os').environ.get('WHETSTONE_ALL_REFERENCES')",
    reason="two minutes; set WHETSTONE_ALL_REFERENCES",
)
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("reader", "parts", "count", "bad"),
    [("human_eval", ("humaneval", "humaneval_even.jsonl"), 82, 0), ("mbpp", ("mbpp_sanitized", "mbpp_sanitized.jsonl"), 427, 0), ("mbpp", ("mbpp", "mbpp.jsonl"), 973, 1)],
)  # fmt: skip
def test_all_reference_solutions_pass(reader, parts, count, bad):
    problems, ledger = references(reader, *parts)
    assert (len(problems), ledger.bad) == (count, bad)
    check_references(problems)


def check_references(problems):
    with judges(2, limits={"test_seconds": 4, "wall_seconds": 8}) as made:
        samples = made.judge([(problem.solutions[0], problem.answer(), True) for problem in problems])
    failed = {
        problem.id: sample.verdict.reason
        for problem, sample in zip(problems, samples, strict=True)
        if not sample.passed
    }
    assert failed.keys() <= {f"MBPP/{number}" for number in FAILING}, failed


def test_real_samples_have_both_outcomes():
    """CodeGen's samples on HumanEval, untrusted code of a model: judged without an error, some right and some
    wrong.
    """
    import gzip

    problems = {
        problem.id: problem for problem in references("human_eval", "humaneval", "humaneval_even.jsonl")[0]
    }
    with gzip.open(
        real("code", "humaneval_codegen16b_samples") / "samples_even.jsonl.gz", "rt", encoding="utf-8"
    ) as stream:
        rows = [json.loads(line) for _, line in zip(range(2), stream, strict=False)]
    chosen = [(problems[row["task_id"]], row["samples"][:6]) for row in rows]
    with judges(2) as made:
        judged = made.judge_programs(
            [problem.answer() for problem, _ in chosen], [texts for _, texts in chosen]
        )
    assert {sample.verdict.outcome for samples in judged for sample in samples} == {"right", "wrong"}
