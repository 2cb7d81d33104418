"""What the sections of params.yaml must agree on beside the references that dvc.yaml's templates make
(`references.py`), and beside what a stage checks itself (`stage_checks.py`).

Read from the raw file, so that it is said even when something else is wrong too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.graph.references import Graph, Problem, at, families
from tasks.checks import nearest


def contradictions(raw: dict[str, Any], root: Path | None = None) -> Iterator[Problem]:
    """Every contradiction of the file; `root` is the project whose dvc.yaml counts (null: this one)."""
    yield from Graph(raw, root).problems()
    yield from _presets(raw, root)
    yield from _tokenizers(raw)


def mapping(raw: Any, *path: str) -> dict[str, Any]:
    """The mapping at a path; empty where the file holds none (its check says so)."""
    value = at(raw, path)
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def names(raw: Any, *path: str) -> list[str]:
    """The names in the list or the keys of the mapping at a path."""
    value = at(raw, path)
    return [str(name) for name in value] if isinstance(value, (list, dict)) else []


def _presets(raw: dict[str, Any], root: Path | None) -> Iterator[Problem]:
    """A run names a preset that there is: `rl.methods.${item.method}` makes `method` a key of rl.methods."""
    for family in families(root):
        for setting, section in family.presets.items():
            known = names(raw, *section)
            for name, item in mapping(raw, *family.over).items():
                value, run = at(item, (setting,)), ".".join((*family.over, name))
                if value is None and isinstance(item, dict):
                    yield f"{run}.{setting}", f"must stand in {run} itself: dvc.yaml reads it there"
                elif value is not None and str(value) not in known:
                    what = f"no preset of {'.'.join(section)} is called {value!r}"
                    yield f"{run}.{setting}", f"{what}; {nearest(value, known)}"


def _tokenizers(raw: dict[str, Any]) -> Iterator[Problem]:
    """Records hold the token ids of their set's tokenizer, and a model has that of the set its base was made
    for: what a run joins must be the same tokenizer.
    """
    sets = {**mapping(raw, "rlvr_set"), **mapping(raw, "corpus")}
    origin = {name: at(run, ("data",)) for name, run in mapping(raw, "base", "runs").items()}
    trained = [
        (f"{section}.runs.{name}", name, run)
        for section in ("sft", "reward_model", "dpo", "rl")
        for name, run in mapping(raw, section, "runs").items()
    ]
    for _ in trained:  # a chain of runs is at most as long as there are runs
        origin |= {
            name: origin[start] for _, name, run in trained if (start := at(run, ("start",))) in origin
        }
    evaluated = [
        (f"evaluate.runs.{name}", at(run, ("model",)), run)
        for name, run in mapping(raw, "evaluate", "runs").items()
    ]
    for key, model, run in [*trained, *evaluated]:
        own, data = origin.get(str(model)), at(run, ("data",))
        data = at(raw, ("preferences", str(data), "data")) or data  # pairs are tokenised as their corpus is
        if own == data or not {own, data} <= sets.keys() or _same_tokenizer(sets[str(own)], sets[str(data)]):
            continue
        yield (
            f"{key}.data",
            f"{data} has a tokenizer of its own, and the model that it meets has that of {own}: name data of "
            f"{own}, or a model whose base is made for {data} (base.runs.NAME.data: {data})",
        )


def _same_tokenizer(one: Any, other: Any) -> bool:
    """Whether two sets are rendered and tokenised alike: a published tokenizer and the same template."""
    published = at(one, ("tokenizer", "kind")) == "pretrained"
    return published and all(at(one, (key,)) == at(other, (key,)) for key in ("tokenizer", "template"))
