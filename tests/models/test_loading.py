"""Models load strictly: what is missing, unknown, of another shape or not finite is named; no damaged file
ends in a traceback.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from pipelines.models import policy, score_head
from pipelines.models.loading import load_model, load_tokenizer
from pipelines.rewards.judge import JudgeContext
from pipelines.rewards.models import chat_verifier
from pipelines.rewards.models.options import ChatVerifierParams
from pipelines.sources.manifest import SourceError
from pipelines.sources.opening import OpenedSource, unrecorded
from tests.sources.made import gguf_file, model_folder
from tests.tiny import CPU, make_tiny_model, make_tiny_tokens

FILE, HEAD, QUERY = "model.safetensors", "lm_head.weight", "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return model_folder(tmp_path_factory.mktemp("made") / "llm")


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy to be damaged."""
    target = tmp_path / "llm"
    target.mkdir()
    for path in made.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def load(folder: Path, auto=AutoModelForCausalLM):
    with unrecorded(str(folder), "model") as found:
        return load_model(auto, found)


def change(folder: Path, edit) -> None:
    """Rewrite the weights after `edit(state)`."""
    state = load_file(folder / FILE)
    edit(state)
    save_file(state, str(folder / FILE), metadata={"format": "pt"})


def refused(folder: Path, *words: str, auto=AutoModelForCausalLM) -> str:
    with pytest.raises(ValueError) as caught:
        load(folder, auto)
    text = str(caught.value)
    assert [word for word in (str(folder), *words) if word not in text] == [], text
    assert "\n" not in text
    return text


def test_a_whole_model_loads_with_its_own_weights(folder):
    state = load_file(folder / FILE)
    loaded = load(folder).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_missing_tensors(folder):
    change(folder, lambda state: [state.pop(name) for name in (HEAD, QUERY)])
    refused(folder, "no weights for", HEAD, QUERY, f"in {FILE}")


def test_unexpected_tensors(folder):
    change(folder, lambda state: state.update({"model.layers.7.mlp.up_proj.weight": torch.ones(64, 32)}))
    refused(folder, "weights that the model does not have", "model.layers.7.mlp.up_proj.weight", f"in {FILE}")


def test_tensors_of_another_shape(folder):
    change(folder, lambda state: state.update({QUERY: torch.ones(16, 32)}))
    refused(folder, "another shape", QUERY, "[16, 32] where [32, 32] is needed", f"in {FILE}")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_tensors_that_are_not_finite(folder, value):
    change(folder, lambda state: state[QUERY].view(-1)[-1:].fill_(value))
    refused(folder, "NaN or infinite", QUERY, f"in {FILE}")


def test_a_tied_head_need_not_be_there(tmp_path):
    folder = model_folder(tmp_path / "llm", tied=True)
    assert HEAD not in load_file(folder / FILE)
    model = load(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(facts | {"tie_word_embeddings": False}))
    refused(folder, "no weights for", HEAD)
    change(folder, lambda state: state.pop("model.embed_tokens.weight"))
    (folder / "config.json").write_text(json.dumps(facts))
    refused(folder, "no weights for", "model.embed_tokens.weight")


def test_a_language_model_is_no_reward_model(folder):
    refused(folder, "no weights for score.weight", auto=AutoModelForSequenceClassification)


def test_a_shard_that_is_gone(folder):
    state = load_file(folder / FILE)
    names = sorted(state)
    parts = {"a.safetensors": names[:5], "b.safetensors": names[5:]}
    for file, held in parts.items():
        save_file({name: state[name] for name in held}, str(folder / file), metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / FILE).unlink()
    assert torch.equal(load(folder).state_dict()[QUERY], state[QUERY])
    (folder / "b.safetensors").unlink()
    refused(folder, "b.safetensors")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json"])
def test_a_text_file_cut_short(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20])
    refused(folder, f"{folder}/{name} is cut short or damaged")


def test_a_tokenizer_that_is_json_and_no_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")
    with (
        unrecorded(str(folder), "tokenizer") as found,
        pytest.raises(ValueError, match=f"no tokenizer could be loaded from {folder}"),
    ):
        load_tokenizer(found)


def test_weights_cut_short(folder):
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:-7])
    refused(folder, FILE, "weights cannot be read")


def test_no_config(folder):
    (folder / "config.json").unlink()
    refused(folder, "no config.json")


def test_pickles_are_never_opened(folder):
    class Trap:
        def __reduce__(self):
            return (exit, ("the file ran code",))

    torch.save(Trap(), folder / "pytorch_model.bin")
    load(folder)  # beside safetensors it is not looked at
    (folder / FILE).unlink()
    refused(folder, "holds no *.safetensors file")


def test_links_to_nothing(folder, tmp_path):
    (folder / FILE).unlink()
    (folder / FILE).symlink_to(tmp_path / "gone")
    with pytest.raises(
        SourceError, match=re.escape(f"{folder / FILE} is a link to {tmp_path / 'gone'}, which is not there")
    ):
        load(folder)


def test_models_of_this_pipeline_load_strictly_too(tmp_path):
    tokens = make_tiny_tokens(tmp_path / "tokens")
    policy.save(make_tiny_model(tokens), tokens, tmp_path / "policy")
    score_head.save(score_head.make(make_tiny_model(tokens), 0), tokens, tmp_path / "scores")
    for folder, loader in (("policy", policy.load), ("scores", score_head.load)):
        loader(tmp_path / folder)
        state = load_file(tmp_path / folder / FILE)
        lost = next(name for name in state if name.endswith("layers.0.mlp.up_proj.weight"))
        state.pop(lost)
        save_file(state, str(tmp_path / folder / FILE), metadata={"format": "pt"})
        with pytest.raises(ValueError, match=rf"no weights for {re.escape(lost)}"):
            loader(tmp_path / folder)


def test_a_cut_tokenizer_of_this_pipeline(tmp_path):
    tokens = make_tiny_tokens(tmp_path / "tokens")
    path = tmp_path / "tokens/tokenizer.json"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} is cut short or damaged"):
        type(tokens).load(tmp_path / "tokens")


def test_a_judge_loads_strictly_too(folder):
    change(folder, lambda state: state[QUERY].fill_(float("nan")))
    with pytest.raises(ValueError, match=f"NaN or infinite: {re.escape(QUERY)}"):
        chat_verifier.make_judge(ChatVerifierParams(model=str(folder)), JudgeContext(None, None, CPU, 512))


# -- .gguf files ---------------------------------------------------------------------------------------------


def test_a_gguf_file_is_the_same_model(made, tmp_path):
    path = gguf_file(tmp_path / "tiny.gguf", made)
    ids = torch.tensor([[1, 70, 80, 90, 264]])
    with torch.no_grad():
        assert torch.equal(load(path)(ids).logits, load(made)(ids).logits)


def test_a_gguf_file_brings_its_tokenizer_and_no_token_more(made, tmp_path):
    path = gguf_file(tmp_path / "tiny.gguf", made)
    with unrecorded(str(path), "tokenizer") as found, unrecorded(str(made), "tokenizer") as original:
        theirs, ours = load_tokenizer(found), load_tokenizer(original)
    assert theirs.get_vocab() == ours.get_vocab()
    assert theirs("one two  three\n")["input_ids"] == ours("one two  three\n")["input_ids"]
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == ("<s>", "</s>", "<pad>")


def test_without_the_package_gguf(made, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.modeling_gguf_pytorch_utils.is_gguf_available", lambda: False)
    refused(
        gguf_file(tmp_path / "tiny.gguf", made), "needs a package that is not installed", "pip install gguf"
    )


@pytest.mark.parametrize("keep", [0, 3, 200, 0.5, -7])
def test_a_gguf_file_that_is_none(made, tmp_path, keep):
    path = gguf_file(tmp_path / "tiny.gguf", made)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    refused(path)


def test_a_folder_with_two_sets_of_weights(folder, made):
    gguf_file(folder / "tiny.gguf", made)
    refused(folder, "more than one set of weights", "tiny.gguf")


def test_what_is_loaded_is_named_as_the_user_wrote_it(folder):
    (folder / "config.json").write_text('{"model_type": "nothing-of-that-name"}')
    text = refused(folder, "no model could be loaded from")
    assert "whetstone-source-" not in text
    assert OpenedSource(folder, "x").options == {"local_files_only": True}


def test_no_special_token_of_the_family_is_added_where_the_files_have_none(tmp_path: Path) -> None:
    """transformers' Qwen2 tokenizer has an unknown token of its own, for which a model has no row."""
    tokens, folder = make_tiny_tokens(tmp_path / "tokens"), tmp_path / "model"
    policy.save(make_tiny_model(tokens), tokens, folder)
    named = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    assert named["unk_token"] is None
    assert len(AutoTokenizer.from_pretrained(folder)) == tokens.vocab_size  # what is saved needs no mending
    del named["unk_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(named), "utf-8")
    with unrecorded(str(folder), "tokenizer") as found:
        loaded = load_tokenizer(found, use_fast=True)
    assert (len(loaded), loaded.unk_token) == (tokens.vocab_size, None)
    assert loaded.eos_token_id == tokens.eos_id
    named["added_tokens_decoder"] = {str(tokens.vocab_size): {"content": "<|mine|>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), "utf-8")
    with unrecorded(str(folder), "tokenizer") as found:
        assert "<|mine|>" in load_tokenizer(found, use_fast=True).get_vocab()
