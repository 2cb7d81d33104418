"""The model card: README.md of an exported model, made of its lineage and evaluations, nothing of it by
hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.export.licences import Licences
from flows.provenance.evaluations import Evaluation
from flows.provenance.lineage import run_settings
from pipelines.models.tokenizer import Tokens
from pipelines.sources.manifest import digest

SHOWN = ("method", "start", "data", "judge", "loss", "steps", "epochs", "iterations")  # of a run's settings


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of. `ancestry`: `flows.provenance.lineage`'s object, empty where nothing is
    recorded; `evaluations` of these very weights; `licence`: of the model, as its owner says it;
    `licences`: of what it was made from.
    """

    name: str
    folder: Path
    tokens: Tokens
    licences: Licences
    ancestry: Mapping[str, Any]
    evaluations: Sequence[Evaluation]
    licence: str | None

    @property
    def nodes(self) -> Sequence[Mapping[str, Any]]:
        return self.ancestry.get("nodes", ())

    @property
    def training(self) -> list[Mapping[str, Any]]:
        """The stages that made the weights, the base model first."""
        return [node for node in self.nodes if any(_is_model(out) for out in node["outs"])]


def card(facts: CardFacts) -> str:
    """Returns the text of README.md."""
    parts = [_head(facts), f"# {facts.name}\n", *_origin(facts), *_data(facts), *_figures(facts)]
    return "\n".join([*parts, *_prompt(facts), *_verification(facts)])


def _head(facts: CardFacts) -> str:
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    head |= {
        "tags": ["whetstone", *dict.fromkeys(node["stage"].partition("@")[0] for node in facts.training)]
    }
    if facts.licence:
        head["license"] = facts.licence
    base = next((value for node in facts.training if (value := _pretrained(node))), None)
    if base and "/" in base and not base.startswith(("/", ".")):
        head["base_model"] = base
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"


def _origin(facts: CardFacts) -> Iterator[str]:
    if not facts.training:
        yield "No record of how this model was made lies beside it.\n"
        return
    yield "How it was made, from the base model on:\n"
    yield "| stage | settings |\n|---|---|"
    for node in facts.training:
        said = "; ".join(f"{key} {value}" for key, value in _settings(node).items())
        yield f"| `{node['stage']}` | {_cell(said)} |"
    base = _pretrained(facts.training[0])
    licence = f", licence: {_base_licence(facts, base)}" if base else ""
    yield f"\nBase model: {f'`{base}`' if base else 'none, trained from random weights'}{licence}.\n"


def _base_licence(facts: CardFacts, base: str) -> str:
    """Returns the licence of the base model: its own setting says that of a package's file."""
    named = run_settings(facts.training[0]).get("pretrained")
    own = named.get("licence") if isinstance(named, Mapping) else None
    return str(own) if own else facts.licences.of_source(base)


def _settings(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the telling settings of a stage's run, and its seed."""
    run = run_settings(node)
    shown = {key: run[key] for key in SHOWN if run.get(key) not in (None, "none")}
    shown = {
        key: value.get("kind", value) if isinstance(value, Mapping) else value for key, value in shown.items()
    }
    rate = (run.get("optimiser") or {}).get("learning_rate")
    pretrained = _pretrained(node)
    return {
        **({"pretrained": pretrained} if pretrained else {}),
        **shown,
        **({} if rate is None else {"learning rate": rate}),
        **({} if node.get("seed") is None else {"seed": node["seed"]}),
    }


def _pretrained(node: Mapping[str, Any]) -> str | None:
    """Returns what a base model was taken from: an id or path, with its revision; None of others."""
    run = run_settings(node)
    named = run.get("pretrained")
    if isinstance(named, Mapping):
        named = next((str(named[key]) for key in ("hub", "path", "package") if named.get(key)), None)
    return str(named) if named else None


def _data(facts: CardFacts) -> Iterator[str]:
    raw = facts.ancestry.get("raw", ())
    if not raw:
        return
    yield "## Data\n\n| read by | files | licence |\n|---|---|---|"
    readers: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in raw:
        readers.setdefault((row["read_by"], row["path"].rpartition("/")[0]), []).append(row)
    for (stage, folder), rows in readers.items():
        names = ", ".join(f"`{row['path']}`" for row in rows[:4])
        more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        yield f"| `{stage}` | {_cell(names + more)} | {_cell(facts.licences.of_source(folder))} |"
    yield ""


def _figures(facts: CardFacts) -> Iterator[str]:
    if not facts.evaluations:
        yield "## Evaluation\n\nNo evaluation of these weights is recorded.\n"
        return
    yield "## Evaluation\n\nAccuracy on held-out questions, with Wilson's 95 % interval.\n"
    yield "| evaluation | data | decoding | right | accuracy | 95 % interval |\n|---|---|---|---|---|---|"
    for evaluation in facts.evaluations:
        for decoding, figures in evaluation.figures["heldout"].items():
            cells = (
                f"`{evaluation.name}`",
                f"`{evaluation.data}`",
                decoding,
                f"{figures['right']} of {figures['n']}",
                f"{figures['accuracy']:.3f}",
                f"{figures['low']:.3f} to {figures['high']:.3f}",
            )
            yield f"| {' | '.join(cells)} |"
    yield ""


def _prompt(facts: CardFacts) -> Iterator[str]:
    yield "## Prompt\n"
    template = facts.tokens.template
    if facts.tokens.chat is not None:
        yield "The tokenizer's chat template writes it (`tokenizer.apply_chat_template`).\n"
    else:
        written = f"{template.before}{{question}}{template.after}"
        yield f"It has no chat template. A question is written as\n\n```\n{written}\n```\n"
    ends = ", ".join(f"`{facts.tokens.tokenizer.id_to_token(id)}`" for id in facts.tokens.stop_ids)
    yield f"A response ends with {ends}.\n"


def _verification(facts: CardFacts) -> Iterator[str]:
    yield "## How to verify\n\nThe weights are these bytes (sha256):\n\n```"
    for path in sorted(facts.folder.glob("*.safetensors")):
        yield f"{digest(path).sha256}  {path.name}"
    yield "```\n"
    if not facts.ancestry:
        return
    git: Mapping[str, Any] = next(
        (node["git"] for node in reversed(facts.nodes) if node["git"].get("commit")), {}
    )
    place = f", at commit `{git['commit']}`" if git.get("commit") else ""
    place += " and changes that it does not hold" if place and git.get("dirty") else ""
    yield (
        "`lineage.json` has the digests of every input, setting, module and package. In a clone of the "
        f"project that trained it{place}: `whetstone audit FOLDER` compares every byte, "
        f"`whetstone audit models/{facts.name} --replay` trains the last stage again and compares.\n"
    )
    problems = facts.ancestry.get("problems") or ()
    if problems:
        yield "**It does not verify**:\n"
        yield from (f"- `{row['path']}`: {row['problem']}" for row in problems)
        yield ""


def _is_model(out: str) -> bool:
    return out.startswith("models/") and out.endswith("/model")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
