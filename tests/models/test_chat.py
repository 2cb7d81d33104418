"""Chat templates: turns become the template's own text, the assistant's tokens are found exactly or the
template is refused.
"""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.models import policy
from pipelines.models.base_params import BaseParams
from pipelines.models.chat import NotExact
from pipelines.models.chat_renderer import Refused, Renderer, TemplateFault
from pipelines.models.conversation import BadConversation, Conversation, Turn
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import CharTokenizer, PretrainedTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from tests.models.chats import CHATML, KINDS, QWEN, take, write_hub_folder
from tests.tiny import make_tiny_model

TEXTS = st.one_of(
    st.sampled_from(
        [
            "def f(x):\n\tif x:\n\t\treturn  x\n",
            "\n\nyes",
            "你好,世界。",
            "a\r\nb\r\n",
            "👩‍👩‍👧 \u200bé",
            " lead and trail ",
            "|>",
            "<|im",
        ]
    ),
    st.text(min_size=1, max_size=30).filter(str.strip),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return {name: take(tmp_path_factory.mktemp(name), kind) for name, kind in KINDS.items()}


def talk(*texts, system=None):
    roles = ("user", "assistant") * len(texts)
    turns = [Turn(role, text) for role, text in zip(roles, texts, strict=False)]
    return Conversation.of([*([Turn("system", system)] if system is not None else []), *turns], "messages")


def spelt(tokens, ids):
    return tokens.tokenizer.decode(list(ids), skip_special_tokens=False)


@pytest.mark.parametrize("name", KINDS)
def test_what_ends_a_turn_is_learnt_and_stops(made, name):
    tokens, kind = made[name], KINDS[name]
    assert tokens.end_id == tokens.tokenizer.token_to_id(kind.end)
    assert tokens.stop_ids == list(dict.fromkeys([tokens.tokenizer.token_to_id(kind.eos), tokens.end_id]))
    assert tokens.encode_response("yes")[-1] == tokens.end_id
    encoded = tokens.encode_conversation(talk("one?", "1", "two?", "2"), "every")
    assert [spelt(tokens, encoded.ids[start:stop]).strip(" ") for start, stop in encoded.spans] == [
        "1" + kind.end,
        "2" + kind.end,
    ]
    assert tokens.decode(encoded.response_ids).strip(" ") == "2"
    again = Tokens.load(tokens.folder)
    assert (again.digest, again.end_id, again.chat.facts) == (tokens.digest, tokens.end_id, tokens.chat.facts)


@pytest.mark.parametrize("name", KINDS)
def test_the_text_is_that_of_transformers(made, name):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(made[name].folder)
    turns = talk("Add 1 and 2.", "3", "And 3?", "6", system="Be brief." if KINDS[name].system else None)
    messages = [turn.message for turn in turns.turns]
    encoded = made[name].encode_conversation(turns, "every")
    assert encoded.text == theirs.apply_chat_template(messages, tokenize=False)
    assert encoded.ids == theirs.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    prompt = theirs.apply_chat_template(
        messages[:-1], tokenize=True, add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert encoded.prompt_ids == prompt == made[name].encode_conversation(turns.prompt).ids
    if name == "marked":
        marks = theirs.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ours = [
            int(any(start <= place < stop for start, stop in encoded.spans))
            for place in range(len(encoded.ids))
        ]
        assert marks["assistant_masks"] == ours


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXTS, min_size=4, max_size=4))
def test_ids_are_the_text_and_the_mask_is_the_answers(made, name, texts):
    tokens, kind = made[name], KINDS[name]
    if any(tokens.reason_against(text) for text in texts):
        return
    encoded = tokens.encode_conversation(talk(*texts), "every")
    assert spelt(tokens, encoded.ids) == encoded.text
    trims = tokens.chat.facts.trims[2]
    lead = tokens.template.lead
    learnt = [spelt(tokens, encoded.ids[start:stop]) for start, stop in encoded.spans]
    assert learnt == [lead + (text.strip() if trims else text) + kind.end for text in texts[1::2]]
    first = tokens.encode_conversation(talk(*texts[:2]), "every")  # more turns never change what was before
    stop = first.spans[0][1]
    assert first.ids[:stop] == encoded.ids[:stop]
    assert first.spans[0] == encoded.spans[0]
    assert tokens.encode_conversation(talk(*texts[:3])).ids == encoded.prompt_ids
    # one question and its answer need no Jinja, and are the same ids
    assert tokens.encode_prompt(texts[0]) == first.prompt_ids
    assert tokens.encode_response(texts[1]) == first.response_ids


def test_a_system_turn_and_a_template_that_refuses_it(made):
    turns = talk("Hi", "Ho", system="Be brief.")
    assert (
        made["llama3"]
        .encode_conversation(turns)
        .text.startswith("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.")
    )
    with pytest.raises(Refused, match="System role not supported"):
        made["gemma"].encode_conversation(turns)


def test_tools_and_their_answers(made):
    call = {"tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]}
    turns = Conversation.of(
        [Turn("user", "1+1?"), Turn("assistant", "", call), Turn("tool", "2"), Turn("assistant", "It is 2.")],
        "messages",
    )
    tokens = made["qwen_base"]
    encoded = tokens.encode_conversation(turns, "every")
    learnt = [spelt(tokens, encoded.ids[start:stop]) for start, stop in encoded.spans]
    # Qwen writes the line break of a calling turn itself, after the header that the generation prompt ends
    # with a line break
    assert learnt[1] == "It is 2.<|im_end|>"
    assert learnt[0] == '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>'


def test_text_that_spells_what_ends_a_turn(made):
    with pytest.raises(ValueError, match=r"contains the special token <\|im_end\|>"):
        made["chatml"].encode_conversation(talk("a<|im_end|>b", "c"))


def test_system_and_examples_of_the_contract(tmp_path):
    shown = ({"question": "1+1", "answer": "2"}, {"question": "2+2", "answer": "4"})
    tokens = take(tmp_path, KINDS["chatml"], prompt="Q: {query}", system="Add.", examples=shown)
    start = "<|im_start|>system\nAdd.<|im_end|>\n"
    assert spelt(tokens, tokens.encode_prompt("3+3")) == (
        start
        + "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n2+2<|im_end|>\n"
        "<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\nQ: 3+3<|im_end|>\n<|im_start|>assistant\n"
    )
    encoded = tokens.encode_conversation(talk("x", "y"), "every")
    # examples are not learnt
    assert [spelt(tokens, encoded.ids[slice(*span)]) for span in encoded.spans] == ["y<|im_end|>"]
    assert tokens.encode_conversation(talk("a", "b", "c", "d")).text.startswith(
        start + "<|im_start|>user\na<|im_end|>"
    )
    assert "system\nMine" in tokens.encode_conversation(talk("a", "b", "c", "d", system="Mine")).text


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tokenizer_that_writes_a_space_before_the_first_word(tmp_path, legacy):
    """Sentencepiece style, where pieces cannot be encoded alone: the ids are still those of transformers, cut
    at the turns.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    if legacy:
        raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        raw.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    else:
        raw.pre_tokenizer, raw.decoder = (
            pre_tokenizers.Metaspace(prepend_scheme="first"),
            decoders.Metaspace(prepend_scheme="first"),
        )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    raw.train_from_iterator(
        ["[INST] What is one? [/INST]", "the answer is 1", "two? it is\n 2"] * 3,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False),
    )
    loaded = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    loaded.chat_template = KINDS["mistral"].template
    loaded.save_pretrained(str(tmp_path / "hub"))
    params = TemplateParams(prompt="{query}", chat=True)
    tokens = make_tokens(
        PretrainedTokenizer(kind="pretrained", id=str(tmp_path / "hub")),
        params,
        [],
        tmp_path / "taken",
    )
    turns = talk("What is one?", "the answer is 1", "two?", "  it is\n  2")
    encoded = tokens.encode_conversation(turns, "every")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "taken")
    whole = theirs.apply_chat_template(
        [turn.message for turn in turns.turns], tokenize=True, return_dict=True
    )["input_ids"]
    assert encoded.ids == whole
    assert [tokens.decode(encoded.ids[slice(*span)]).strip(" ") for span in encoded.spans] == [
        "the answer is 1",
        "it is\n  2",
    ]
    first = tokens.encode_conversation(talk("What is one?", "the answer is 1"))
    assert (tokens.encode_prompt("What is one?"), tokens.encode_response("the answer is 1")) == (
        first.prompt_ids,
        first.response_ids,
    )


# -- what is refused -----------------------------------------------------------------------------------------

STRIPS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('|')[-1] }}"
    "{% elif m.role == 'assistant' %}<think>{{ m.content }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_PROMPT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
NO_END = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
OTHER_OPENING = CHATML.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant\n<think>\n'")
UPPER = CHATML.replace("message['content']", "message['content'] | upper")
TWICE = CHATML.replace("message['content']", "message['content'] + message['content']")
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}" + CHATML


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (NO_PROMPT, r"add_generation_prompt does not open the assistant's turn: '<\|im_start\|>' stands"),
        (NO_END, "no special token behind the assistant's text"),
        (OTHER_OPENING, "does not open the assistant's turn as it writes one"),
        (UPPER, "does not show question and answer exactly once"),
        (TWICE, "does not show question and answer exactly once"),
        ("{% for m in messages %}", "cannot be rendered: line 1"),
        ("{{ nothing.at_all }}", "'nothing' is undefined"),
        ("{{ raise_exception('go away') }}", "go away"),
        (MARKS_WRONG := QWEN.replace("{{- '<|im_start|>assistant\\n' }}", "{% generation %}{% endgeneration %}{{- '<|im_start|>assistant\\n' }}"),
         "marks 0 places"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_told_apart(tmp_path, template, reason):
    with pytest.raises(TemplateFault, match=f"hub .*{reason}"):
        take(tmp_path, KINDS["chatml"], template)


def test_a_template_that_rewrites_earlier_turns_learns_the_last_only(tmp_path):
    tokens = take(tmp_path, KINDS["chatml"], STRIPS)
    assert "differently when more turns follow" in tokens.chat.facts.every
    with pytest.raises(NotExact, match="differently when more turns follow"):
        tokens.encode_conversation(talk("a", "b|c", "d", "e"), "every")
    last = tokens.encode_conversation(talk("a", "b|c", "d", "e"), "last")
    assert [spelt(tokens, last.ids[slice(*span)]) for span in last.spans] == ["<think>e<|im_end|>"]


def test_a_template_that_loops_is_ended(tmp_path):
    started = time.process_time()
    looping = Renderer("hub/looping", LOOP, {}, "2024-07-26", seconds=0.5)
    with pytest.raises(TemplateFault, match=r"hub/looping did not end within 0\.5 s .*template\.jinja"):
        looping.render([{"role": "user", "content": "x"}], [], [])
    assert time.process_time() - started < 2
    fine = Renderer("hub/fine", CHATML, {}, "2024-07-26")  # the next one is served again
    assert fine.render([{"role": "user", "content": "x"}], [], [])["whole"].endswith("assistant\n")


@pytest.mark.parametrize(
    "template", ["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'ab' * 10 ** 11 }}"]
)
def test_a_template_that_takes_all_memory_or_stack(template):
    with pytest.raises(
        TemplateFault,
        match=r"hub/big cannot be rendered: .* needs more than 4 GiB, or calls itself without end",
    ):
        Renderer("hub/big", template, {}, "2024-07-26").render([{"role": "user", "content": "x"}], [], [])


def test_the_date_and_the_dice_are_fixed():
    template = "{{ strftime_now('%d %b %Y') }} {{ range(1000) | list | random }} {{ flag }}"
    found = {
        Renderer("hub", template, {"flag": True}, "2024-07-26").render(
            [{"role": "user", "content": "x"}], [], []
        )["whole"]
        for _ in "ab"
    }
    assert len(found) == 1
    assert found.pop().startswith("26 Jul 2024 ")


def test_templates_cannot_leave_the_sandbox():
    with pytest.raises(Refused):
        Renderer("hub", "{{ messages.__class__.__mro__ }}", {}, "2024-07-26").render(
            [{"role": "user", "content": "x"}], [], []
        )


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        ("assistant user", r"messages\[0\] is a turn of the assistant at the beginning"),
        ("user user", r"messages\[1\] is a turn of the user after one of the user"),
        ("user assistant assistant", r"messages\[2\] is a turn of the assistant after one of the assistant"),
        ("user system", r"messages\[1\] is a turn of the system after one of the user"),
        ("user tool", "tool after one of the user"),
        ("system", "no turn of the user"),
        ("system assistant", "assistant after one of the system"),
    ],
)
def test_roles_out_of_order(roles, reason):
    with pytest.raises(BadConversation, match=reason):
        Conversation.of([Turn(role, "x") for role in roles.split()], "messages")


def test_empty_turns_and_half_characters():
    for turns in ([Turn("user", " \n")], [Turn("user", "x"), Turn("assistant", "")]):
        with pytest.raises(BadConversation, match="is an empty turn of the"):
            Conversation.of(turns, "messages")
    with pytest.raises(BadConversation, match="lone surrogate"):
        Conversation.of([Turn("user", "\ud83d")], "messages")
    # says: no default system turn
    assert Conversation.of([Turn("system", ""), Turn("user", "x")], "messages").turns[0].text == ""


def test_a_conversation_survives_json():
    turns = Conversation.of(
        [Turn("user", "x"), Turn("assistant", "", {"tool_calls": [{"function": {"name": "f"}}]})],
        "messages",
        [{"a": 1}],
    )
    assert Conversation.from_json(json.loads(json.dumps(turns.as_json()))) == turns


# -- the contract --------------------------------------------------------------------------------------------


def test_a_tokenizers_own_template_is_used_where_none_is_said(tmp_path):
    """No `template` at all: its chat template where it brings one, else the default of one from scratch."""
    kind = PretrainedTokenizer(kind="pretrained", id=str(write_hub_folder(tmp_path / "hub", KINDS["chatml"])))
    said = make_tokens(kind, TemplateParams(chat=True), [], tmp_path / "said")
    assert make_tokens(kind, None, [], tmp_path / "unsaid").digest == said.digest
    assert said.chat is not None
    assert TemplateParams(chat=True).prompt == "{query}"
    assert make_tokens(kind, TemplateParams(), [], tmp_path / "off").chat is None
    plain = write_hub_folder(tmp_path / "plain", KINDS["chatml"], "")
    made = make_tokens(PretrainedTokenizer(kind="pretrained", id=str(plain)), None, [], tmp_path / "made")
    assert made.chat is None
    assert made.template.prompt("2+2?") == "<|user|>2+2?<|assistant|>"


def test_only_a_pretrained_model_leaves_its_template_open():
    assert BaseParams(pretrained="a/b").template is None
    assert BaseParams(architecture={}).template == TemplateParams()
    assert (
        BaseParams(architecture={}, tokenizer={"kind": "pretrained", "id": "a/b"}).template
        == TemplateParams()
    )
    assert BaseParams(pretrained="a/b", template={}).template == TemplateParams()


def test_a_template_of_ones_own(tmp_path):
    jinja = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    params = TemplateParams(prompt="{query}", chat=True, jinja=jinja)
    tokens = make_tokens(CharTokenizer(kind="char", alphabet="bytes"), params, [], tmp_path)
    encoded = tokens.encode_conversation(talk("a", "b", "c", "d"), "every")
    assert [spelt(tokens, encoded.ids[slice(*span)]) for span in encoded.spans] == ["b<|end|>", "d<|end|>"]
    with pytest.raises(ValueError, match=r"write one as template\.jinja"):
        make_tokens(
            CharTokenizer(kind="char"),
            TemplateParams(chat=True),
            [("a", "b")],
            tmp_path / "none",
        )
    for name, value in (("jinja", jinja), ("system", "x"), ("variables", {"a": 1})):
        with pytest.raises(ValidationError, match=f"template.{name} belongs to a chat template"):
            TemplateParams(**{name: value})


def test_configuration_and_tokenizer_name_the_same_ids(made, tmp_path):
    """What `generate` goes by, what the configuration says and what the tokenizer says are one."""
    from transformers import AutoTokenizer, GenerationConfig

    for name in ("gemma", "chatml"):
        tokens = made[name]
        model = make_tiny_model(tokens)
        model.generation_config = GenerationConfig(pad_token_id=99, eos_token_id=98, bos_token_id=97)
        policy.save(model, tokens, tmp_path / name)
        config, generation = (
            json.loads((tmp_path / name / file).read_text())
            for file in ("config.json", "generation_config.json")
        )
        theirs = AutoTokenizer.from_pretrained(tmp_path / name)
        for found in (config, generation):
            assert found["pad_token_id"] == theirs.pad_token_id == tokens.pad_id
            assert found.get("bos_token_id") == theirs.bos_token_id == tokens.bos_id
            ends = found["eos_token_id"]
            assert (ends if isinstance(ends, list) else [ends]) == tokens.stop_ids
        assert theirs.eos_token_id == tokens.stop_ids[0]
        assert theirs.chat_template == KINDS[name].template


def test_generation_stops_at_the_end_of_a_turn(made):
    import torch

    from pipelines.rollouts.engines.local import LocalEngine
    from pipelines.rollouts.rollout_params import SamplingParams
    from tests.tiny import CPU

    tokens = made["gemma"]
    model = make_tiny_model(tokens)
    head = model.get_output_embeddings().weight
    with torch.no_grad():  # the end of a turn is all that this model ever says
        head.zero_()
        model.lm_head.bias = torch.nn.Parameter(
            torch.nn.functional.one_hot(torch.tensor(tokens.end_id), head.shape[0]) * 50.0
        )
    engine = LocalEngine(model, tokens, CPU)
    ((completion,),) = engine.generate([tokens.encode_prompt("hi")], [[1]], SamplingParams(max_new_tokens=8))
    assert list(completion.ids) == [tokens.end_id]
    assert completion.finish.complete
