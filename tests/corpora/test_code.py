"""Code problems: each published form row by row, why bad rows are refused, and what becomes of the tests."""

import json

import pytest

from pipelines.corpora.code.assertions import split_check
from pipelines.corpora.code.code_problem import CodeProblem, read_code_problems, write_code_problems
from pipelines.corpora.code.code_source import read_source
from pipelines.corpora.code.code_source_params import CodeProblemFile
from pipelines.corpora.raw.ledger import Ledger
from tests.corpora.made import real, write_lines

HUMAN_EVAL = {
    "task_id": "HumanEval/32",
    "prompt": 'import math\n\n\ndef poly(x):\n    return x * x\n\n\ndef root(x: float) -> float:\n    """ Root.\n    >>> round(root(4.0), 2)\n    2.0\n    >>> root(9.0)\n    about three\n    """\n',
    "entry_point": "root",
    "canonical_solution": "    return x ** 0.5\n",
    "test": "\n\nMETADATA = {'a': 1}\n\n\ndef check(candidate):\n    import random\n    n = random.random()\n    assert True, 'for people'\n    assert abs(poly(candidate(n)) - n) < 1e-6\n    for k in range(3):\n        assert candidate(k * k) == k\n",
}
MBPP = {
    "task_id": "MBPP/82",
    "prompt": "def area(r):\n    '''\n    Area of a circle.\n    >>> area(1)\n    3\n    >>> area(2)\n    13\n    '''\n",
    "entry_point": "area ",
    "canonical_solution": "  import math\n  return round(math.pi * r * r)\n",
    "test": "def check(candidate):\n    assert candidate(1) == 3\n    assert math.isclose(area(10), 314)\n",
}
APPS = {
    "problem_id": 4,
    "question": "Add.",
    "solutions": '["print(sum(map(int, input().split())))"]',
    "input_output": '{"inputs": ["1 2\\n", ["3 4", ""]], "outputs": ["3\\n", ["7"]]}',
    "difficulty": "interview",
    "starter_code": "",
}
CONTEST = {
    "name": "1_A. Add",
    "description": "Add.",
    "public_tests": {"input": ["1 2"], "output": ["3"]},
    "private_tests": {"input": ["3 4"], "output": ["7"]},
    "generated_tests": {"input": ["5 5"], "output": ["10"]},
    "solutions": {"language": [3, 1, 2], "solution": ["print(3)", "print 3", "int main"]},
    "incorrect_solutions": [{"language": "PYTHON3", "solution": "print(0)"}],
    "difficulty": 7,
}  # fmt: skip


def read(tmp_path, reader, *rows, **source):
    write_lines(tmp_path / "a.jsonl", rows)
    ledger = Ledger("code")
    problems = list(read_source(CodeProblemFile(reader=reader, file="a.jsonl", **source), tmp_path, ledger))
    return problems, [first.split(": ", 1)[1] for first in ledger.first]


def test_human_eval(tmp_path):
    [problem], reasons = read(
        tmp_path,
        "human_eval",
        HUMAN_EVAL,
        {**HUMAN_EVAL, "test": "x ="},
        {**HUMAN_EVAL, "test": "assert root(1)"},
    )
    assert reasons == ["test is no Python", "test has no check(candidate)"]
    assert (problem.io_mode, problem.fn_name, problem.starter_code) == (
        "assert",
        "root",
        HUMAN_EVAL["prompt"],
    )
    assert problem.solutions == [HUMAN_EVAL["prompt"] + HUMAN_EVAL["canonical_solution"]]
    # what the prompt gives the tests, not what is asked for
    assert problem.setup == "import math\n\ndef poly(x):\n    return x * x"
    # the other example is no literal
    assert problem.public_tests == [{"code": "assert round(candidate(4.0), 2) == 2.0"}]
    assert [test["code"].splitlines() for test in problem.hidden_tests] == [
        ["import random", "n = random.random()", "assert abs(poly(candidate(n)) - n) < 1e-06"],
        ["import random", "n = random.random()", "for k in range(3):", "    assert candidate(k * k) == k"],
    ]


def test_mbpp(tmp_path):
    rows = [
        MBPP,
        {**MBPP, "prompt": "area of a circle"},
        {**MBPP, "prompt": "def other(x):\n    'a'\n"},
        {**MBPP, "prompt": "def area(x):\n    return 1\n"},
    ]
    [problem], reasons = read(tmp_path, "mbpp", *rows)
    assert reasons == [
        "prompt is no Python",
        "prompt does not end with the signature of entry_point",
        "prompt has more than a docstring in its function",
    ]
    assert problem.starter_code == "def area(r):\n"  # the body has another indentation than the docstring
    assert problem.solutions == ["def area(r):\n" + MBPP["canonical_solution"]]
    assert problem.setup == "import math\n"  # which the tests use, and only the solution imports
    # an example that is none of the tests is a misprint
    assert problem.public_tests == [{"code": "assert candidate(1) == 3"}]
    assert len(problem.hidden_tests) == 2


def test_apps(tmp_path):
    call = {
        **APPS,
        "input_output": '{"fn_name": "add", "inputs": [[1, 2]], "outputs": [3]}',
        "starter_code": "def add(a, b):",
    }
    bad = [
        {**APPS, "input_output": "{"},
        {**APPS, "input_output": '{"inputs": [1], "outputs": []}'},
        {**APPS, "input_output": '{"inputs": [1], "outputs": ["1"]}'},
        {**APPS, "solutions": "[1]"},
    ]
    problems, reasons = read(tmp_path, "apps", APPS, call, {**APPS, "input_output": ""}, *bad)
    assert reasons == [
        "input_output is no JSON",
        "input_output has inputs and outputs of different number",
        "a test of a standard-input problem is no text",
        "solutions is no list of text",
    ]
    standard, called, without = problems
    assert (standard.id, standard.io_mode, standard.difficulty, standard.public_tests) == (
        "APPS/4",
        "stdio",
        "interview",
        [],
    )
    assert standard.hidden_tests == [{"input": "1 2\n", "output": "3\n"}, {"input": "3 4\n", "output": "7"}]
    assert "Use Standard Input format" in standard.prompt
    assert (called.io_mode, called.fn_name, called.hidden_tests) == (
        "call",
        "add",
        [{"args": [1, 2], "output": 3}],
    )
    assert called.prompt == "\nQUESTION:\nAdd.\ndef add(a, b):\n\nUse Call-Based format\n\nANSWER:\n"
    assert not without.has_tests


def test_code_contests(tmp_path):
    bad = [
        {**CONTEST, "input_file": "in.txt"},
        {**CONTEST, "solutions": {"language": [3], "solution": []}},
        {**CONTEST, "public_tests": {"input": [1], "output": ["1"]}},
    ]
    [problem], reasons = read(tmp_path, "code_contests", CONTEST, *bad)
    assert reasons == [
        "the program is to read a file",
        "solutions is no table of language and solution",
        "public_tests holds something that is no text",
    ]
    assert (problem.solutions, problem.incorrect_solutions) == (["print(3)"], ["print(0)"])  # Python 3 alone
    assert problem.public_tests == [{"input": "1 2", "output": "3"}]
    assert [test["output"] for test in problem.hidden_tests] == ["7", "10"]


def test_problems_survive_their_file(tmp_path):
    problems = [
        problem
        for reader, row in (
            ("human_eval", HUMAN_EVAL),
            ("mbpp", MBPP),
            ("apps", APPS),
            ("code_contests", CONTEST),
        )
        for problem in read(tmp_path, reader, row)[0]
    ]
    assert write_code_problems(tmp_path / "b.jsonl", problems) == 4
    again = read_code_problems(tmp_path / "b.jsonl")
    assert [problem.answer() for problem in again] == [problem.answer() for problem in problems]
    write_code_problems(tmp_path / "c.jsonl", again)
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "c.jsonl").read_bytes()
    (tmp_path / "b.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(ValueError, match=r"b\.jsonl:1: .*make it again"):
        read_code_problems(tmp_path / "b.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"io_mode": "file"},
        {"io_mode": "call"},
        {"hidden_tests": [{"input": "1"}]},
        {"public_tests": [{"code": "x"}]},
    ],
)
def test_impossible_problems(change):
    fields = {
        "id": "a",
        "prompt": "p",
        "solutions": [],
        "public_tests": [],
        "hidden_tests": [],
        "difficulty": "",
        "io_mode": "stdio",
        "source": "s",
    }
    assert json.loads(CodeProblem(**fields).answer())["hidden_tests"] == []
    with pytest.raises(ValueError):
        CodeProblem(**(fields | change))


def test_nothing_to_test_is_no_test():
    with pytest.raises(ValueError, match="asserts nothing"):
        split_check("def check(candidate):\n    assert True\n    print(candidate(1))")


def test_where_problems_come_from(tmp_path):
    assert read(tmp_path, "apps", APPS, exclude=("APPS/4",)) == ([], [])
    with pytest.raises(FileNotFoundError, match="relative to the raw folder"):
        list(read_source(CodeProblemFile(reader="apps", file="none.jsonl"), tmp_path, Ledger("code")))
    for wrong in (
        {"reader": "apps"},
        {"reader": "apps", "id": "codeparrot/apps"},
        {"reader": "none", "file": "a"},
    ):
        with pytest.raises(ValueError):
            CodeProblemFile(**wrong)


@pytest.mark.parametrize(
    ("reader", "file", "good", "public", "hidden"),
    [("human_eval", "humaneval/humaneval_even.jsonl", 82, 77, 573), ("mbpp", "mbpp/mbpp.jsonl", 973, 2908, 2919), ("mbpp", "mbpp_sanitized/mbpp_sanitized.jsonl", 427, 0, 1324)],
)  # fmt: skip
def test_the_real_files(reader, file, good, public, hidden):
    ledger = Ledger(file)
    problems = list(read_source(CodeProblemFile(reader=reader, file=file), real("code"), ledger))
    assert ledger.good == len(problems) == good
    assert ledger.bad == (1 if file == "mbpp/mbpp.jsonl" else 0)  # MBPP/64: its prompt is no Python
    assert sum(len(problem.public_tests) for problem in problems) == public
    assert sum(len(problem.hidden_tests) for problem in problems) == hidden
