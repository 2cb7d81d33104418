"""The recipes as a user applies them: the whole file checks, and the graph of the Hugging Face one runs on a
two-layer stand-in.
"""

import json
import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from flows.graph.params import check
from flows.graph.recipe_layers import names
from flows.graph.recipes import use
from pipelines.corpora.records.tokenised import read_tokenised
from pipelines.models.tokenizer import Tokens
from pipelines.sources.opening import take
from pipelines.sources.source_params import Reference
from tasks.stage import Spec, Stage
from tests.corpora.made import ROOT, write_lines

QUESTIONS = [
    f"Ann has {n} coins and finds {n % 7 + 2} more in the {place}. How many coins does she have?"
    for n in range(12, 52)
    for place in ("park",)
]
ANSWERS = [
    f"She has {n}+{n % 7 + 2} = <<{n}+{n % 7 + 2}={n + n % 7 + 2}>>{n + n % 7 + 2} coins.\n#### {n + n % 7 + 2}"
    for n in range(12, 52)
]


@pytest.fixture
def project(tmp_path):
    """params.yaml and the recipes, in a folder of their own."""
    for file in ("params.yaml", "presets.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / file, tmp_path / file)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


@pytest.mark.parametrize("name", names(ROOT))
def test_a_recipe_lies_over_the_default_and_comes_off_again(project, name):
    before = yaml.safe_load((project / "params.yaml").read_text())
    use(project, name)
    params = check(yaml.safe_load((project / "params.yaml").read_text()))
    if name in ("gsm8k_small", "gsm8k_rho1b"):
        assert list(params.corpus) == ["gsm8k"]
        assert (
            params.corpus["gsm8k"].max_prompt_tokens + params.rl.runs["grpo"].sampling.max_new_tokens <= 2047
        )
        assert not any(
            (
                params.preferences,
                params.dpo.runs,
                any(run.judge != "none" for run in params.rl.runs.values()),
                params.assess.models,
                params.wins,
            )
        )
    use(project, "default")
    assert yaml.safe_load((project / "params.yaml").read_text()) == before


def stand_in(folder: Path) -> str:
    """A two-layer Llama and its tokenizer as the hub has them: EOS as padding, an unknown token, no contract
    of ours.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False)])
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([*QUESTIONS, *ANSWERS], trainer)
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(str(folder))
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 2048,
    }
    LlamaForCausalLM(
        LlamaConfig(vocab_size=raw.get_vocab_size(), bos_token_id=1, eos_token_id=2, **shape)
    ).save_pretrained(str(folder))
    return str(folder)


def small(params, id):
    """The recipe with the id replaced and every length cut; responses without a signal count, for random
    weights are never right.
    """
    params["corpus"]["gsm8k"]["raw"] = "raw"
    params["base"]["common"]["pretrained"] = id
    params["sft"]["common"].update(epochs=0.2, batch_size=4, validation_every=1, validation_size=2)
    common, grpo = params["rl"]["common"], params["rl"]["methods"]["grpo"]
    common.update(
        iterations=2, zero_signal="count", validation_every=1, validation_size=2, max_mean_ratio=None
    )
    sampling = common["sampling"] | {"max_new_tokens": 6}
    grpo.update(prompts=2, updates_per_epoch=2, sampler={"kind": "flat", "samples": 2}, sampling=sampling)
    params["evaluate"]["common"].update(problems=4, samples=2)
    params["evaluate"]["common"]["sampling"]["max_new_tokens"] = 6
    params["execution"].update(device="cpu", dtype="float32", offline=True, threads=1)
    return params


def test_the_graph_of_a_hugging_face_model(project, monkeypatch):
    monkeypatch.chdir(project)
    use(project, "gsm8k_rho1b")
    id = stand_in(project / "hub")
    raw = small(yaml.safe_load((project / "params.yaml").read_text()), id)
    check(raw)
    sources = {"model": Reference(id, "model")}
    for kind, source in sources.items():
        take(source.source(project), kind, offline=True).write(project / source.manifest)
    (project / "raw").mkdir()
    rows = [
        {"question": question, "answer": answer} for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    write_lines(project / "raw/train.jsonl", rows[:36])
    write_lines(
        project / "raw/dev.jsonl",
        [{**row, "question": f"Here is another one: {row['question']}"} for row in rows[36:]],
    )
    raw["corpus"]["gsm8k"].update(near=None, validation_share=0.2)
    raw["corpus"]["gsm8k"]["decontaminate"] = {"ngram": None, "near": False}

    records = "data/gsm8k/records"
    run(
        "corpus@gsm8k",
        raw,
        ["raw"],
        ["corpus.gsm8k"],
        [records, "metrics/corpus/gsm8k.json"],
    )
    run(
        "base@base",
        raw,
        [sources["model"].manifest],
        ["base.common", "base.runs.base"],
        ["models/base/model"],
    )
    run(
        "sft@sft",
        raw,
        ["models/base/model", records],
        ["sft.common", "sft.runs.sft"],
        ["models/sft/model", "curves/sft.jsonl", "metrics/train/sft.json"],
    )
    outs = ["models/grpo/model", "curves/grpo.jsonl", "metrics/train/grpo.json"]
    run("rl@grpo", raw, ["models/sft/model", records], ["rl.common", "rl.methods.grpo", "rl.runs.grpo"], outs)
    outs = ["metrics/evaluate/grpo.json", "samples/grpo.jsonl"]
    sections = ["evaluate.common", "evaluate.runs.grpo"]
    run("evaluate@grpo", raw, ["models/grpo/model", records], sections, outs)

    facts = json.loads((project / "models/grpo/model/tokens.json").read_text())
    assert (facts["pad_id"], facts["eos_id"], facts["bos_id"], facts["template"]["bos"]) == (0, 2, 1, True)
    row = json.loads((project / records / "sft.jsonl").read_text().splitlines()[0])
    assert "prompt_ids" not in row
    [first, *_] = read_tokenised(project / records, "sft", Tokens.load("models/sft/model")).records
    assert (first.prompt_ids[0], first.response_ids[-1]) == (facts["bos_id"], facts["eos_id"])
    metrics = json.loads((project / "metrics/evaluate/grpo.json").read_text())
    assert (
        metrics["heldout"]["greedy"]["n"],
        metrics["heldout"]["sampled"]["n"],
        metrics["heldout"]["greedy"]["errors"],
    ) == (4, 8, 0)
    steps = [json.loads(line) for line in (project / "curves/grpo.jsonl").read_text().splitlines()]
    assert [step["step"] for step in steps] == [0, 1, 2]  # 0: validation before the first update
    assert steps[-1]["updates"] > 0


def run(name, raw, inputs, sections, outs):
    """One stage in this process, its outputs put in place as the runner does."""
    values = {"identity.seed": 0}
    for section in sections:
        value = raw
        for part in section.split("."):
            value = value[part]
        values[section] = value
    stage = Stage(
        Spec(
            name,
            "key",
            f"work/{name}",
            tuple(outs),
            dict.fromkeys(inputs, ""),
            values,
            execution=raw["execution"],
        )
    )
    stage.work.mkdir(parents=True)
    import_module(f"tasks.{name.partition('@')[0]}").run(stage)
    for out in outs:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage.work / "outs" / out, out)
