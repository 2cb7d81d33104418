"""`whetstone sample` and `chat` as a user calls them: by a run's name or a folder, deterministic, bad rows
named.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.inference.made import chatty, plain

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least that names of runs count in: two runs, and the files that make a folder a project."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text("")
    plain(folder / "models/solver")
    plain(folder / "models/other", seed=1)
    chatty(folder / "models/talker")
    return folder


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def call(*words: str, text: str | bytes | None = None) -> Result:
    return RUNNER.invoke(app, list(words), input=text, catch_exceptions=False)


def rows(*found: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in found)


def sampled(capfd: pytest.CaptureFixture[str], *words: str, text: str | None = None) -> list[dict]:
    done = call("sample", *words, text=text)
    output = capfd.readouterr().out
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in output.splitlines()]


def test_each_row_with_its_response(capfd: pytest.CaptureFixture[str]) -> None:
    given = [{"prompt": "3+4", "id": "a"}, {"question": "1+1", "reference": "2"}]
    options = ["--prompts", "-", "--max-tokens", "6", "--seed", "2"]
    found = sampled(capfd, "solver", *options, text=rows(*given))
    assert [{key: row[key] for key in ask} for row, ask in zip(found, given, strict=True)] == given
    assert all(1 <= row["response_tokens"] <= 6 and row["prompt_tokens"] > 3 for row in found)
    assert {row["finish_reason"] for row in found} <= {"stop", "length"}
    assert sampled(capfd, "models/solver", *options, text=rows(*given[::-1])) == found[::-1]
    assert sampled(capfd, "other", *options, text=rows(*given)) != found


def test_plain_text_is_a_prompt_a_line_and_a_file_appears_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("3+4\n\n1+1\n")
    target = tmp_path / "new/answers.jsonl"
    words = [
        "sample", "solver", "--prompts", str(tmp_path / "prompts.txt"), "-o", str(target), "-n", "2",
        "--max-tokens", "4",
    ]  # fmt: skip
    assert call(*words).exit_code == 0
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(row["prompt"], row["sample"]) for row in found] == [
        ("3+4", 0),
        ("3+4", 1),
        ("1+1", 0),
        ("1+1", 1),
    ]
    assert [path.name for path in target.parent.iterdir()] == ["answers.jsonl"]
    assert capfd.readouterr().out == ""


def test_messages_are_written_by_the_chat_template(capfd: pytest.CaptureFixture[str]) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hé?"}]},
    ]
    [row] = sampled(
        capfd, "talker", "--prompts", "-", "--max-tokens", "5", text=rows({"messages": turns, "id": 7})
    )
    from pipelines.models.tokenizer import Tokens

    tokens = Tokens.load("models/talker/model")
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHé?<|im_end|>\n<|im_start|>assistant\n"
    assert row["prompt_tokens"] == len(tokens.tokenizer.encode(text, add_special_tokens=False).ids)
    assert (row["id"], row["messages"]) == (7, turns)


BAD = [
    ('{"prompt": ""}', "prompt must be text"),
    ('{"prompt": 5}', "prompt must be text, not 5"),
    ('{"text": "5"}', "no prompt, question or messages; it has text"),
    ("[1]", "not list"),
    ('{"prompt": "5"', "Expecting"),
    ('{"prompt": "1", "question": "2"}', "prompt and question are given"),
    ('{"messages": []}', "messages must be a list"),
    ('{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}', "nothing to reply to"),
    ('{"messages": [{"role": "narrator", "content": "1"}]}', 'role is "narrator"'),
    ('{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "content must be text"),
    ('{"messages": [{"role": "user", "content": null}]}', "content must be text"),
    ('{"messages": [{"role": [], "content": "1"}]}', "role is []"),
    ('{"prompt": "what?"}', "has no token here"),
    ('{"prompt": "<|end|>"}', "special token"),
    (json.dumps({"prompt": "1+" * 100}), "context is 192"),
    ('{"prompt": "\\ud800"}', "half of a character"),
    ("[" * 100_000, "recursion"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_row_is_named_and_nothing_is_sampled(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(rows({"prompt": "1+1"}) + "\n" + line + "\n")
    done = call(
        "sample", "solver", "--prompts", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")
    )
    assert done.exit_code == 2
    assert f"{tmp_path}/rows.jsonl:3: " in done.output
    assert message in done.output
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "sovler", "--prompts", "-"], "models at hand: other, solver, talker"),
        (["sample", "solver", "--prompts", "none.jsonl"], "none.jsonl: No such file"),
        (["sample", "solver", "--prompts", "-", "--top-p", "0"], "--top-p: Input should be greater than 0"),
        (["sample", "solver", "--prompts", "-", "-o", "models"], "--out models is a folder"),
        (["chat", "solver", "--system", "x"], "solver has no chat template"),
        (["chat", "solver", "--compare", "none"], "none"),
    ],
)
def test_bad_usage_is_2_with_the_way_out(words: list[str], message: str) -> None:
    done = call(*words, text=rows({"prompt": "1"}))
    assert done.exit_code == 2
    assert message in done.output


def test_no_prompt_at_all_is_bad_usage() -> None:
    done = call("sample", "solver", "--prompts", "-", text="\n \n")
    assert (done.exit_code, "no line holds a prompt" in done.output) == (2, True)


def test_a_chat_says_what_sample_says(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--max-tokens", "5", "--seed", "4"]
    found = sampled(capfd, "solver", "--prompts", "-", *words, text="3+4\n1+1\n")
    talk = call("chat", "solver", *words, text="3+4\n\n1+1\n/exit\n9\n")
    assert talk.exit_code == 0
    head, *replies = talk.output.splitlines()
    assert "each line is a question of its own" in head
    assert replies == [row["response"] for row in found]


def test_turns_are_remembered_until_new_and_two_models_each_go_on_from_their_own(
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["--max-tokens", "4", "--temperature", "0"]
    talk = call(
        "chat",
        "talker",
        "--compare",
        "models/talker/model",
        *words,
        text="Hi\n2 + 3?\n/undo\n2 + 3?\n/new\n2 + 3?\n",
    )
    assert talk.exit_code == 0
    first, second = "talker:\n", "models/talker/model:\n"
    blocks = [block.split(second) for block in talk.output.split(f"\n{first}") if second in block]
    replies = [own.removeprefix(first).rstrip("\n") for own, _ in blocks]
    assert replies == [other.rstrip("\n") for _, other in blocks]  # one model under two names
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": replies[0]},
        {"role": "user", "content": "2 + 3?"},
    ]
    both = rows({"messages": turns}, {"messages": turns[2:]})
    after, alone = sampled(capfd, "talker", "--prompts", "-", *words, text=both)
    assert after["response"] != alone["response"]
    assert replies[1:] == [after["response"], after["response"], alone["response"]]


def test_a_turn_that_cannot_be_written_is_left_out() -> None:
    talk = call("chat", "solver", "--max-tokens", "3", text="what?\n1+1\n")
    assert talk.exit_code == 0
    assert "has no token here" in talk.output
    assert "the turn is left out" in talk.output
