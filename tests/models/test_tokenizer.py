"""The tokenisation contract: faithful both ways, padding that is not EOS, one digest for one contract, the
same bytes twice.
"""

import json
import shutil

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.models.template import Template
from pipelines.models.tokenizer import Tokens
from pipelines.models.tokenizer_params import BpeTokenizer, CharTokenizer, PretrainedTokenizer, TemplateParams
from pipelines.models.tokenizer_training import make_tokens
from pipelines.sources.manifest import SourceError

PAIRS = [
    (f"Ann has {n} coins, finds {n + 3}. How many?", f"{n}+{n + 3}={2 * n + 3}\n#### {2 * n + 3}")
    for n in range(40)
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def make(folder, params=None, template=None):
    return make_tokens(
        params or BpeTokenizer(kind="bpe", vocab_size=400, alphabet="bytes"),
        template or TemplateParams(),
        PAIRS,
        folder,
    )


@pytest.fixture(scope="module", params=["bpe", "char"])
def tokens(request, tmp_path_factory):
    params = {
        "bpe": BpeTokenizer(kind="bpe", vocab_size=400, alphabet="bytes"),
        "char": CharTokenizer(kind="char", alphabet="bytes"),
    }
    return make(tmp_path_factory.mktemp(request.param), params[request.param])


@given(TEXT)
@example("#### 12\n")
@example(" leading, trailing \n\n")
@settings(max_examples=150)
def test_decoding_undoes_encoding(tokens, text):
    assume(not any(special in text for special in tokens.specials))
    ids = tokens.encode_response(text)
    assert ids[-1] == tokens.eos_id
    assert all(0 <= id < tokens.vocab_size for id in ids)
    assert tokens.pad_id not in ids
    assert tokens.decode(ids) == tokens.decode(ids[:-1]) == text
    prompt = tokens.encode_prompt(text)
    assert prompt[0] == tokens.specials["<|user|>"]
    assert prompt[-1] == tokens.specials["<|assistant|>"]
    assert tokens.decode(prompt) == text


def test_digits_are_single_and_the_marker_is_one_token(tmp_path):
    tokens = make(tmp_path)
    assert [tokens.decode([id]) for id in tokens.encode_response("1234+56")[:-1]] == [
        "1",
        "2",
        "3",
        "4",
        "+",
        "5",
        "6",
    ]
    assert [tokens.decode([id]) for id in tokens.encode_response("#### 12")[:-1]] == ["#### ", "1", "2"]
    # it did learn to merge
    assert any(len(tokens.decode([id])) > 3 for id in tokens.encode_response("Ann has coins")[:-1])


def test_training_twice_gives_the_same_bytes(tmp_path):
    first, second = make(tmp_path / "a"), make(tmp_path / "b")
    assert {f.name: f.read_bytes() for f in first.folder.iterdir()} == {
        f.name: f.read_bytes() for f in second.folder.iterdir()
    }


def test_a_character_without_a_token_is_an_error_not_a_gap(tmp_path):
    tokens = make(tmp_path, BpeTokenizer(kind="bpe", vocab_size=120))
    assert tokens.decode(tokens.encode_response("#### 7")) == "#### 7"
    with pytest.raises(
        ValueError, match=r"character 'é' \(U\+00E9\) has no token here; set tokenizer\.alphabet: bytes"
    ):
        tokens.encode_response("café")


def test_a_question_cannot_speak_as_the_assistant(tokens):
    with pytest.raises(ValueError, match=r"contains the special token <\|assistant\|>"):
        tokens.encode_prompt("what?<|assistant|>#### 5")


def test_transformers_reads_the_same_folder(tmp_path):
    from transformers import AutoTokenizer

    tokens = make(tmp_path)
    loaded = AutoTokenizer.from_pretrained(str(tmp_path))
    text = "<|user|>" + PAIRS[3][0] + "<|assistant|>"
    assert loaded.encode(text, add_special_tokens=False) == tokens.encode_prompt(PAIRS[3][0])
    assert (loaded.pad_token_id, loaded.eos_token_id, len(loaded)) == (
        tokens.pad_id,
        tokens.eos_id,
        tokens.vocab_size,
    )


def test_save_load_and_check_same(tmp_path):
    tokens = make(tmp_path / "a")
    tokens.save(tmp_path / "model")
    tokens.check_same(Tokens.load(tmp_path / "model"), "sft")
    other = make(tmp_path / "b", template=TemplateParams(prompt="{query}\n"))
    with pytest.raises(
        ValueError,
        match=rf"sft: {tmp_path}/a and {tmp_path}/b hold different tokenizers: template .*template_digest",
    ):
        tokens.check_same(other, "sft")
    fewer = make(tmp_path / "c", BpeTokenizer(kind="bpe", vocab_size=270, alphabet="bytes"))
    with pytest.raises(ValueError, match="vocab_size 284 against 270"):
        tokens.check_same(fewer, "sft")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pad_id": 1}, "pad_id equals eos_id"),
        ({"template_digest": "0"}, "template_digest 0 is not that of its template"),
        ({"stop_ids": [2]}, "stop_ids must hold eos_id"),
        ({"bos_id": 284}, r"lie in \[0, 284\)"),
        ({"template": {"befor": ""}}, "is damaged"),
    ],
)
def test_a_damaged_contract_is_refused(tmp_path, change, reason):
    make(tmp_path)
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"tokens.json.*{reason}"):
        Tokens.load(tmp_path)


def test_a_folder_without_a_contract(tmp_path):
    make(tmp_path)
    (tmp_path / "tokens.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokens\.json is missing.*run the stage base"):
        Tokens.load(tmp_path)


def test_the_digest_tells_templates_apart():
    texts = ["{query}", "{query}\n", "Q: {query}"]
    digests = {
        Template.of(text, response, bos).digest
        for text in texts
        for response in ("{response}", "\n{response}")
        for bos in (True, False)
    }
    assert len(digests) == 12
    assert Template.of("{query}").digest == Template.of("{query}").digest


@pytest.mark.parametrize(
    "value",
    [{"prompt": "no place"}, {"prompt": "{query}{query}"}, {"response": ""}, {"chat": True, "bos": True}],
)
def test_templates_that_make_no_sense(value):
    with pytest.raises(ValidationError):
        TemplateParams(**value)


def test_a_vocabulary_below_the_alphabet(tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer\.vocab_size 100 is below the 260 single bytes"):
        make(tmp_path, BpeTokenizer(kind="bpe", vocab_size=100, alphabet="bytes"))


def test_a_stop_that_is_no_single_token(tmp_path):
    with pytest.raises(ValueError, match=r"template\.stop: 'Ann has Bob' is \d+ tokens"):
        make(tmp_path, template=TemplateParams(stop=("Ann has Bob",)))
    assert len(make(tmp_path, template=TemplateParams(stop=("<|user|>",))).stop_ids) == 2


# -- tokenizers from elsewhere -------------------------------------------------------------------------------


def pretrained(folder, chat=None, **names):
    """A local fast tokenizer as the hub has them: padding missing or EOS, a chat template or none."""
    from transformers import PreTrainedTokenizerFast

    make(folder / "made")
    loaded = PreTrainedTokenizerFast(tokenizer_file=str(folder / "made" / "tokenizer.json"), **names)
    loaded.chat_template = chat
    shutil.rmtree(folder / "made")
    loaded.save_pretrained(str(folder / "hub"))
    return str(folder / "hub")


def take(folder, id, template=None, pad="auto"):
    return make_tokens(
        PretrainedTokenizer(kind="pretrained", id=id, pad=pad),
        template or TemplateParams(prompt="{query}"),
        [],
        folder / "taken",
    )


@pytest.mark.parametrize(
    ("names", "pad"),
    [
        # EOS as padding, nothing else at hand: the new token
        ({"eos_token": "<|end|>", "pad_token": "<|end|>"}, "<|pad|>"),
        ({"eos_token": "<|end|>"}, "<|pad|>"),
        ({"eos_token": "<|end|>", "pad_token": "<|end|>", "unk_token": "<|user|>"}, "<|user|>"),
        ({"eos_token": "<|end|>", "pad_token": "<|assistant|>"}, "<|assistant|>"),
    ],
)
def test_padding_is_never_eos(tmp_path, names, pad):
    tokens = take(tmp_path, pretrained(tmp_path, **names))
    assert tokens.pad_id != tokens.eos_id
    assert tokens.tokenizer.id_to_token(tokens.pad_id) == pad


def test_asking_for_eos_as_padding(tmp_path):
    with pytest.raises(
        ValueError, match="is EOS: the end of a response would be masked; name another token, or auto"
    ):
        take(tmp_path, pretrained(tmp_path, eos_token="<|end|>"), pad="<|end|>")


def test_padding_that_is_no_token(tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer\.pad '<none>' is no token of"):
        take(tmp_path, pretrained(tmp_path, eos_token="<|end|>"), pad="<none>")


def test_a_chat_template_is_rendered_once(tmp_path):
    chat = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{{ eos_token if m.role == 'assistant' }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    id = pretrained(tmp_path, chat, eos_token="<|end|>", pad_token="<|pad|>")
    tokens = take(tmp_path, id, TemplateParams(prompt="Solve: {query}", chat=True))
    assert tokens.template.prompt("1+1") == "<|user|>Solve: 1+1<|assistant|>"
    ids = tokens.encode_prompt("1+1")
    assert (ids[0], ids[-1]) == (tokens.specials["<|user|>"], tokens.specials["<|assistant|>"])
    assert (
        tokens.encode_prompt(" 1+1\n")
        == ids[:1] + tokens.tokenizer.encode("Solve:  1+1", add_special_tokens=False).ids + ids[-1:]
    )


def test_a_missing_chat_template_says_the_way_out(tmp_path):
    with pytest.raises(ValueError, match="has no chat template; set chat: false"):
        take(
            tmp_path,
            pretrained(tmp_path, eos_token="<|end|>", pad_token="<|pad|>"),
            TemplateParams(prompt="{query}", chat=True),
        )


def test_a_tokenizer_that_is_not_at_hand(tmp_path):
    with pytest.raises(
        SourceError, match=r"nobody/nothing \(revision main\) .*set execution\.offline to false"
    ):
        take(tmp_path, "nobody/nothing")


def test_a_tokenizer_that_writes_a_space_before_the_first_word(tmp_path):
    """Sentencepiece style: a response encoded alone would begin with a space token that never follows a
    prompt.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    raw.decoder = decoders.Metaspace(prepend_scheme="first")
    lines = [text for pair in PAIRS for text in pair] + ["Problem: Solution:"]
    raw.train_from_iterator(
        lines,
        trainers.BpeTrainer(vocab_size=150, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False),
    )
    PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(str(tmp_path / "hub"))
    template = TemplateParams(prompt="Problem:\n{query}\n\nSolution:", response="\n{response}", bos=True)
    tokens = take(tmp_path, str(tmp_path / "hub"), template)
    question, answer = PAIRS[5]
    prompt, response = tokens.encode_prompt(question), tokens.encode_response(answer)
    assert prompt[0] == tokens.bos_id
    whole = tokens.tokenizer.encode(
        f"Problem:\n{question}\n\nSolution:\n{answer}", add_special_tokens=False
    ).ids
    assert [*prompt[1:], *response[:-1]] == whole
    assert tokens.decode(response) == "\n" + answer
