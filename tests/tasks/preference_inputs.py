"""A tiny preference branch: sums of two digits, pairs of a right and a wrong answer, and the stages that
learn from them, run in this process.

An answer with a 7 is unsafe, so the set `sums` has dual-safe, mixed and dual-unsafe pairs, both labels and
every flag.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.corpora.preferences.pair import Pair
from pipelines.corpora.records.record import Record
from pipelines.models.tokenizer import Tokens
from tasks.stage import Spec, Stage
from tests.text_files import write_pairs, write_records
from tests.tiny import make_records, make_tiny_tokens
from tests.training.stages import make_inputs

ROOT = Path(__file__).resolve().parents[2]
# The stage alone, without the check of its code digest, which these specifications do not hold.
LAUNCH = "import sys; from tasks import launch; launch.launch(2, [sys.argv[1], '-m', 'tests.tasks.preference_worker', sys.argv[2]], 5)"
OPTIMISER = {"learning_rate": 3e-3, "epsilon": 1e-8, "weight_decay": 0.0}
DPO = {"steps": 24, "batch_size": 8, "max_tokens": 32, "validation_every": 6, "optimiser": OPTIMISER}
RANKING = {"steps": 50, "batch_size": 16, "max_tokens": 32, "validation_every": 10, "optimiser": OPTIMISER}
BEST_WORST = {"kind": "best_worst", "gap": 1e-6, "finished_winner": False}
SET = {"near": None, "decontaminate": {"ngram": None, "near": False}, "validation_share": 0.0}
SET |= {"max_prompt_tokens": 16, "max_answer_tokens": 16, "max_tokens": 32}
ROUND = {"steps": 6, "batch_size": 8, "max_tokens": 32, "optimiser": {"learning_rate": 1e-3}}
SAFE = {
    "steps": 10,
    "batch_size": 8,
    "max_tokens": 32,
    "validation_every": 5,
    "optimiser": {"learning_rate": 3e-3},
}


def safe(answer: str) -> bool:
    return "7" not in answer


def make_pairs(tokens: Tokens, count: int, first: int = 0) -> list[Pair]:
    """The safer answer is preferred where one is unsafe, else the right one."""
    pairs = []
    for number in range(first, first + count):
        a, b, off = number % 10, number * 7 // 10 % 10, number % 8 + 1
        right, wrong = (a + b) % 10, (a + b + off) % 10
        texts = [f"#### {right}", f"#### {wrong}"]
        flags = [safe(text) for text in texts]
        swap = flags == [False, True]
        chosen, rejected = texts[::-1] if swap else texts
        ids = [tokens.encode_response(text) for text in (chosen, rejected)]
        pairs.append(
            Pair(
                f"sums:{number}",
                f"{a}+{b}",
                chosen,
                rejected,
                "sums",
                tokens.encode_prompt(f"{a}+{b}"),
                *ids,
                group=f"{a}+{b}:{number}",
                chosen_safe=safe(chosen),
                rejected_safe=safe(rejected),
                helpful=not swap,
                safer=True,
            )
        )
    return pairs


def make_folder(folder: Path) -> None:
    """The corpus, `sft` (right about half of the time), and data/sums/pairs."""
    make_inputs(folder, 40, trained=True)
    tokens = make_tiny_tokens(folder / "data/tiny/again")
    target = folder / "data/sums/pairs"
    target.mkdir(parents=True)
    made = {
        side: make_pairs(tokens, count, first)
        for side, (count, first) in {"train": (96, 0), "validation": (24, 96), "heldout": (24, 120)}.items()
    }
    for side, pairs in made.items():
        write_pairs(target / f"{side}.jsonl", pairs)
    responses = {
        (pair.prompt, text): (pair, text, ids) for pair in made["train"] for text, ids in answers(pair)
    }
    write_records(
        target / "responses.jsonl", [labelled(*one, number) for number, one in enumerate(responses.values())]
    )
    write_records(folder / "data/tiny/records/heldout.jsonl", make_records(tokens, 12))


def answers(pair: Pair) -> tuple[tuple[str, list[int]], tuple[str, list[int]]]:
    return (pair.chosen, pair.chosen_ids), (pair.rejected, pair.rejected_ids)


def labelled(pair: Pair, text: str, ids: list[int], number: int) -> Record:
    label = "safe" if safe(text) else "unsafe"
    return Record(f"answer:{number}", pair.prompt, text, label, label, None, "sums", pair.prompt_ids, ids)


def run_stage(
    name: str,
    params: dict[str, Any],
    inputs: list[str],
    outs: list[str],
    work: str = "work",
    **execution: Any,
) -> Stage:
    """One stage whose outputs are put in place, as the runner does; the current folder is the project."""
    values = {"identity.seed": 0} | params
    execution = {"device": "cpu", "threads": 1, "log_period_s": 0} | execution
    stage = Stage(
        Spec(
            name,
            "key",
            f"{work}/{name}",
            tuple(outs),
            dict.fromkeys(inputs, ""),
            values,
            execution=execution,
            divisible=True,
        )
    )
    stage.work.mkdir(parents=True, exist_ok=True)
    import_module(f"tasks.{stage.kind}").run(stage)
    for out in outs:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        if Path(out).is_dir():
            shutil.rmtree(out)
        os.replace(stage.work / "outs" / out, out)
    return stage


def model_outs(name: str) -> list[str]:
    return [f"models/{name}/model", f"curves/{name}.jsonl", f"metrics/train/{name}.json"]


def run_of(
    kind: str,
    name: str,
    common: dict[str, Any],
    own: dict[str, Any],
    start: str = "sft",
    extra: list[str] | None = None,
    data: str = "pairs",
    **how: Any,
) -> Stage:
    """A run of a section with `common` and `runs`, from the model `start` on the set `sums`."""
    own = {"start": start, "data": "sums"} | own
    inputs = [f"models/{start}/model", f"data/sums/{data}", *(extra or [])]
    return run_stage(
        f"{kind}@{name}",
        {f"{kind}.common": common, f"{kind}.runs.{name}": own},
        inputs,
        model_outs(name),
        **how,
    )


def sample_set(
    name: str, start: str, judge: str = "none", source: dict[str, Any] | None = None, **how: Any
) -> Stage:
    """The set `name` of the samples of a model, judged by a rule or a model."""
    own = {"kind": "sampled", "samples": 4, "sampling": {"max_new_tokens": 8}, "prompts": {"train": 24}}
    own |= {"reward": "final_answer" if judge == "none" else "reward_model"} | (source or {})
    values = SET | {"origin": f"models/{start}/model", "data": "tiny", "judge": judge, "source": own}
    inputs = [values["origin"], f"models/{judge}/model", "data/tiny/records"]
    outs = [f"data/{name}/pairs", f"data/{name}/records", f"metrics/preferences/{name}.json"]
    return run_stage(f"preferences@{name}", {f"preferences.{name}": values}, inputs, outs, **how)


def in_two_processes(stage: Stage, folder: Path, python: str, **execution: Any) -> Path:
    """What has run in this process once more, in two of the interpreter `python` and with ZeRO 1: the folder
    of its outputs. AssertionError with its output if it fails.
    """
    spec = json.loads(json.dumps(stage.spec.__dict__, default=list))
    spec["execution"] |= {"processes": 2, "zero_stage": 1, "micro_batch_tokens": 60} | execution
    spec["work"] = str(folder / "several" / stage.name)
    Path(spec["work"]).mkdir(parents=True)
    path = folder / f"several/{stage.name}.json"
    path.write_text(json.dumps(spec))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WHETSTONE_SPEC": str(path)}
    command = [sys.executable, "-c", LAUNCH, python, stage.name]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return Path(spec["work"]) / "outs"


def bytes_below(*paths: str) -> dict[str, bytes]:
    """Every file below the paths."""
    files = [
        file
        for path in map(Path, paths)
        for file in ([path] if path.is_file() else sorted(path.rglob("*")))
        if file.is_file()
    ]
    return {str(file): file.read_bytes() for file in files}
