"""Runs learning stages on a tiny corpus in a scratch folder, in this process or in a child that can be
killed.

    python -m tests.training.stages FOLDER STAGE STEP:SIGNAL [WORK]

runs STAGE and sends itself SIGNAL when the curve reaches STEP, or within the sampler's N-th call, or the
first long enough after it, when STEP is inN.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from pipelines.models import policy, score_head
from pipelines.models.tokenizer import Tokens
from pipelines.rollouts.engines.local import LocalEngine
from pipelines.training.engine import TorchEngine
from pipelines.training.options import OptimiserParams
from tasks.gate import write_gate
from tasks.stage import Spec, Stage
from tests.text_files import write_records
from tests.tiny import CPU, make_records, make_tiny_model, make_tiny_tokens

SFT: dict[str, Any] = {
    "steps": 30,
    "batch_size": 8,
    "validation_every": 10,
    "optimiser": {"learning_rate": 3e-3, "kind": "muon"},
}
GRPO: dict[str, Any] = {
    "iterations": 8,
    "prompts": 6,
    "sampler": {"kind": "flat", "samples": 4},
    "sampling": {"max_new_tokens": 8},
    "validation_every": 3,
    "validation_size": 10,
    "kl": {"use": "loss", "coef": 0.01},
    "epochs": 2,
    "optimiser": {"learning_rate": 1e-3},
}
FLAT = {"prompts": 8, "sampler": {"kind": "flat", "samples": 4}}
TREE = {"kind": "tree", "branching": [3, 2], "segment": 3}
CHAIN = {"kind": "chain", "samples": 3, "rollouts": 2, "partition": "cutpoint", "interval": 2}
PPO: dict[str, Any] = {
    "prompts": 24,
    "sampler": {"kind": "flat", "samples": 1},
    "credit": {"kind": "gae"},
    "critic": {"warmup": 1, "decay": 0.9, "optimiser": {"learning_rate": 3e-3}},
    "whitening": {"how": "population", "epsilon": 1e-5},
    "whitened_over": "rollout",
    "kl": {"use": "reward", "coef": 0.02, "estimator": "k1"},
    "reference": {"rate": 0.1},
    "max_mean_ratio": 5.0,
    "updates_per_epoch": 4,
}
METHODS: dict[str, dict[str, Any]] = {
    "ppo": PPO,
    "grpo_kl": FLAT | {"kl": {"use": "loss", "coef": 0.01}, "epochs": 2},
    "best": FLAT | {"keep": "best", "validation_every": 1, "optimiser": {"learning_rate": 3e-3}},
    "budget": FLAT
    | {
        "iterations": 40,
        "token_budget": 1100,
        "validation_every": 0,
        "schedule": {"decay": "linear", "floor": 0.1},
    },
    "clip_cov": FLAT | {"objective": {"kind": "clip_cov", "share": 0.2, "least": 0.01}},
    "dapo": FLAT
    | {
        "shaping": {"wrong_score": -1.0, "overlong": {"limit": 8, "cache": 3}},
        "refill": {"prompts": 5, "rounds": 3},
        "objective": {"kind": "clip", "low": 0.2, "high": 0.28},
    },
    "spo_chain": {
        "prompts": 6,
        "sampler": CHAIN,
        "credit": "segment_chain",
        "mask": {"kind": "probability", "below": 0.9},
    },
    "spo_tree": {
        "prompts": 6,
        "sampler": TREE,
        "credit": "segment_tree",
        "mask": {"kind": "probability", "below": 0.9},
        "whitening": {"how": "standard"},
        "replay": {"rows": 8, "per_prompt": 3, "max_age": 3},
    },
}
"""Small settings of methods, for a stage `rl@<name>`; they are laid over COMMON."""
PPO_RM: dict[str, Any] = PPO | {
    **{"method": "ppo_rm", "start": "sft", "data": "tiny", "judge": "reward_model"},
    **{"reward": {"kind": "reward_model", "clip": 5.0}, "checker": "final_answer"},
}
"""Of a stage `rl@ppo_rm`, laid over COMMON; its reward model is `make_reward_model`'s."""
COMMON: dict[str, Any] = {
    "iterations": 6,
    "sampling": {"max_new_tokens": 8},
    "validation_every": 3,
    "validation_size": 10,
    "optimiser": {"learning_rate": 2e-3},
}
EVALUATE: dict[str, Any] = {"sampling": {"max_new_tokens": 8}, "samples": 2}
OUTS = {
    "sft@sft": ("models/sft/model", "curves/sft.jsonl", "metrics/train/sft.json"),
    **{
        f"rl@{name}": (f"models/{name}/model", f"curves/{name}.jsonl", f"metrics/train/{name}.json")
        for name in ("grpo", *METHODS)
    },
    "rl@ppo_rm": ("models/ppo_rm/model", "curves/ppo_rm.jsonl", "metrics/train/ppo_rm.json"),
    "evaluate@sft": ("metrics/evaluate/sft.json", "samples/sft.jsonl"),
    "evaluate@grpo": ("metrics/evaluate/grpo.json", "samples/grpo.jsonl"),
}


def on(name: str) -> dict[str, Any]:
    """The run of a preset on the tiny corpus."""
    return {f"rl.runs.{name}": {"method": name, "start": "sft", "data": "tiny", "judge": "none"}}


def make_inputs(folder: Path, count: int = 40, trained: bool = False) -> None:
    """A corpus, a base model, and the base model again in the place of sft's (so that stages can be tested
    apart).

    With `trained`, sft's answers about half of the problems: there is something to learn from.
    """
    tokens = make_tiny_tokens(folder / "data/tiny/tokenizer")
    (folder / "data/tiny/records").mkdir(parents=True)
    for name in ("sft", "rl", "validation", "heldout"):
        write_records(folder / f"data/tiny/records/{name}.jsonl", make_records(tokens, count))
    for name in ("base", "sft"):
        model = make_half_able_model(tokens) if trained and name == "sft" else make_tiny_model(tokens)
        policy.save(model, tokens, folder / f"models/{name}/model")


def make_reward_model(folder: Path, members: int = 1) -> None:
    """models/reward_model/model beside the corpus of `make_inputs`: random, but with scores that differ."""
    tokens = Tokens.load(folder / "data/tiny/tokenizer")
    made = [score_head.make(make_tiny_model(tokens, seed + 1), seed) for seed in range(members)]
    for one in made:
        torch.nn.init.normal_(one.score.weight, generator=torch.Generator().manual_seed(1))
    model = made[0] if members == 1 else score_head.RewardEnsemble(made)
    score_head.save(model, tokens, folder / "models/reward_model/model")
    write_gate(folder / "models/reward_model/gate", [])


_WEIGHTS: dict[str, Any] = {}


def make_half_able_model(tokens: Tokens) -> Any:
    """The tiny model after so little learning from demonstrations that it answers about every second
    problem.
    """
    model = make_tiny_model(tokens)
    if not _WEIGHTS:
        engine = TorchEngine(
            model, OptimiserParams(kind="muon", learning_rate=5e-3, muon_learning_rate=0.05), CPU
        )
        records = make_records(tokens, 40)
        ids, prompts = (
            [[*one.prompt_ids, *(one.response_ids or [])] for one in records],
            [len(one.prompt_ids) for one in records],
        )
        width = max(map(len, ids))
        padded = torch.tensor([row + [tokens.pad_id] * (width - len(row)) for row in ids])
        columns, ends = torch.arange(width), torch.tensor([len(row) for row in ids])[:, None]
        response = (columns >= torch.tensor(prompts)[:, None]) & (columns < ends)
        for _ in range(65):
            engine.backward(-engine.forward(padded, response).logprobs.mean())
            engine.step(1.0)
        _WEIGHTS.update({name: value.clone() for name, value in model.state_dict().items()})
    model.load_state_dict(_WEIGHTS)
    return model


def make_stage(
    folder: Path, name: str, work: str = "work", sections: dict[str, Any] | None = None, **execution: Any
) -> Stage:
    """A stage whose inputs and outputs are relative to the current folder; it must be `folder`."""
    assert Path.cwd() == folder.resolve()
    defaults: dict[str, Any] = {
        "sft.common": SFT,
        "sft.runs.sft": {"start": "base", "data": "tiny"},
        "rl.common": {},
        **on("grpo"),
        "rl.methods.grpo": GRPO,
        "evaluate.common": EVALUATE,
        **{f"evaluate.runs.{model}": {"model": model, "data": "tiny"} for model in ("sft", "grpo")},
    }
    if (method := name.partition("@")[2]) in METHODS:
        defaults |= {"rl.common": COMMON, f"rl.methods.{method}": METHODS[method], **on(method)}
    if name == "rl@ppo_rm":
        defaults |= {
            "rl.common": COMMON,
            "rl.methods.ppo_rm": {"validation_size": 8},
            "rl.runs.ppo_rm": PPO_RM,
        }
    kind, _, item = name.partition("@")
    defaults = {
        key: value
        for key, value in defaults.items()
        if key.rpartition(".")[0] not in (f"{kind}.runs", f"{kind}.methods") or key.endswith(f".{item}")
    }
    sections = defaults | (sections or {})
    models = [f"models/{model}/model" for model in ("base", "sft", "grpo", "reward_model")]
    inputs = dict.fromkeys([*models, "models/reward_model/gate", "data/tiny/records"], "")
    params = {"identity.seed": 0} | sections
    execution = {"device": "cpu", "threads": 1, "log_period_s": 0} | execution
    stage = Stage(
        Spec(name, "key", f"{work}/{name}", OUTS[name], inputs, params, execution=execution, divisible=True)
    )
    stage.work.mkdir(parents=True, exist_ok=True)
    return stage


def run(stage: Stage) -> dict[str, bytes]:
    """Run it; returns the bytes of every output file by its path."""
    import_module(f"tasks.{stage.name.partition('@')[0]}").run(stage)
    found = stage.work / "outs"
    return {
        str(path.relative_to(found)): path.read_bytes() for path in sorted(found.rglob("*")) if path.is_file()
    }


def _main() -> None:
    folder, name, stop, *work = sys.argv[1:]
    step, _, number = stop.partition(":")
    os.chdir(folder)
    stage = make_stage(Path(folder), name, *work, checkpoint_period_s=0)
    log = stage.log

    def log_and_stop(row: int, **metrics: float) -> None:
        log(row, **metrics)
        if step == str(row):
            os.kill(os.getpid(), getattr(signal, number))

    stage.log = log_and_stop
    if step.startswith("in"):
        stop_while_sampling(int(step[2:]), getattr(signal, number))
    run(stage)


def stop_while_sampling(call: int, number: int) -> None:
    """Send the signal within the engine's `call`-th sampling, after some tokens of it, or the next that has
    so many.
    """
    calls, generate = [0], LocalEngine.generate

    def counted(self: LocalEngine, *arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        pause, polls = self.check_stop, [0]

        def signal_then_pause() -> None:
            polls[0] += 1
            if polls[0] == 3:
                os.kill(os.getpid(), number)
            pause()

        if calls[0] >= call:
            self.check_stop = signal_then_pause
        try:
            return generate(self, *arguments, **options)
        finally:
            self.check_stop = pause

    LocalEngine.generate = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    _main()
