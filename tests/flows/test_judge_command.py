"""`whetstone judge`: rows in, a line a row out, for rules, programs, verifiers and reward models; bad rows
are named and cost themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.models import policy, score_head
from pipelines.rewards.models.options import AskingParams
from pipelines.rewards.models.verifier import save_facts
from pipelines.rewards.reward_params import JUDGE
from tests.flows.toy import ROOT
from tests.tiny import make_tiny_model, make_tiny_tokens

ROWS = [
    {"response": "So it is \\boxed{0.5}.", "reference": "\\frac12"},
    {"response": "#### 4", "reference": "5"},
    {"response": "#### (x+1)^2", "reference": "x^2+2x+1"},
    {"response": "#### 4", "reference": ""},
]


Judge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def judge(learning_python: str) -> Judge:
    """`judge(*words, cwd=, text=)` runs `whetstone judge WORDS` with `text` for its input."""

    def asked(*words: str, cwd: Path, text: bytes | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [learning_python, "-m", "flows", "judge", *words],
            cwd=cwd,
            env=environment,
            input=text,
            capture_output=True,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return asked


def rows(*found: object) -> bytes:
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in found)


def outcomes(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["outcome"] for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a verifier, a reward model and a policy: untrained, so that what they say is only
    repeatable.
    """
    folder = tmp_path_factory.mktemp("models")
    tokens = make_tiny_tokens(folder / "tokens")
    model = make_tiny_model(tokens)
    asking = AskingParams(
        template="{question}#{candidate}#{key}",
        marks=("++", "++"),
        positive=("1",),
        negative=("0",),
        max_tokens=60,
    )
    policy.save(model, tokens, folder / "models/verifier/model")
    save_facts(folder / "models/verifier/model", asking, 1.0)
    policy.save(model, tokens, folder / "models/policy/model")
    (folder / "models/reward_model/model").mkdir(parents=True)
    score_head.save(score_head.make(model, 0), tokens, folder / "models/reward_model/model")
    (folder / "rows.jsonl").write_bytes(
        rows(
            *({"question": f"{n}+1", "response": f"#### {n + 1}", "reference": str(n + 1)} for n in range(5))
        )
    )
    return folder


def test_a_line_a_row_in_order_and_nothing_else(judge: Judge, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_bytes(rows(*ROWS))
    done = judge("math_answer", "rows.jsonl", "--json", cwd=tmp_path)  # outside of any project
    assert outcomes(done) == ["right", "wrong", "right", "error"]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(row) == ["outcome", "score", "reason"] for row in found)
    assert [row["score"] for row in found] == [1, 0, 1, 0]
    assert found[3]["reason"] == "the reference answer is empty"


def test_people_get_numbered_lines_and_a_summary(judge: Judge, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_bytes(rows(*ROWS, {"response": "#### \x1b[2Jx\x9b1m", "reference": "5"}))
    done = judge("final_answer", "rows.jsonl", cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split()[:3] for line in done.stdout.splitlines()[:2]] == [
        ["1", "wrong", "0"],
        ["2", "wrong", "0"],
    ]
    assert done.stdout.splitlines()[-1] == "5 rows: 0 right, 4 wrong, 1 errors; mean score 0 of the 4 judged"
    assert not {"\x1b", "\x9b"} & set(done.stdout)  # a response's terminal commands stay out of the terminal


def test_an_answer_is_the_reference_where_none_is_named(judge: Judge, tmp_path: Path):
    own = {"response": "#### 5", "answer": "5"}  # as rows to train on, and so what `sample` made of them
    text = rows(own, own | {"reference": "6"}, own | {"answer": 5})
    done = judge("final_answer", "-", "--json", cwd=tmp_path, text=text)
    assert outcomes(done) == ["right", "wrong", "error"]


def test_bad_rows_are_errors_that_name_their_line(judge: Judge, tmp_path: Path):
    good = {"response": "#### 5", "reference": "5"}
    bad: list[object] = [
        b"no json\n", b"[1]\n", b'"text"\n', {"response": "5"}, {"text": "5"}, {"response": 5, "reference": "5"},
        {"response": "5", "reference": None}, good | {"finished": "yes"}, good | {"question": 7}, b'{"response": "\xff", "reference": "5"}\n',
        b"[" * 100_000 + b"\n", b'{"response": "5", "refere',
    ]  # fmt: skip
    done = judge("final_answer", "-", "--json", cwd=tmp_path, text=b"\xef\xbb\xbf" + rows(good, b"\n", *bad))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert outcomes(done) == ["right"] + ["error"] * len(bad)  # the blank line is no row
    assert [row["reason"].split(":")[0] for row in found[1:]] == [
        f"line {number}" for number in range(3, 3 + len(bad))
    ]
    assert "no reference; it has response" in found[4]["reason"]
    assert "response must be text, not 5" in found[6]["reason"]


def test_lone_surrogates_and_separators_travel(judge: Judge, tmp_path: Path):
    done = judge(
        "math_answer",
        "-",
        "--json",
        cwd=tmp_path,
        text=rows(
            {"response": "#### \ud800", "reference": "5"}, {"response": "#### a\u2028b", "reference": "5"}
        ),
    )
    assert outcomes(done) == ["error", "wrong"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["math_anwser", "rows.jsonl"], "no rule math_anwser; did you mean math_answer?"),
        (["rules", "rows.jsonl"], "known: chat_verifier, code_tests"),
        (["no/such/model", "rows.jsonl"], "no/such/model: no folder with a model's config.json here"),
        (["final_answer", "nothing.jsonl"], "nothing.jsonl: No such file"),
        (["final_answer", "."], ".: Is a directory"),
        (["final_answer", "empty.jsonl"], "no line is a row"),
        (["final_answer", "bad.jsonl"], "no line is a row"),
        (["code_tests", "rows.jsonl", "-S", "limits.test_secnds=2"], "code_tests: limits.test_secnds: unknown, did you mean test_seconds?"),
        (["code_tests", "rows.jsonl", "-S", "limits.test_seconds"], "KEY=VALUE is expected"),
        (["code_tests", "rows.jsonl", "-S", "tests=!!python/object:os.system"], "tests=!!python"),
        (["code_tests", "rows.jsonl", "-S", "tests=some"], "tests: Input should be 'all'"),
        (["verifier", "rows.jsonl", "-S", "model=models/none"], "models/none: no folder with a model's config.json"),
        (["final_answer"], "Missing argument"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_bad_usage_is_2_with_the_way_out(judge: Judge, tmp_path: Path, words: list[str], message: str):
    (tmp_path / "rows.jsonl").write_bytes(rows(*ROWS))
    (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
    (tmp_path / "bad.jsonl").write_bytes(b"not a row\n")
    done = judge(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_rule_judges(judge: Judge, tmp_path: Path):
    from pipelines.seams import load

    rules = [name for name in JUDGE.names() if not hasattr(load("pipelines.rewards", name), "make_judge")]
    assert {
        "math_answer",
        "final_answer",
        "multiple_choice",
        "containment",
        "substring",
        "jaccard",
        "phrase_answer",
    } <= set(rules)
    (tmp_path / "rows.jsonl").write_bytes(
        rows(
            {"response": "#### twelve coins", "reference": "twelve coins"},
            {"response": "#### B", "reference": "B"},
        )
    )
    for rule in rules:
        assert "right" in outcomes(judge(rule, "rows.jsonl", "--json", cwd=tmp_path)), rule


def test_programs_are_judged_by_their_tests(judge: Judge, tmp_path: Path):
    tests = {"hidden_tests": [{"input": "1 2\n", "output": "3\n"}]}
    adds, fails = "```python\nprint(sum(map(int, input().split())))\n```", "print(4)"
    found = rows(
        {"response": adds, "reference": json.dumps(tests)},
        {"response": fails, "reference": tests},
        {"response": adds, "reference": "{}x"},
    )
    done = judge("code_tests", "-", "--json", "-S", "limits.test_seconds=3", cwd=tmp_path, text=found)
    assert outcomes(done) == ["right", "wrong", "error"]
    assert [json.loads(line)["score"] for line in done.stdout.splitlines()] == [10, 0, 0]


@pytest.mark.parametrize(
    "words",
    [
        ["verifier", "-S", "model=models/verifier"],
        ["models/verifier"],
        ["models/verifier/model"],
        ["reward_model", "-S", "model=models/reward_model"],
        ["models/reward_model"],
    ],
    ids=" ".join,
)
def test_models_judge_by_folder(judge: Judge, models: Path, words: list[str]):
    leak = ["-S", "max_leak=1"] if "verifier" in words[-1] else []
    done = judge(words[0], "rows.jsonl", *words[1:], *leak, "--json", cwd=models)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes(done)) == 5
    assert all(row["outcome"] in ("right", "wrong") for row in found), found
    assert len({row["score"] for row in found}) > 1  # of one model, of several questions


def test_a_model_that_is_no_judge_is_bad_usage(judge: Judge, models: Path):
    done = judge("models/policy", "rows.jsonl", cwd=models)
    assert done.returncode == 2
    assert "holds a model that is not a judge" in done.stderr
