"""Reward functions of the user's own: TRL's files unchanged, every signature, and what goes wrong."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.rewards.own.process import FunctionBroken
from pipelines.rewards.reward_params import JudgeParams
from pipelines.rewards.scoring import CheckerFailed, limit_errors, part_means
from pipelines.rewards.verdict import Verdict, applies
from pipelines.settings import OWN, seam_modules
from tests.rewards.own_made import TRL, chat, function, lay, question, responses

THOUGHT = "<think>2 and 2</think>\n<answer>4</answer>"


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        yield lay(tmp_path_factory.mktemp("trl"), patch, trl_rewards=TRL)


def scores(name: str, record, *texts: str, **options) -> list[float | None]:
    """The score of each text; None where the reward does not apply. Raises where a verdict is an error."""
    verdicts = function(f"trl_rewards.py:{name}", **options).judge(responses(record, *texts))
    failed = [verdict.reason for verdict in verdicts if verdict.outcome == "error" and applies(verdict)]
    assert failed == []
    return [verdict.score if applies(verdict) else None for verdict in verdicts]


# -- files written for TRL -----------------------------------------------------------------------------------


def test_a_format_reward_reads_conversations_as_messages(trl):
    asked = chat(("system", "Think first."), ("user", "2 + 2 = ?"))
    assert scores("format_reward", asked, THOUGHT, "4") == [1.0, 0.0]
    # of questions that the data holds as text, where the recipe says so
    assert scores("format_reward", question(), THOUGHT, "4", messages=True) == [1.0, 0.0]


def test_columns_reach_the_function_by_their_own_names(trl):
    assert scores("boxed_accuracy", question(ground_truth="4"), r"\boxed{4}", r"\boxed{5}", "4") == [1, 0, 0]
    asked = chat(("user", "What is a third?"), solution=r"$\frac{1}{3}$")
    assert scores("verified_accuracy", asked, r"$\frac13$", "$0.5$") == [1.0, 0.0]
    assert scores("strict_keywords", question(difficulty=3), "a") == [3.0]


def test_lengths_are_of_token_ids_in_both_spellings(trl):
    assert scores("token_length", question(), "a", "abc") == [-1.0, -3.0]
    assert scores("documented_length", question(), "a", "abc") == [1.0, 3.0]
    assert scores("soft_overlong", question(), "ab", "abc", "abcdefgh") == [0.0, -0.5, -1.0]


def test_what_a_function_logs_are_figures(trl):
    verdicts = function("trl_rewards.py:token_length").judge(responses(question(), "a", "abc"))
    assert part_means(verdicts) == {"rewards/longest": 3.0}


def test_async_functions_are_awaited_and_arrays_are_lists(trl):
    assert scores("slow_judge", question(prompt="is it blue?"), "blue", "red") == [1.0, 0.0]
    assert scores("as_array", question(), "abcd", "a") == [2.0, 1.0]


def test_none_does_not_apply_and_counts_as_no_error(trl):
    assert scores("math_only", question(task="math"), "abc") == [0.3]
    assert scores("math_only", question(task="code"), "abc") == [None]
    verdicts = function("trl_rewards.py:math_only").judge(responses(question(task="code"), "abc"))
    assert [verdict.outcome for verdict in verdicts] == ["error"]  # so that no policy learns from it
    assert limit_errors(verdicts, 0.0) == verdicts


def test_a_function_that_follows_the_training_says_what_is_missing(trl):
    (verdict,) = function("trl_rewards.py:by_progress").judge(responses(question(), "a"))
    assert verdict.outcome == "error"
    assert "trainer_state.global_step is not known" in verdict.reason


def test_a_column_that_the_questions_lack_is_named_with_the_way_out(trl):
    judge = function("trl_rewards.py:boxed_accuracy")
    verdicts = judge.judge(responses(question(level="2"), "a", "b"))
    assert {verdict.outcome for verdict in verdicts} == {"error"}
    assert "it needs ground_truth, and the questions have answer, " in verdicts[0].reason
    assert "`keep` of its source" in verdicts[0].reason
    with pytest.raises(CheckerFailed, match="gives an error for the reference answer of each of 1"):
        judge.preflight([question()])
    function("trl_rewards.py:boxed_accuracy", arguments={"ground_truth": ["4"]}).preflight([question()])


def test_large_batches_are_cut(trl):
    lengths = [1, 2, 3, 4, 5]
    verdicts = function("trl_rewards.py:token_length", batch=2).judge(
        responses(question(), *("x" * n for n in lengths))
    )
    assert [-verdict.score for verdict in verdicts] == lengths
    assert [dict(verdict.parts)["longest"] for verdict in verdicts] == [2, 2, 4, 4, 5]


# -- one response at a time ----------------------------------------------------------------------------------

SINGLE = """
import asyncio, os, sys, time
from pipelines.rewards.verdict import Verdict, right, wrong


def same(prompt, completion, record):
    return completion == record.answer


def graded(prompt, completion, record):
    return len(completion) / record["longest"]


def reasoned(question, response, row):
    if response == row.answer:
        return right("the same")
    return Verdict("wrong", 0.25, "another answer", (("length", len(response)),))


def some(completion, answer, bonus=0.0):
    return float(completion == answer) + bonus


async def asked(prompt, completion, record):
    if completion == "late":
        await asyncio.sleep(30)
    await asyncio.sleep(0.05)
    return completion == record.answer


def wild(prompt, completion, record):
    print("what a function prints disturbs nothing")
    sys.stdin.read()
    if completion == "loop":
        while True:
            pass
    if completion == "sleep":
        time.sleep(30)
    if completion == "die":
        os._exit(3)
    if completion == "leave":
        sys.exit(1)
    if completion == "raise":
        raise KeyError("no\\nsuch key")
    return {"text": "4", "nan": float("nan"), "none": None, "list": [1]}.get(completion, True)


def batched(completions, **kwargs):
    for completion in completions:
        wild("", completion, None)
    return [1.0] * len(completions)


def short(completions, **kwargs):
    return [1.0]


class Holder:
    pass


def nothing():
    return 1
"""


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        yield lay(tmp_path_factory.mktemp("single"), patch, mine=SINGLE)


def verdicts(name: str, *texts: str, record=None, **options) -> list[Verdict]:
    return function(f"mine.py:{name}", **options).judge(responses(record or question(), *texts))


def test_true_and_false_numbers_and_verdicts(single):
    assert verdicts("same", "4", "5") == [Verdict("right", 1.0), Verdict("wrong", 0.0)]
    assert verdicts("graded", "abc", "a", record=question(longest=4)) == [
        Verdict("right", 0.75),
        Verdict("wrong", 0.25),
    ]
    assert verdicts("graded", "abc", record=question(longest=4), threshold=0.8) == [Verdict("wrong", 0.75)]
    assert verdicts("reasoned", "4", "five") == [
        Verdict("right", 1.0, "the same"),
        Verdict("wrong", 0.25, "another answer", (("length", 4.0),)),
    ]


def test_a_function_may_take_what_it_needs_by_name(single):
    assert [v.score for v in verdicts("some", "4", "5")] == [1.0, 0.0]
    assert [v.score for v in verdicts("some", "4", "5", arguments={"bonus": 0.5})] == [1.5, 0.5]


def test_async_functions_wait_together_and_each_has_its_limit(single):
    begun = time.monotonic()
    judged = verdicts("asked", *["4", "5"] * 40, "late", time_limit=2, parallel=81)
    assert time.monotonic() - begun < 20  # 81 of them one after the other would need that for the late one
    assert [verdict.outcome for verdict in judged] == [*["right", "wrong"] * 40, "error"]
    assert judged[-1].reason == "the function took more than 2 s"


@pytest.mark.parametrize("name", ["wild", "batched"])
def test_what_goes_wrong_costs_its_response_alone(single, name):
    texts = ["a", "loop", "b", "die", "raise", "c", "leave", "d"]
    judged = verdicts(name, *texts, time_limit=0.5)
    assert [v.outcome for v in judged] == [
        "right", "error", "right", "error", "error", "right", "error", "right"
    ]  # fmt: skip
    assert judged[1].reason == "the function took more than 0.5 s and was killed"
    assert judged[3].reason == "the function's process ended with exit code 3"
    assert judged[4].reason.startswith("KeyError: 'no\\nsuch key'")
    assert judged[6].reason.startswith("SystemExit: 1")


def test_what_is_no_reward_is_an_error(single):
    judged = verdicts("wild", "text", "nan", "none", "list")
    assert {verdict.outcome for verdict in judged} == {"error"}
    assert [applies(verdict) for verdict in judged] == [True, True, False, True]
    assert judged[0].reason == "the function gave '4', and not a number, true, false, None or a Verdict"
    assert judged[1].reason == "the function gave nan, which no policy can learn from"
    assert verdicts("short", "a", "b")[0] == Verdict("right", 1.0)  # one by one, it is right
    (refused,) = verdicts("short", "a", batch=1)
    assert refused.outcome == "right"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Holder", "it is a type and cannot be called"),
        ("os", "it is a module and cannot be called"),
        ("nothing", r"it takes \(\); a reward function takes lists by keyword"),
    ],
)
def test_what_cannot_be_called_is_refused_at_once(single, name, reason):
    with pytest.raises(FunctionBroken, match=rf"mine.py:{name}: {reason}"):
        function(f"mine.py:{name}")


def test_a_file_that_does_not_import_says_its_last_line(tmp_path, monkeypatch):
    lay(tmp_path, monkeypatch, broken="import no_such_package_anywhere\n\ndef f(completions): ...\n")
    with pytest.raises(FunctionBroken, match=r"broken\.py:f: ModuleNotFoundError: No module named"):
        function("broken.py:f")


def test_helpers_beside_the_file_are_imported_first(tmp_path, monkeypatch):
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards/helper.py").write_text("WORD = 'beside'\n")
    (tmp_path / "rewards/mine.py").write_text(
        "from helper import WORD\n\ndef f(prompt, completion, record):\n    return completion == WORD\n"
    )
    lay(tmp_path, monkeypatch)
    assert [v.outcome for v in function("rewards/mine.py:f").judge(responses(question(), "beside"))] == [
        "right"
    ]


def test_the_process_ends_with_its_judge(single):
    judge = function("mine.py:same")
    process = judge._process._process
    assert process is not None
    judge._process.close()
    assert process.poll() is not None
    assert not os.path.exists(f"/proc/{process.pid}") or process.returncode is not None


# -- settings ------------------------------------------------------------------------------------------------


def test_a_path_is_short_for_its_kind(single):
    short = JudgeParams(reward="mine.py:same")
    assert short == JudgeParams(reward={"kind": "function", "path": "mine.py:same"})
    assert [name for name in seam_modules(short) if name.startswith(OWN)] == [f"{OWN}mine.py"]
    assert json.loads(short.model_dump_json())["reward"]["path"] == "mine.py:same"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("mine.py:sme", "mine.py has no sme; it has some"),
        ("other.py:same", "there is no file other.py in"),
        ("../mine.py:same", "lies outside of the project"),
        ("/mine.py:same", "lies outside of the project"),
        ("mine.py", "a name or a mapping|no module"),
        ("mine.py:", "names no function"),
        ("a b:c", "names no function"),
    ],
)
def test_a_path_to_nothing_is_refused(single: Path, path, reason):
    with pytest.raises(ValidationError, match=reason):
        JudgeParams(reward=path)
