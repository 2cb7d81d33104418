"""A tiny verifier branch: sums of two digits as a multi-subject set, judged exactly; the stages run in this
process.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.corpora.records.record import Record
from pipelines.corpora.verifier_questions import FILES
from pipelines.models.tokenizer import Tokens
from tasks.stage import Stage
from tests.tasks.preference_inputs import model_outs, run_stage
from tests.text_files import write_records
from tests.tiny import make_records
from tests.training.stages import make_inputs

OPTIMISER = {"learning_rate": 3e-3, "epsilon": 1e-8, "weight_decay": 0.0}
POLICY: dict[str, Any] = {
    "reward": "final_answer",
    "sampler": {"kind": "flat", "samples": 4},
    "prompts": 12,
    "sampling": {"max_new_tokens": 8},
    "credit": {"kind": "leave_one_out", "kl": "inside"},
    "shaping": {"normalise": "batch"},
    "kl": {"use": "reward", "coef": 0.01, "estimator": "k1"},
    "objective": "reinforce",
    "iterations": 5,
    "validation_every": 2,
    "validation_size": 6,
    "optimiser": {"learning_rate": 1e-3},
}
EXPLORED = {
    "data": "tiny",
    "origin": "models/sft/model",
    "source": {"kind": "explore", "policy": POLICY, "calib_samples": 2, "heldout_samples": 2},
}
ASKING = {
    "template": "{candidate}{key}",
    "marks": ["+", "+"],
    "positive": ["1"],
    "negative": ["0"],
    "max_tokens": 60,
}
VERIFIER = {
    "asking": ASKING,
    "steps": 60,
    "batch_size": 16,
    "max_tokens": 62,
    "validation_every": 20,
    "optimiser": OPTIMISER,
}
RUN = {"start": "sft", "data": "explored"}
RLVR = {name: POLICY[name] for name in POLICY if name != "reward"} | {
    "checker": "final_answer",
    "iterations": 2,
}
SET = ["data/tiny/records"]


def make_folder(folder: Path) -> None:
    """The set `tiny`, whose sums of even numbers are a subject of their own that is only held out, and `sft`,
    right half of the time.
    """
    make_inputs(folder, 40, trained=True)
    tokens = Tokens.load(folder / "data/tiny/tokenizer")
    records = make_records(tokens, 100)
    places = {
        file: slice(first, first + 20) for file, first in zip(FILES, (0, 0, 20, 40, 60, 80), strict=True)
    }
    for file in FILES:
        found = [
            varied(record) if file in ("calib", "heldout") else record for record in records[places[file]]
        ]
        own = [replace(record, subject="even") for record in found[:5] if file == "heldout"]
        write_records(folder / f"data/tiny/records/{file}.jsonl", [*own, *found])


def varied(record: Record) -> Record:
    """With a right and a wrong answer in its `meta`."""
    return replace(
        record, meta={"right": [f"#### {record.answer}"], "wrong": [f"#### {(int(record.answer) + 1) % 10}"]}
    )


def judge(name: str = "explored", settings: dict[str, Any] = EXPLORED, **how: Any) -> Stage:
    outs = [f"data/{name}/judgements", f"metrics/judgements/{name}.json"]
    return run_stage(
        f"judgements@{name}", {f"judgements.{name}": settings}, [settings["origin"], *SET], outs, **how
    )


def distil(
    name: str = "verifier", settings: dict[str, Any] = VERIFIER, own: dict[str, Any] = RUN, **how: Any
) -> Stage:
    inputs = [f"models/{own['start']}/model", f"data/{own['data']}/judgements"]
    return run_stage(
        f"verifier@{name}",
        {"verifier.common": settings, f"verifier.runs.{name}": own},
        inputs,
        model_outs(name),
        **how,
    )


def report(
    name: str = "verifier", settings: dict[str, Any] | None = None, own: dict[str, Any] = RUN, **how: Any
) -> Stage:
    inputs = [f"models/{name}/model", f"data/{own['data']}/judgements"]
    outs = [f"metrics/verifier_report/{name}.json", f"models/{name}/gate"]
    sections = {"verifier_report": settings or {"laboratory": {"cases": 4}}, f"verifier.runs.{name}": own}
    return run_stage(f"verifier_report@{name}", sections, inputs, outs, **how)


def reinforce(name: str, own: dict[str, Any], **how: Any) -> Stage:
    own = {"method": "arms", "start": "sft", "data": "tiny", "judge": "none"} | own
    inputs = ["models/sft/model", f"models/{own['judge']}/model", f"models/{own['judge']}/gate", *SET]
    sections = {"rl.common": {}, "rl.methods.arms": RLVR, f"rl.runs.{name}": own}
    return run_stage(f"rl@{name}", sections, inputs, model_outs(name), **how)
