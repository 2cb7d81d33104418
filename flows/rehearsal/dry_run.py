"""`--dry-run`: what would go wrong in the run that params.yaml, or a recipe, describes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.configured_run import Finding
from flows.graph.params import check
from flows.graph.presets import with_presets
from flows.rehearsal import predict, rewards, texts
from flows.rehearsal.cut import cut
from flows.rehearsal.predict import SetSize
from flows.rehearsal.scratch import INTERRUPTED, Scratch, folder_of
from flows.running.headline import cause
from pipelines.models.tokenizer import Tokens

RESUMED = "going on after step"  # in the words of a loop that goes on from a checkpoint


def dry_run(root: Path, raw: dict[str, Any], say: Callable[[str], None] = lambda text: None) -> list[Finding]:
    """Returns the findings on the run that `raw`, the values of params.yaml, describes. Run in the project's
    folder. Raises ParamsError where the values are not right by themselves. `say` is told what is done now.
    """
    params = check(raw, root=root)
    found: list[Finding] = []
    with folder_of(root) as folder:
        try:
            say("tiny models")
            small, stand_ins = cut(with_presets(raw, root), params, root, folder / "tiny")
            scratch = Scratch(root, folder, check(small, "dry run", root), small)
            scratch.prepare()
        except (ValueError, OSError) as error:
            found.append(Finding("model", False, _reason(error), "see the message; `whetstone doctor`"))
            found += predict.findings(root, params, {})
            return found
        found += [
            Finding(f"base@{name}", True, f"stands for it: {words}") for name, words in stand_ins.items()
        ]
        failed: set[str] = set()
        for stage in scratch.stages():
            say(stage.name)
            found += _stage(scratch, stage, failed)
        if scratch.cut_files:
            found.append(
                Finding(
                    "data",
                    True,
                    f"only the first rows of {', '.join(scratch.cut_files)} were read",
                    needed=False,
                )
            )
        say("rewards and texts")
        found += rewards.findings(folder / "whole", params)
        contexts = _contexts(folder)
        found += texts.findings(folder, params, contexts)
        say("memory, disk and time")
        found += predict.findings(root, params, _sizes(folder, params))
    return found


def _stage(scratch: Scratch, stage: Any, failed: set[str]) -> Iterator[Finding]:
    missing = [
        read.path
        for read in stage.inputs
        if any(read.path == out or read.path.startswith(f"{out}/") for out in failed)
    ]
    if missing:
        failed.update(stage.outs)
        yield Finding(stage.name, True, f"not tried: {missing[0]} was not made", needed=False)
        return
    try:
        words = scratch.run(stage)
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a stage raises is what is looked for
        failed.update(stage.outs)
        yield Finding(stage.name, False, _reason(error), "see the message; the real stage would fail so too")
        return
    said = "runs"
    if stage.family.name in INTERRUPTED:
        resumed = any(RESUMED in line for line in words)
        said = "updates, is interrupted, goes on from its checkpoint" if resumed else "runs"
    yield Finding(stage.name, True, said)
    if stage.family.name == "rl":
        yield from _signal(scratch.folder / "curves" / f"{stage.member}.jsonl", stage.name)


def _signal(curve: Path, name: str) -> Iterator[Finding]:
    """Yields a finding where no group of a rehearsed run gave anything to learn from, though different texts
    had different rewards.
    """
    rows = [json.loads(line) for line in curve.read_text("utf-8").splitlines()]
    kept = [row["kept_groups"] for row in rows if "kept_groups" in row]
    if kept and not any(kept):
        yield Finding(
            f"signal of {name}",
            False,
            "all groups are unanimous, although different texts had different rewards: the responses to a "
            "prompt are all the same, or there is one of them",
            "raise sampling.temperature, drop top_k, or sample more responses to a prompt",
        )


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    lines = text.splitlines()
    return " ".join(text.split())[:600] if text else cause(lines) or type(error).__name__


def _contexts(folder: Path) -> dict[str, int]:
    """Returns the positions of each model that the rehearsal made: those of the real one."""
    from transformers import AutoConfig

    contexts = {}
    for path in folder.glob("models/*/model"):
        config = AutoConfig.from_pretrained(str(path)).get_text_config(decoder=True)
        contexts[path.parent.name] = int(getattr(config, "max_position_embeddings", 0) or 2**31)
    return contexts


def _sizes(folder: Path, params: Any) -> dict[tuple[str, str], SetSize]:
    """Returns rows and mean tokens of the sets, by the first model of the rehearsal; empty without one."""
    model = next(iter(sorted(folder.glob("models/*/model/tokens.json"))), None)
    if model is None:
        return {}
    tokens, sizes = Tokens.load(model.parent), {}
    for path in folder.glob("whole/data/*/*/*.jsonl"):
        lines = path.read_text("utf-8").splitlines()
        if lines and path.stem != "responses":
            lengths = [_length(json.loads(line), tokens) for line in lines[:: max(1, len(lines) // 200)]]
            sizes[path.parts[-3], path.stem] = SetSize(len(lines), sum(lengths) / len(lengths))
    return sizes


def _length(row: dict[str, Any], tokens: Tokens) -> int:
    """Returns the tokens of a row's texts, without its template."""
    texts = [row.get("prompt"), row.get("response"), row.get("chosen"), row.get("rejected")]
    both = 2 if row.get("chosen") is not None else 1  # a prompt is read with each of the two answers
    lengths = [len(tokens.encode_text(text)) if text else 0 for text in texts]
    return both * lengths[0] + sum(lengths[1:])


def problems(found: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in found if not finding.ok]
