"""What the sections of the verifier branch must agree on: exams, sets, judgements, verifiers, and the models that start from each other."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from flows.graph.models import Made, mapping, names
from flows.graph.sections import at, below
from pipelines.settings import laid_over

Problem = tuple[str, str]  # key, what is wrong with it

TEMPLATED = {"rlvr_start": ("set",), "verifier": ("start", "judgements", "set"), "rlvr": ("start", "set", "verifier")}
"""What dvc.yaml makes a run's inputs of: it reads a run alone, without what the runs share."""


def verifier_contradictions(raw: dict[str, Any], models: list[Made]) -> Iterator[Problem]:
    """Every contradiction of the branch."""
    answering = [one.name for one in models if one.answers]
    sets, verifiers = names(raw, "rlvr_set"), names(raw, "verifier", "runs")
    known = {"set": sets, "start": answering, "judgements": names(raw, "judgements"), "verifier": verifiers}
    yield from _sets(raw)
    for name, settings in mapping(raw, "judgements").items():
        yield from _one_of(f"judgements.{name}.set", at(settings, ("set",)), sets, "set of rlvr_set")
        if at(settings, ("source", "kind")) == "explore":
            parts = str(at(settings, ("origin",))).split("/")
            yield from _one_of(f"judgements.{name}.origin", parts[1] if len(parts) > 1 else None, answering, "model that answers")
    for section, fields in TEMPLATED.items():
        for name, settings in mapping(raw, section, "runs").items():
            key, whole = f"{section}.runs.{name}", laid_over(below(raw, (section, "runs")), settings if isinstance(settings, dict) else {})
            for field in fields:
                if at(settings, (field,)) is None:
                    yield f"{key}.{field}", f"must stand in {key} itself: dvc.yaml makes the stage's inputs of it"
                yield from _one_of(f"{key}.{field}", whole.get(field), known[field], field)
    for name, settings in mapping(raw, "rlvr_evaluate", "models").items():
        key = f"rlvr_evaluate.models.{name}"
        yield from _one_of(key, name, answering, "model that answers")
        yield from _one_of(f"{key}.set", at(settings, ("set",)), sets, "set of rlvr_set")


def _sets(raw: dict[str, Any]) -> Iterator[Problem]:
    corpora, exams = names(raw, "corpus"), names(raw, "exams")
    for section in ("exams", "rlvr_set", "judgements"):
        for name in names(raw, section):
            if not name.replace("_", "").replace("-", "").isalnum():
                yield f"{section}.{name}", "names are letters, digits, _ and - (they become stage and folder names)"
    for name, settings in mapping(raw, "rlvr_set").items():
        if name in corpora or name in ("exams", "judgements", "preferences", "reference", "dpo_iter", "verifier_gate"):
            yield f"rlvr_set.{name}", f"a set cannot be called {name}: data/{name} is another stage's folder"
        wanted = at(settings, ("exams", "exams"))
        for key in ("exams", "against"):
            named = at(settings, ("exams", key))
            for exam in named if isinstance(named, list) else []:
                yield from _one_of(f"rlvr_set.{name}.exams.{key}", exam, exams, "exam of the section exams")
        if wanted and at(settings, ("origin",)) != "data/exams":
            yield f"rlvr_set.{name}.origin", "a set of exams reads them from data/exams"


def _one_of(key: str, value: Any, known: list[str], what: str) -> Iterator[Problem]:
    """A problem where a value is given that is not known, with its nearest neighbour."""
    if value is None or str(value) in known:
        return
    close = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
    yield key, f"no {what} is called {value!r}; {hint}"
