"""The recipe for a user's model and data, its sections as values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from flows.new.data import NewError, Part
from flows.new.wish import Fitted, Wish, is_function
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.raw.columns import cell
from pipelines.corpora.raw.ledger import Ledger
from pipelines.training.preference_params import PAIR_LOSS

NUMBER = re.compile(r"[-+$€£]?\s*\d[\d,. ]*(/\d+)?\s*%?")
LETTER = re.compile(r"\(?[A-Ja-j]\)?")
HUB = "raw/hub"  # a folder that git holds: what comes from outside reads no file below it
TRAIN = re.compile(r"train(ing)?([-_][-\w]*)?")  # what a file to train on is called that says no more
SHARE = 0.1  # of the rows that are held out, where no file of their own is named


def sections(wish: Wish, stages: Sequence[str], fitted: Fitted) -> dict[str, Any]:
    """Returns the recipe's sections."""
    value: dict[str, Any] = {}
    if wish.rows:
        value["corpus"] = {wish.name: _corpus(wish, fitted)}
    base: dict[str, Any] = {"pretrained": wish.model.name}
    if wish.model.template is not None:
        base["template"] = wish.model.template
    value["base"] = {"runs": {"base": base}}
    model = "base"
    for method in stages:
        if method == "sft":
            value["sft"] = _sft(wish, model, fitted)
        elif method in PAIR_LOSS.names():
            pairs = _dpo(wish, model, method, fitted)
            pairs["dpo"]["runs"] = {**value.get("dpo", {}).get("runs", {}), **pairs["dpo"]["runs"]}
            value |= pairs
        else:
            run = {"method": method, "start": model, "data": wish.name}
            runs = {**value.get("rl", {}).get("runs", {}), method: run}
            value["rl"] = _with_reward(wish, {"runs": runs})
        model = method
    if wish.has("questions") or (wish.reward and wish.rows):
        models = [method for method in ("base", *stages) if method != "sft" or "sft" in value]
        runs = {name: {"model": name, "data": wish.name} for name in models}
        value["evaluate"] = _with_reward(wish, {"runs": runs})
    if wish.model.is_hub or any(part.id and not Path(part.id).exists() for part in wish.parts):
        value["execution"] = {"offline": False}
    return value


def _with_reward(wish: Wish, section: dict[str, Any]) -> dict[str, Any]:
    return {"common": {"reward": wish.reward}, **section} if is_function(wish.reward) else section


def _corpus(wish: Wish, fitted: Fitted) -> dict[str, Any]:
    corpus = place(wish.rows, "raw")
    corpus["sources"] = {
        name: _source(parts, wish.reward) for name, parts in _sources(wish.rows, wish.name).items()
    }
    if wish.has("questions") and not is_function(wish.reward):
        corpus["reward"] = wish.reward or usual_rule(wish.rows)
    splits_rows = any(role == "train" for source in corpus["sources"].values() for role in source["splits"])
    roles = {part.role for part in wish.rows}
    if splits_rows and "heldout" not in roles:
        corpus["heldout_share"] = fitted.heldout_share or SHARE
    if not splits_rows or fitted.validation_share:
        corpus["validation_share"] = fitted.validation_share
    for key in ("max_prompt_tokens", "max_response_tokens"):
        if limit := getattr(fitted, key):
            corpus[key] = limit
    return corpus | _allowed(fitted.max_bad_rows)


def _allowed(bad: float) -> dict[str, float]:
    """Returns the share of bad rows that a set must allow, where it is more than sets usually do."""
    return {"max_bad_rows": bad} if bad > CorpusParams.model_fields["max_bad_rows"].default else {}


def _sources(parts: Sequence[Part], recipe: str) -> dict[str, list[Part]]:
    """Returns the parts by source: one file to train on, and the held-out files of its layout with the first
    of them. A file that is called train gives its source the name of the recipe: samples and accuracy by
    subject show it, and held-out rows that are called train look like rows that were trained on.
    """
    sources: dict[str, list[Part]] = {}
    for part in sorted(parts, key=lambda part: part.role != "train"):
        stem = part.split.split(".")[0]
        name = re.sub(r"[^A-Za-z0-9_]+", "_", recipe if TRAIN.fullmatch(stem) else stem).strip("_") or "rows"
        joined = next(
            (
                taken
                for taken in sources.values()
                if taken[0].id == part.id
                and taken[0].layout.kind == part.layout.kind
                and taken[0].layout.columns == part.layout.columns
                and part.role not in {other.role for other in taken}
            ),
            None,
        )
        if joined is not None and part.role != "train":
            joined.append(part)
        else:
            sources[name if name not in sources else f"{name}_{len(sources)}"] = [part]
    return sources


def _source(parts: Sequence[Part], reward: str) -> dict[str, Any]:
    """Returns a source. A reward function may read any column, so all that it can are kept for it."""
    layout, first = parts[0].layout, parts[0]
    reader = "table" if layout.kind in ("questions", "prompts") else "messages"
    source: dict[str, Any] = {"reader": reader}
    if first.id is not None:
        source["id"] = first.id
    role = {"train": "sft"} if layout.kind == "texts" else {}
    source["splits"] = {role.get(part.role, part.role): part.split for part in parts}
    if layout.columns:
        source["columns"] = dict(layout.columns)
    if reader == "table" and is_function(reward) and layout.kept:
        source["keep"] = list(layout.kept)
    return {**source, **layout.options}


def place(parts: Sequence[Part], key: str) -> dict[str, Any]:
    """Returns {raw: …} or {origin: …}: the file, the folder of the files, or for data from outside a folder
    that holds nothing. Raises NewError where the files lie in several folders, or in the project's own.
    """
    paths = [path for part in parts if (path := part.path) is not None]
    if not paths:
        return {key: HUB}
    folders = {path.parent for path in paths}
    if len(set(paths)) == 1:
        return {key: str(paths[0])}
    if len(folders) == 1 and folders != {Path()}:
        return {key: str(paths[0].parent)}
    names = " ".join(map(str, dict.fromkeys(paths)))
    raise NewError(
        f"{names}: a set's files lie in one folder, which is an input as a whole, so it cannot be the "
        f"project's own: mkdir -p raw/mine && mv {names} raw/mine/"
    )


def usual_rule(parts: Sequence[Part]) -> str:
    """Returns the rule that fits the answers: multiple_choice for letters, math_answer for numbers and
    formulas, containment for words.
    """
    answers: list[str] = []
    for part in parts:
        if part.layout.kind == "questions":
            answers += _answers(part, Ledger(part.split))
    if answers and all(LETTER.fullmatch(answer) for answer in answers):
        return "multiple_choice"
    numbers = sum(bool(NUMBER.fullmatch(answer)) or "\\" in answer or "$" in answer for answer in answers)
    return "math_answer" if 2 * numbers >= len(answers) else "containment"


def _answers(part: Part, ledger: Ledger) -> list[str]:
    column, mark = part.layout.columns.get("answer") or "answer", part.layout.options.get("answer_after")
    values = [cell(row, column) for _, row in islice(part.rows(ledger), 200)]
    texts = [str(value) for value in values if value is not None]
    return [(text.rpartition(mark)[2] if mark else text).strip() for text in texts]


def _sft(wish: Wish, start: str, fitted: Fitted) -> dict[str, Any]:
    run: dict[str, Any] = {"start": start, "data": wish.name}
    room = (fitted.max_prompt_tokens or 0) + (fitted.max_response_tokens or 0)
    if room > 2048:  # the default of sft, which would leave the longest out
        run["max_tokens"] = room
    return {"runs": {"sft": run}}


def _dpo(wish: Wish, start: str, method: str, fitted: Fitted) -> dict[str, Any]:
    name = f"{wish.name}_pairs" if wish.rows else wish.name
    splits: dict[str, list[str]] = {}
    for part in wish.pairs:
        splits.setdefault(part.role, []).append(part.split)
    source: dict[str, Any] = {"kind": "trl"}
    if wish.pairs[0].id is not None:
        source["id"] = wish.pairs[0].id
    source["splits"] = {role: names[0] if len(names) == 1 else names for role, names in splits.items()}
    pairs: dict[str, Any] = {**place(wish.pairs, "origin"), "source": source}
    if wish.has("questions", "prompts", "demonstrations"):
        pairs["data"] = wish.name
    if "heldout" not in splits:
        pairs["heldout_share"] = fitted.pairs_heldout_share or SHARE
    pairs |= fitted.pair_limits | _allowed(fitted.pairs_max_bad_rows)
    run: dict[str, Any] = {"start": start, "data": name}
    if method != "dpo":
        run["loss"] = {"kind": method}
    if limit := fitted.pair_limits.get("max_tokens", 0):
        run["max_tokens"] = limit
    return {"preferences": {name: pairs}, "dpo": {"runs": {method: run}}}
