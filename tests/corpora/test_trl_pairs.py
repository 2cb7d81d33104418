"""Preference pairs in TRL's layouts: standard and conversational, explicit and implicit prompt, unpaired; and
what contradicts itself.
"""

import pytest

from pipelines.corpora.pairs.trl import common_beginning
from pipelines.corpora.preferences.preference_set import read_source
from pipelines.models.tokenizer import Tokens
from tests.corpora.made import write_lines
from tests.corpora.pairs_made import build_and_tokenise, byte_tokens, params
from tests.corpora.test_messages import message, talk
from tests.models.chats import KINDS, take


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return {kind: take(tmp_path_factory.mktemp(kind), KINDS[kind]) for kind in ("gemma", "qwen_base")}


def made(folder, rows, tokens: Tokens | None = None, kind="trl", options=None, **values):
    write_lines(folder / "rows.jsonl", rows)
    settings = params(
        {"kind": kind, "splits": {"train": "rows.jsonl"}, **(options or {})},
        **{"max_bad_rows": 0.95, **values},
    )
    return build_and_tokenise(
        "trl", settings, read_source("trl", settings, folder, 0), tokens or byte_tokens(folder), {}, 0
    )


def spelt(tokens, pair):
    return tuple(
        tokens.tokenizer.decode(ids, skip_special_tokens=False)
        for ids in (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)
    )


GOOD = {
    "prompt": talk("Sky?"),
    "chosen": [message("assistant", "Blue.")],
    "rejected": [message("assistant", "Green.")],
}
LAYOUTS = {
    "explicit conversational": GOOD,
    "implicit conversational": {"chosen": talk("Sky?", "Blue."), "rejected": talk("Sky?", "Green.")},
    "prompt repeated": {
        "prompt": talk("Sky?"),
        "chosen": talk("Sky?", "Blue."),
        "rejected": talk("Sky?", "Green."),
    },
    "prompt as text beside turns": {
        "prompt": "Sky?",
        "chosen": talk("Sky?", "Blue."),
        "rejected": talk("Sky?", "Green."),
    },
    "explicit standard": {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_one_turn(tmp_path, chat, layout):
    sets = made(tmp_path, [LAYOUTS[layout]], chat["gemma"])
    (pair,) = sets.pairs["train"]
    assert spelt(chat["gemma"], pair) == (
        "<bos><start_of_turn>user\nSky?<end_of_turn>\n<start_of_turn>model\n", "Blue.<end_of_turn>", "Green.<end_of_turn>",
    )  # fmt: skip
    assert (pair.prompt, pair.chosen, pair.rejected) == ("Sky?", "Blue.", "Green.")


def test_several_turns_stay_turns(tmp_path, chat):
    before = talk("One?", "First.", "Two?", system="Be kind.")
    rows = [
        {"prompt": before, "chosen": [message("assistant", "good")], "rejected": [message("assistant", "bad")]},
        {"chosen": [*before[:-1], message("user", "Three?"), message("assistant", "good")],
         "rejected": [*before[:-1], message("user", "Three?"), message("assistant", "bad")]},
    ]  # fmt: skip
    tokens = chat["qwen_base"]
    sets = made(tmp_path, rows, tokens)
    found = sorted(spelt(tokens, pair) for pair in sets.pairs["train"])
    start = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nFirst.<|im_end|>\n<|im_start|>user\n"
    assert found == [
        (f"{start}{asked}?<|im_end|>\n<|im_start|>assistant\n", "good<|im_end|>", "bad<|im_end|>")
        for asked in ("Three", "Two")
    ]
    plain = made(tmp_path, rows)  # without a chat template the turns become one text, as before
    assert {pair.prompt for pair in plain.pairs["train"]} == {pair.prompt for pair in sets.pairs["train"]}
    assert "System: Be kind.\n\nHuman: One?\n\nAssistant: First.\n\nHuman: Two?" in {
        pair.prompt for pair in plain.pairs["train"]
    }


def test_implicit_prompts_of_texts():
    assert common_beginning("The sky is blue.", "The sky is green.") == ("The sky is", " blue.", " green.")
    # no word is cut in two
    assert common_beginning("The sky is blue.", "The sky is black.") == ("The sky is", " blue.", " black.")
    assert common_beginning("天空是蓝色的", "天空是绿色的") == ("天空是", "蓝色的", "绿色的")
    assert common_beginning("same", "same") == ("same", "", "")
    assert common_beginning("x", "y") == ("", "x", "y")
    assert common_beginning("Q: 1\nA: 23", "Q: 1\nA: 24") == ("Q: 1\nA:", " 23", " 24")


def test_unpaired_answers(tmp_path, chat):
    rows = [
        {"prompt": talk("Sky?"), "completion": [message("assistant", "Blue.")], "label": True},
        {"prompt": talk("Sky?"), "completion": [message("assistant", "Green.")], "label": False},
        {"prompt": "Sea?", "completion": "Blue.", "label": True},
        {"prompt": "Sea?", "completion": "Red.", "label": False},
        {"prompt": "Alone?", "completion": "Yes.", "label": True},
        {"prompt": "Alone?", "completion": "Yes.", "label": "yes"},
    ]
    sets = made(tmp_path, rows, chat["gemma"])
    assert sorted((pair.prompt, pair.chosen, pair.rejected) for pair in sets.pairs["train"]) == [
        ("Sea?", "Blue.", "Red."),
        ("Sky?", "Blue.", "Green."),
    ]
    assert sets.metrics["source"]["first_bad"][0].endswith(
        "rows.jsonl:6: label is 'yes', not true or false, 1 or 0"
    )
    assert sets.metrics["pairing"]["no_contrast"] == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**GOOD, "prompt": talk("Sea?"), "chosen": talk("Sky?", "Blue.")}, "prompt and the turns that chosen begins with are different prompts"),
        ({**GOOD, "prompt": "Sea?", "chosen": talk("Sky?", "Blue.")}, "prompt and the turns that chosen begins with are different prompts"),
        ({**GOOD, "rejected": talk("Sea?", "Blue.")}, "prompt and the turns that rejected begins with are different prompts"),
        ({"chosen": talk("Sky?", "Blue."), "rejected": talk("Sea?", "Green.")}, "chosen and rejected begin with different turns"),
        ({"chosen": talk("Sky?", "a", "b?", "c"), "rejected": talk("Sky?", "x", "b?", "c")}, "chosen and rejected begin with different turns"),
        ({"prompt": "Sky?", "chosen": talk("Sky?", "a", system="s"), "rejected": talk("Sky?", "b")}, "chosen and rejected begin with different turns"),
        ({"chosen": talk("Sky?"), "rejected": talk("Sky?")}, "chosen does not end with a turn of the assistant"),
        ({"chosen": [message("assistant", "a")], "rejected": [message("assistant", "b")]}, "hold no prompt, and there is no column for it"),
        ({**GOOD, "chosen": [message("assistant", "a"), message("user", "b"), message("assistant", "c")]}, "chosen holds other turns beside its last one"),
        ({**GOOD, "prompt": talk("Sky?", "Blue.")}, "prompt ends with a turn of the assistant"),
        ({**GOOD, "prompt": [message("judge", "x")]}, r"prompt\[0\]\.role is 'judge', not one of"),
        ({**GOOD, "prompt": talk("Sky?", "a") + talk("x", "y") + talk("z")[:0] + [message("assistant", "w"), message("user", "v")]}, "roles are out of order"),
        ({**GOOD, "chosen": "Blue."}, "of chosen and rejected one is text, the other a list of turns"),
        ({"chosen": "x"}, "no column rejected"),
        ({"prompt": "x"}, "no columns chosen and rejected, and no column completion"),
        ({**GOOD, "chosen": [message("assistant", "<end_of_turn>")]}, "contains the special token <end_of_turn>"),
        ({**GOOD, "prompt": talk("Sky?", system="Be kind.")}, "System role not supported"),
    ],
)  # fmt: skip
def test_pairs_that_contradict_themselves_are_named(tmp_path, chat, row, reason):
    with pytest.raises(ValueError, match=rf"(?:jsonl|train):\d+: .*{reason}"):
        made(tmp_path, [LAYOUTS["explicit standard"], row], chat["gemma"], max_bad_rows=0.1)


def test_the_table_layout_reads_the_same_turns(tmp_path, chat):
    rows = [{"q": talk("Sky?"), "good": [message("assistant", "Blue.")], "bad": [message("assistant", "Green.")]},
            {"q": talk("Sea?"), "good": talk("Sky?", "Blue."), "bad": [message("assistant", "Green.")]}]  # fmt: skip
    columns = {"columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}}
    sets = made(tmp_path, rows, chat["gemma"], "table", columns)
    assert spelt(chat["gemma"], sets.pairs["train"][0])[0].endswith(
        "Sky?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert sets.metrics["source"]["first_bad"][0].endswith(
        "rows.jsonl:2: q and the turns that good begins with are different prompts"
    )


def test_dialogues_of_other_layouts_are_rendered_as_turns(tmp_path, chat):
    """HH-RLHF and LLaMA-Factory: the text is what people read, the ids are those of the turns."""
    tokens = chat["gemma"]
    start = "\n\nHuman: One?\n\nAssistant: First.\n\nHuman: Two?\n\nAssistant:"
    sets = made(tmp_path, [{"chosen": f"{start} good", "rejected": f"{start} bad"}], tokens, "hh")
    turns = "<bos><start_of_turn>user\nOne?<end_of_turn>\n<start_of_turn>model\nFirst.<end_of_turn>\n<start_of_turn>user\nTwo?<end_of_turn>\n"
    assert spelt(tokens, sets.pairs["train"][0]) == (
        f"{turns}<start_of_turn>model\n",
        "good<end_of_turn>",
        "bad<end_of_turn>",
    )
    row = {
        "conversations": [
            {"from": "human", "value": "One?"},
            {"from": "gpt", "value": "First."},
            {"from": "human", "value": "Two?"},
        ],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    }
    factory = made(tmp_path, [row], tokens, "llama_factory")
    assert spelt(tokens, factory.pairs["train"][0]) == spelt(tokens, sets.pairs["train"][0])
