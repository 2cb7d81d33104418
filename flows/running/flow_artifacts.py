"""What the MLflow run of a whole `whetstone run` holds beside its figures: the recipe, the report, samples,
and a page of lineage for each model. No secret is among it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.graph import recipe_layers, recipes
from flows.graph.params import Params
from flows.graph.params_file import PARAMS, ParamsError, parse, read_text
from flows.graph.recipe_files import FOLDER
from flows.graph.stage_records import BrokenRecord
from flows.provenance.content import Contents
from flows.provenance.lineage import UnknownSubject, lineage
from flows.provenance.lineage_page import render
from tasks.tracking_records import masked, public, without_secrets

SAMPLE_ROWS = 1000  # of a file of samples
MODEL_BYTES = 4 << 30  # a larger model is read only when somebody asks
EXECUTION = "execution"  # cannot change a result


def own_settings(root: Path) -> list[str]:
    """Returns the settings by which params.yaml differs from its recipe, `KEY was -> now`, without what
    cannot change results and without secrets.
    """
    try:
        changes = recipes.own(root)
    except ParamsError:
        return []  # params.yaml was edited since the plan was made: what it sets now is none of this run's
    return [
        masked(str(change))
        for change in changes
        if change.key[0] != EXECUTION and public({".".join(change.key): None})
    ]


def set_params(root: Path) -> dict[str, Any]:
    """Returns what params.yaml sets, without the same: what tells two runs apart."""
    try:
        values = without_secrets(parse(read_text(root / PARAMS)))
    except ParamsError:
        return {}
    return {name: value for name, value in values.items() if name != EXECUTION}


def recipe_texts(root: Path, params: Params) -> dict[str, str | Path]:
    """Returns {artifact: text} of params.yaml, of the recipes that it is made of, and of all settings with
    their defaults.
    """
    texts: dict[str, str | Path] = {}
    try:
        texts[f"recipe/{PARAMS}"] = _public_text(read_text(root / PARAMS))
        for name in recipe_layers.chain(root, recipes.active(root)):
            path = root / FOLDER / f"{name}.yaml"
            if path.exists():
                texts[f"recipe/{FOLDER}/{name}.yaml"] = _public_text(read_text(path))
    except ParamsError:
        pass  # a recipe that was removed or broken since: params.yaml is the whole truth
    texts["recipe/resolved.yaml"] = _dumped(without_secrets(params.model_dump(mode="json")))
    return texts


def report_folder(root: Path) -> dict[str, Path]:
    return {"report": root / "reports"} if (root / "reports").is_dir() else {}


def sample_texts(root: Path, outs: Iterable[str]) -> dict[str, str | Path]:
    """Returns the samples among the outputs, cut after SAMPLE_ROWS, which their name says then."""
    texts: dict[str, str | Path] = {}
    for out in outs:
        path = root / out
        if out.startswith("samples/") and path.is_file():
            with open(path, encoding="utf-8", errors="replace") as stream:
                rows = list(islice(stream, SAMPLE_ROWS))
                whole = not stream.readline()
            first = out if whole else f"{path.relative_to(root).with_suffix('')}.first-{SAMPLE_ROWS}.jsonl"
            texts[first] = path if whole else "".join(rows)
    return texts


def lineage_pages(root: Path, outs: Iterable[str]) -> dict[str, str]:
    """Returns the page of lineage of each model among the outputs, verified now."""
    contents, pages = Contents(root), {}
    for out in outs:
        folder = root / out
        if not (out.startswith("models/") and out.endswith("/model") and folder.is_dir()):
            continue
        if sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > MODEL_BYTES:
            continue
        name = out.removeprefix("models/").removesuffix("/model")
        try:
            pages[f"lineage/{name}.html"] = render(lineage(root, f"models/{name}", contents))
        except (BrokenRecord, UnknownSubject, OSError, ValueError):
            continue  # `whetstone lineage` says what is wrong with it
    return pages


def described(recipe: str, own: Iterable[str], stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the run's description in Markdown, which MLflow shows on its page."""
    changed = [f"- `{text}`" for text in own]
    rows = [f"| {name} | {how['ended']} | {how.get('seconds', '')} |" for name, how in stages.items()]
    return "\n".join(
        [
            f"Recipe `{recipe}`" + (" with settings of the user's own:" if changed else ""),
            "",
            *changed,
            "",
            *(["| stage | ended | s |", "|---|---|---|", *rows] if rows else []),
        ]
    )


def _public_text(text: str) -> str:
    """Returns a YAML file as it is, with its comments; without what is secret where it holds such."""
    values = parse(text)
    public = without_secrets(values)
    return masked(text) if public == values else _dumped(public)


def _dumped(value: Any) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, stream)
    return stream.getvalue()
