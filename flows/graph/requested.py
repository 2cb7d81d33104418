"""A stage that is asked for by name and whose preset params.yaml holds, but no run names: what putting it
into the graph takes.

`rl@NAME` needs a run NAME of rl.runs, which starts and learns as the first run there does that a rule
rewards; `evaluate@NAME` needs a run NAME of evaluate.runs, which answers what the model NAME was trained
on, and, where no stage makes that model yet, the run of rl.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.graph.contradictions import mapping, names
from flows.graph.references import NONE, Graph, at

Addition = tuple[str, str, str]  # section, key, name


def unlisted(raw: Any) -> list[str]:
    """Presets that have no run of their name."""
    runs = names(raw, "rl", "runs")
    return [name for name in names(raw, "rl", "methods") if name not in runs] if _pattern(raw) else []


def missing(raw: Any, targets: Iterable[str]) -> list[Addition]:
    """What is to be added, in order and each once. A target that names no preset or model is left for the
    plan to refuse.
    """
    found: list[Addition] = []
    known, evaluated = unlisted(raw), names(raw, "evaluate", "runs")
    trained = Graph(raw).models("policy")
    for target in targets:
        stage, _, name = target.partition("@")
        if stage not in ("rl", "evaluate") or name not in [*known, *(trained if stage == "evaluate" else ())]:
            continue
        if name in known:
            found.append(("rl", "runs", name))
        if stage == "evaluate" and name not in evaluated:
            found.append(("evaluate", "runs", name))
    return list(dict.fromkeys(found))


def add(document: Any, additions: Iterable[Addition]) -> None:
    """Enter them into a document of `params_file.load_with_comments`, at the end of their sections. What is
    no such section is left to the check, and what they refer to nothing with to `fill`.
    """
    for section, key, name in additions:
        values = document.get(section)
        if not isinstance(values, dict):
            continue
        held = values.setdefault(key, {})
        if not isinstance(held, dict):
            continue
        if section == "evaluate":
            held[name] = _flow(_answered(document, name))
        elif pattern := _pattern(document):
            held[name] = _flow({"method": name, **pattern})


def _answered(raw: Any, model: str) -> dict[str, Any]:
    """What a model is asked: the data that its run, or the run that it starts from, learns on, in the way of
    another evaluation on that data; what is evaluated first where no run says.
    """
    evaluations = [run for run in mapping(raw, "evaluate", "runs").values() if isinstance(run, dict)]
    data = _learnt(raw, model) or next((run["data"] for run in evaluations if "data" in run), "")
    pattern = next((run for run in evaluations if run.get("data") == data), {})
    return {**pattern, "data": data, "model": model}


def _learnt(raw: Any, model: Any) -> Any:
    """The questions that a model was trained on last; None where its runs name none."""
    asked = names(raw, "corpus") + names(raw, "rlvr_set")
    for _ in range(100):  # a circle of runs is refused elsewhere
        run = next(
            (
                found
                for kind in ("rl", "sft", "dpo", "base")
                if (found := at(raw, (kind, "runs", str(model))))
            ),
            None,
        )
        data = at(run, ("data",))
        if run is None or data in asked:
            return data
        model = at(run, ("start",))
    return None


def _pattern(raw: Any) -> dict[str, Any]:
    """`start` and `data` of the first run that a rule rewards; empty where there is none."""
    for settings in mapping(raw, "rl", "runs").values():
        if (
            isinstance(settings, dict)
            and settings.get("judge", NONE) == NONE
            and {"start", "data"} <= settings.keys()
        ):
            return {key: settings[key] for key in ("start", "data")}
    return {}


def _flow(values: dict[str, Any]) -> Any:
    """A mapping that is written in one line."""
    from ruamel.yaml.comments import CommentedMap

    made = CommentedMap(values)
    made.fa.set_flow_style()
    return made
