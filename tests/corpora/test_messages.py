"""Demonstrations in TRL's layouts: from the raw turns to the token ids and what of them is learnt; rows that
contradict themselves.
"""

import json

import pytest

from pipelines.corpora.cleaning.split import Shares
from pipelines.corpora.records.example import read_examples, write_examples
from tests.corpora.made import CHAR, corpus_of, write_lines
from tests.models.chats import KINDS, write_hub_folder

PAIRS = [
    ("Name a colour of the sky.", "Blue."),
    ("Write an adder.", "def add(a, b):\n    return a + b\n"),
    ("Count to 3.", "1\t2\t3"),
]


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def talk(*texts, system=None):
    roles = ("user", "assistant") * len(texts)
    turns = [message(role, text) for role, text in zip(roles, texts, strict=False)]
    return [*([message("system", system)] if system is not None else []), *turns]


def corpus(folder, rows, kind="qwen_base", template=None, source=None, file="rows.jsonl", **values):
    """`rows` (sft and rl) beside one held-out conversation, with a tokenizer of `kind`; None: one trained on
    them, without a template.
    """
    if rows is not None:
        write_lines(folder / "rows.jsonl", rows)
    held = talk("something wholly different", "indeed it is")
    write_lines(
        folder / "held.jsonl", [{"messages": held, "conversations": held, "question": held[:1], "gold": "0"}]
    )
    tokenizer = (
        CHAR
        if kind is None
        else {"kind": "pretrained", "id": str(write_hub_folder(folder / "hub", KINDS[kind]))}
    )
    chat = (
        {"prompt": "{query}", "chat": True, **(template or {})}
        if kind
        else {"prompt": "<|user|>{query}<|assistant|>"}
    )
    params = {
        "raw": "raw",
        "sources": {
            "talks": {
                "reader": "messages",
                "splits": {"train": file, "heldout": "held.jsonl"},
                **(source or {}),
            }
        },
        "validation_share": 0,
        "near": None,
        "decontaminate": {"ngram": None, "near": False},
        "tokenizer": tokenizer,
        "template": chat,
        "max_bad_rows": 0.95,
        **values,
    }
    return corpus_of("talks", params, folder, 0, folder / "tokens")


def learnt(made, record):
    ids = record.prompt_ids + (record.response_ids or [])
    spans = [*record.loss_spans, [len(record.prompt_ids), len(ids)]]
    return [made.tokens.tokenizer.decode(ids[start:stop], skip_special_tokens=False) for start, stop in spans]


def whole(made, record):
    return made.tokens.tokenizer.decode(
        record.prompt_ids + (record.response_ids or []), skip_special_tokens=False
    )


@pytest.mark.parametrize("kind", ["llama3", "qwen_base", "gemma", "phi3", "mistral", "chatml", "marked"])
def test_every_turn_of_the_assistant_is_learnt_with_its_end(tmp_path, kind):
    end = KINDS[kind].end
    made = corpus(tmp_path, [{"messages": talk("one?", "first", "two?", "second", "three?", "third")}], kind)
    (record,) = made.records["sft"]
    assert [text.strip(" ") for text in learnt(made, record)] == [
        f"first{end}",
        f"second{end}",
        f"third{end}",
    ]
    assert record.prompt_ids == made.records["rl"][0].prompt_ids
    assert (record.response, record.answer, record.conversation["messages"][0]) == (
        "third",
        "third",
        message("user", "one?"),
    )
    write_examples(tmp_path / "x.jsonl", made.records["sft"])
    assert read_examples(tmp_path / "x.jsonl") == list(made.examples["sft"])


def test_the_last_turn_only(tmp_path):
    made = corpus(tmp_path, [{"messages": talk("one?", "first", "two?", "second")}], source={"loss": "last"})
    assert learnt(made, made.records["sft"][0]) == ["second<|im_end|>"]
    assert "first<|im_end|>" in whole(made, made.records["sft"][0])


def test_the_loss_falls_on_these_tokens_alone(tmp_path):
    """The number of the loop against the mean over the learnt tokens, written out by hand."""
    import torch

    from pipelines.training.engine import TorchEngine
    from pipelines.training.options import OptimiserParams, SupervisedParams
    from pipelines.training.supervised import Demonstrations, batch_loss
    from tests.tiny import CPU, make_tiny_model

    made = corpus(
        tmp_path,
        [{"messages": talk("one?", "first", "two?", "second")}, {"messages": talk("a", "bbb")}],
        "gemma",
    )
    model = make_tiny_model(made.tokens)
    data = Demonstrations(made.records["sft"], 500)
    total, count = 0.0, 0
    for record in made.records["sft"]:
        ids = torch.tensor([record.prompt_ids + record.response_ids])
        logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1).detach()
        for start, stop in [*record.loss_spans, [len(record.prompt_ids), ids.shape[1]]]:
            total -= sum(float(logprobs[place - 1, ids[0, place]]) for place in range(start, stop))
            count += stop - start
    assert count == sum(sum(data.learnt(row)) for row in range(2))
    loss = batch_loss(
        TorchEngine(model, OptimiserParams(), CPU), data, [0, 1], SupervisedParams(steps=1), 4096, False
    )
    assert loss == pytest.approx(total / count, abs=1e-5)


def test_the_layouts_of_trl(tmp_path):
    rows = [
        {"messages": talk("m?", "by messages", system="Be kind.")},
        {"prompt": talk("p?"), "completion": [message("assistant", "by completion")]},
        {"prompt": talk("h?", "not learnt", "go on?"), "completion": [message("assistant", "learnt")]},
        {"prompt": "A plain prompt?", "completion": " and its completion"},
        {"conversations": [{"from": "human", "value": "s?"}, {"from": "gpt", "value": "by sharegpt"}]},
    ]
    made = corpus(tmp_path, rows[:4])
    assert sorted(text for record in made.records["sft"] for text in learnt(made, record)) == [
        " and its completion<|im_end|>", "by completion<|im_end|>", "by messages<|im_end|>", "learnt<|im_end|>",
    ]  # fmt: skip
    system = next(record for record in made.records["sft"] if record.response == "by messages")
    assert whole(made, system).startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nm?")
    made = corpus(tmp_path, rows[4:], source={"columns": {"messages": "conversations"}})
    assert learnt(made, made.records["sft"][0]) == ["by sharegpt<|im_end|>"]


def test_text_is_learnt_whole(tmp_path):
    write_lines(tmp_path / "text.jsonl", [{"text": "Once upon\n\ta time."}])
    made = corpus(
        tmp_path,
        [{"messages": talk("q", "a")}],
        "llama3",
        source={"splits": {"sft": "text.jsonl", "rl": "rows.jsonl", "heldout": "held.jsonl"}},
    )
    (record,) = made.records["sft"]
    assert whole(made, record) == "<|begin_of_text|>Once upon\n\ta time.<|end_of_text|>"
    assert len(record.prompt_ids) == 1
    assert len(made.records["rl"]) == 1
    with pytest.raises(ValueError, match=r"text\.jsonl:1: text has no prompt, so it can serve `sft` alone"):
        corpus(
            tmp_path,
            [{"messages": talk("q", "a")}],
            source={"splits": {"train": "text.jsonl", "heldout": "held.jsonl"}},
            max_bad_rows=0.1,
        )


def test_parquet_rows_are_the_same(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [
        {"messages": talk("What is 2 + 2?", "", system="Use tools."), "n": 0},
        {"messages": talk("one?", "first", "two?", "second"), "n": 1},
    ]
    rows[0]["messages"][-1] = message(
        "assistant",
        "",
        tool_calls=[{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}],
    )
    rows[0]["messages"] += [message("tool", "4", name="add"), message("assistant", "It is 4.")]
    lines = corpus(tmp_path, rows)
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    assert corpus(tmp_path, None, file="rows.parquet").records == lines.records
    called = next(record for record in lines.records["sft"] if record.response == "It is 4.")
    assert (
        learnt(lines, called)[0]
        == '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 2}}\n</tool_call><|im_end|>'
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": talk("q", "a", "open?")}, "the conversation ends with a turn of the user, not of the assistant"),
        ({"messages": [*talk("q"), *talk("q", "a")]}, r"messages\[1\] is a turn of the user after one of the user: roles are out of order"),
        ({"messages": talk("q", "a")[::-1]}, r"messages\[0\] is a turn of the assistant at the beginning"),
        ({"messages": [*talk("q", "a"), message("assistant", "b")]}, r"messages\[2\] is a turn of the assistant after one of the assistant"),
        ({"messages": [*talk("q"), message("system", "s"), message("assistant", "b")]}, r"messages\[1\] is a turn of the system after"),
        ({"messages": [message("moderator", "q"), message("assistant", "b")]}, r"messages\[0\]\.role is 'moderator', not one of system"),
        ({"messages": talk("  ", "a")}, r"messages\[0\] is an empty turn of the user"),
        ({"messages": talk("q", "")}, r"messages\[1\] is an empty turn of the assistant"),
        ({"messages": [message("user", None), message("assistant", "b")]}, r"messages\[0\] has no text under content"),
        ({"messages": [message("user", [{"type": "image"}]), message("assistant", "b")]}, r"messages\[0\]\.content has a part that is no text"),
        ({"messages": []}, "messages is no list of turns"),
        ({"messages": "User: hi"}, "messages is no list of turns"),
        ({"prompt": "another", "messages": talk("q", "a")}, "prompt and the turns that messages begins with are different prompts"),
        ({"prompt": talk("x"), "completion": talk("q", "a")}, "prompt and the turns that completion begins with are different prompts"),
        ({"prompt": talk("x", "y"), "completion": [message("assistant", "z")]}, "prompt ends with a turn of the assistant"),
        ({"prompt": talk("x"), "completion": talk("x")}, "ends with a turn of the user|is no list|index"),
        ({"prompt": "q", "completion": ""}, "completion is empty"),
        ({"messages": talk("q<|im_end|>", "a")}, r"contains the special token <\|im_end\|>"),
        ({"messages": [message("tool", "x"), message("assistant", "a")]}, r"messages\[0\] is a turn of the tool at the beginning"),
        ({"other": 1}, "no column messages, no prompt with completion, and no text"),
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves_are_named(tmp_path, row, reason):
    with pytest.raises(ValueError, match=rf"(?:jsonl|train):\d+: .*({reason})"):
        corpus(tmp_path, [{"messages": talk("fine", "yes")}, row], max_bad_rows=0.1)


def test_a_system_turn_that_the_template_refuses(tmp_path):
    rows = [{"messages": talk("fine", "yes")}, {"messages": talk("q", "a", system="s")}]
    with pytest.raises(ValueError, match=r"jsonl:\d+: .*System role not supported"):
        corpus(tmp_path, rows, "gemma", max_bad_rows=0.1)
    assert len(corpus(tmp_path, rows, "gemma").records["sft"]) == 1


def test_without_a_template_turns_become_one_text(tmp_path):
    rows = [{"messages": talk("one?", "first")}, {"messages": talk("one?", "first", "two?", "second")}]
    made = corpus(tmp_path, rows, None, source={"loss": "last"})
    texts = {whole(made, record) for record in made.records["sft"]}
    assert "<|user|>one?<|assistant|>first<|end|>" in texts
    assert "<|user|>Human: one?\n\nAssistant: first\n\nHuman: two?<|assistant|>second<|end|>" in texts
    with pytest.raises(
        ValueError,
        match=r"jsonl:\d+: .*2 turns of the assistant are to be learnt and template\.chat is false",
    ):
        corpus(tmp_path, rows, None, max_bad_rows=0.1)


def test_a_template_that_rewrites_earlier_turns(tmp_path):
    from tests.models.test_chat import STRIPS

    rows = [{"messages": talk("fine", "yes")}, {"messages": talk("one?", "a|b", "two?", "second")}]
    with pytest.raises(
        ValueError, match=r"jsonl:\d+: .*it writes an assistant's turn differently when more turns follow"
    ):
        corpus(tmp_path, rows, template={"jinja": STRIPS}, max_bad_rows=0.1)
    made = corpus(tmp_path, rows, template={"jinja": STRIPS}, source={"loss": "last"})
    assert {text for record in made.records["sft"] for text in learnt(made, record)} == {
        "<think>yes<|im_end|>",
        "<think>second<|im_end|>",
    }


# -- questions -----------------------------------------------------------------------------------------------


def questions(folder, rows, **values):
    source = {
        "reader": "table",
        "splits": {"train": "rows.jsonl", "heldout": "held.jsonl"},
        "columns": {"answer": "gold"},
    }
    return corpus(folder, rows, source=source, **values)


def test_questions_with_a_system_turn_and_worked_examples(tmp_path):
    shown = talk("1+1?", "#### 2", "2+2?", "#### 4", system="Add. " * 30)
    rows = [{"question": [*shown, message("user", f"{n}+{n}?")], "gold": str(2 * n)} for n in range(3, 9)]
    near = {"threshold": 0.5, "shingle": 3, "permutations": 64}
    made = questions(tmp_path, rows, near=near, decontaminate={"ngram": 13, "near": True})
    # what differs is what is compared
    assert {record.prompt for record in made.records["rl"]} == {f"{n}+{n}?" for n in range(3, 9)}
    record = made.records["rl"][0]
    assert whole(made, record).startswith("<|im_start|>system\nAdd. Add.")
    assert whole(made, record).endswith(
        f"#### 4<|im_end|>\n<|im_start|>user\n{record.prompt}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert not made.records["sft"]


def test_conversations_with_other_turns_before_are_different_questions(tmp_path):
    rows = [
        {
            "question": [*talk(f"I have {n} apples.", "Yes."), message("user", "And two more?")],
            "gold": str(n + 2),
        }
        for n in range(5)
    ]
    assert len(questions(tmp_path, rows).records["rl"]) == 5


def test_system_and_examples_for_all_questions(tmp_path):
    template = {"system": "Be brief.", "examples": [{"question": "1+1?", "answer": "2"}]}
    made = corpus(tmp_path, [{"prompt": "3+3?", "completion": "6"}], template=template)
    assert whole(made, made.records["sft"][0]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        "<|im_start|>user\n3+3?<|im_end|>\n<|im_start|>assistant\n6<|im_end|>"
    )
    assert made.records["sft"][0].prompt == "3+3?"


def test_texts_are_those_of_the_raw_row(tmp_path):
    """Indented code, tabs, CRLF, CJK and emoji pass from the row to the ids blank for blank."""
    texts = ["\tif x:\n\t\treturn  1  \n", "a\r\nb", "你好,  世界。", "👩‍👩‍👧 \u200b", "   lead"]
    rows = [{"messages": talk(one, other, "next?", one)} for one in texts for other in texts]
    made = corpus(tmp_path, rows, "chatml", max_bad_rows=0.0)
    found = {
        json.dumps(record.conversation["messages"]): whole(made, record) for record in made.records["sft"]
    }
    for row in rows:
        if json.dumps(row["messages"]) in found:  # equal questions count once
            expected = "\n".join(
                f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>" for turn in row["messages"]
            )
            assert found[json.dumps(row["messages"])] == expected
    assert len(found) > 15
    assert Shares().side("x") == "train"


def test_arguments_that_came_as_json_text_are_written_as_an_object(tmp_path):
    """OpenAI's interface sends them as text; the template would write the text as a string of JSON within
    JSON.
    """

    def row(arguments):
        call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": arguments}}
        asked = [message("user", "2+3?"), {"role": "assistant", "content": None, "tool_calls": [call]}]
        return {"messages": [*asked, message("tool", "5", tool_call_id="1"), message("assistant", "Five.")]}

    for number, arguments in enumerate(({"a": 2, "b": "ü"}, '{"a": 2, "b": "ü"}')):
        (tmp_path / str(number)).mkdir()
        made = corpus(tmp_path / str(number), [row(arguments)])
        assert learnt(made, made.records["sft"][0]) == [
            '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": "ü"}}\n</tool_call><|im_end|>',
            "Five.<|im_end|>",
        ]


@pytest.mark.parametrize(("key", "value"), [("weight", 0), ("train", False)])
def test_a_turn_that_says_it_is_not_learnt_is_not_learnt_without_a_word(tmp_path, key, value):
    silenced = [message("user", "a"), message("assistant", "b", **{key: value}), *talk("c", "d")]
    made = corpus(
        tmp_path,
        [
            {"messages": silenced},
            {"messages": talk("q", "a")},
            {"messages": [message("user", "r", train=False), *talk("", "s")[1:]]},
        ],
    )
    assert sorted(text for record in made.records["sft"] for text in learnt(made, record)) == [
        "a<|im_end|>",
        "s<|im_end|>",
    ]
    assert (
        f"rows.jsonl:1: messages[1].{key} says that this turn is not learnt"
        in made.metrics["sources"]["talks"]["first_bad"][0]
    )


def test_parquet_brings_no_arguments_that_a_call_did_not_have(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def row(question, arguments):
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        asked = [message("user", question), {"role": "assistant", "content": None, "tool_calls": [call]}]
        return {"messages": [*asked, message("tool", "1"), message("assistant", "x")]}

    rows = [row("one", {"a": 1}), row("two", {"b": "c"})]
    assert pa.Table.from_pylist(rows).to_pylist() != rows  # both calls have both keys there
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "calls.parquet")
    made = corpus(tmp_path, None, file="calls.parquet")
    assert sorted(learnt(made, record)[0] for record in made.records["sft"]) == [
        f'<tool_call>\n{{"name": "f", "arguments": {said}}}\n</tool_call><|im_end|>'
        for said in ('{"a": 1}', '{"b": "c"}')
    ]
    (tmp_path / "calls.parquet").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"calls\.parquet is no whole Parquet file"):
        corpus(tmp_path, None, file="calls.parquet")
