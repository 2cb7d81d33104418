"""A small project for `whetstone new`: the graph of this repository, a tiny model with a chat template, and
rows in every layout that is understood.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.corpora.test_messages import message, talk

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = range(2, 42)
TRUTHS = [(f"Is {n} even?", "yes" if n % 2 == 0 else "no") for n in NUMBERS]


def user(text: str) -> list[dict[str, Any]]:
    return [message("user", text)]


def assistant(text: str) -> list[dict[str, Any]]:
    return [message("assistant", text)]


LAYOUTS: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]] = {  # name -> (stages, rows)
    "text": ("sft", [{"text": f"{question} {answer}"} for question, answer in TRUTHS]),
    "messages": ("sft", [{"messages": talk(*pair)} for pair in TRUTHS]),
    "conversations": (
        "sft",
        [
            {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}
            for question, answer in TRUTHS
        ],
    ),
    "prompt_completion": ("sft", [{"prompt": question, "completion": answer} for question, answer in TRUTHS]),
    "prompt_completion_turns": (
        "sft",
        [{"prompt": user(question), "completion": assistant(answer)} for question, answer in TRUTHS],
    ),
    "alpaca": (
        "sft",
        [{"instruction": question, "input": "", "output": answer} for question, answer in TRUTHS],
    ),
    "preference": (
        "dpo",
        [{"prompt": question, "chosen": answer, "rejected": "Why?"} for question, answer in TRUTHS],
    ),
    "preference_turns": (
        "dpo",
        [
            {"prompt": user(question), "chosen": assistant(answer), "rejected": assistant("Why?")}
            for question, answer in TRUTHS
        ],
    ),
    "preference_implicit": (
        "dpo",
        [{"chosen": f"{question} {answer}", "rejected": f"{question} Why?"} for question, answer in TRUTHS],
    ),
    "preference_implicit_turns": (
        "dpo",
        [
            {"chosen": talk(question, answer), "rejected": talk(question, "Why?")}
            for question, answer in TRUTHS
        ],
    ),
    "unpaired": (
        "dpo",
        [
            {"prompt": question, "completion": text, "label": text == answer}
            for question, answer in TRUTHS
            for text in (answer, "Why?")
        ],
    ),
    "unpaired_turns": (
        "dpo",
        [
            {"prompt": user(question), "completion": assistant(text), "label": text == answer}
            for question, answer in TRUTHS
            for text in (answer, "Why?")
        ],
    ),
    "question_answer": ("grpo", [{"question": f"{n} + {n}?", "answer": str(2 * n)} for n in NUMBERS]),
    "ground_truth": ("grpo", [{"problem": f"{n} + {n}?", "ground_truth": 2 * n} for n in NUMBERS]),
    "gsm8k": ("grpo", [{"question": f"{n} + {n}?", "answer": f"Add.\n#### {2 * n}"} for n in NUMBERS]),
    "verl": (
        "grpo",
        [{"prompt": user(f"{n} + {n}?"), "reward_model": {"ground_truth": str(2 * n)}} for n in NUMBERS],
    ),
    "solution": (
        "grpo",
        [{"question": f"{n} + {n}?", "answer": str(2 * n), "solution": f"It is {2 * n}."} for n in NUMBERS],
    ),
}


def make_project(root: Path) -> Path:
    """A folder that params.yaml can be checked in, with a tiny model in assets/llm."""
    from tests.flows.test_chats import write_hub

    for name in ("dvc.yaml", "presets.yaml", "params.yaml", "source.lock.json"):
        shutil.copyfile(ROOT / name, root / name)
    (root / "recipes").mkdir()
    shutil.copytree(ROOT / "raw", root / "raw")
    write_hub(root / "assets/llm")
    return root


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes rows as the file's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        from datasets import Dataset

        Dataset.from_list(list(rows)).to_parquet(str(path))
    elif path.suffix == ".csv":
        with open(path, "w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, rows[0].keys())
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
