"""What the sections of params.yaml must agree on: models that others start from, sets of pairs, reward models, rounds, names of folders.

Read from the raw file, so that it is said even when something else is wrong too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from flows.graph.models import POLICY_RUNS, SCORING_RUNS, Made, made, mapping, names, presets
from flows.graph.sections import below
from pipelines.settings import laid_over

Problem = tuple[str, str]  # key, what is wrong with it


def contradictions(raw: dict[str, Any]) -> Iterator[Problem]:
    """Every contradiction of the file."""
    models = list(made(raw))
    yield from _names(raw, models)
    yield from _corpora_and_methods(raw)
    yield from _rounds(raw)
    yield from _references(raw, models)
    yield from _cycles(raw)


def _names(raw: dict[str, Any], models: list[Made]) -> Iterator[Problem]:
    """Names become stage and folder names, and no two stages write one folder."""
    named = {f"corpus.{name}": name for name in names(raw, "corpus")} | {f"preferences.{name}": name for name in names(raw, "preferences")}
    named |= {f"rl.{name}": name for name in presets(raw)} | {one.key: one.name for one in models}
    named |= {f"wins.{key}": key for key in names(raw, "wins", "pairs")}
    for key, name in named.items():
        if not name.replace("_", "").replace("-", "").isalnum():
            yield key, "names are letters, digits, _ and - (they become stage and folder names)"
    first: dict[str, Made] = {}
    for one in [*models, *(Made(name, f"rl.{name}", f"rl@{name}") for name in presets(raw) if name not in names(raw, "rl", "methods"))]:
        other = first.setdefault(one.name, one)
        if other is not one:
            kind = "a method cannot be called " if one.key.startswith("rl.") else "a run cannot be called "
            yield one.key, f"{kind}{one.name}: that is the model folder of the stage {other.stage}"


def _corpora_and_methods(raw: dict[str, Any]) -> Iterator[Problem]:
    corpora = names(raw, "corpus")
    chosen = mapping(raw, "train").get("corpus")
    if isinstance(chosen, str) and chosen not in corpora:
        yield "train.corpus", f"no corpus {chosen!r}; the section corpus holds: {', '.join(corpora) or 'none'}"
    known = presets(raw)
    for method in names(raw, "rl", "methods"):
        if method not in known:
            yield "rl.methods", f"{method!r} has no preset; add a section rl.{method} or choose of: {', '.join(known)}"


def _rounds(raw: dict[str, Any]) -> Iterator[Problem]:
    """Rounds are 1, 2, …; each but the first starts from the one before."""
    rounds = mapping(raw, "dpo_iter", "rounds")
    wanted = [str(number) for number in range(1, len(rounds) + 1)]
    if sorted(rounds) != sorted(wanted):
        yield "dpo_iter.rounds", f"rounds are numbered from 1 without a gap: {', '.join(wanted)}, not {', '.join(rounds)}"
        return
    for number in wanted:
        settings = rounds[number]
        start = settings.get("start") if isinstance(settings, dict) else None
        before = f"dpo_iter_{int(number) - 1}"
        if number != "1" and start != before:
            yield (
                f"dpo_iter.rounds.{number}.start",
                f"round {number} goes on from round {int(number) - 1}: start must be {before} (found {start!r})",
            )
        if number == "1" and str(start).startswith("dpo_iter_"):
            yield "dpo_iter.rounds.1.start", f"the first round cannot start from a round (found {start!r})"


def _references(raw: dict[str, Any], models: list[Made]) -> Iterator[Problem]:
    """Models, sets of pairs and reward models that a setting names must be made by a stage."""
    answering = [one.name for one in models if one.answers]
    scoring = {section: names(raw, section, "runs") for section in SCORING_RUNS}
    sets = names(raw, "preferences")
    for section, path in _members():
        own = mapping(raw, section, path)
        for name, settings in own.items():
            key = f"{section}.{path}.{name}"
            if not isinstance(settings, dict):
                continue
            whole = laid_over(below(raw, (section, path)), settings)
            for field in _template_fields(section):
                if field not in settings and field in whole:
                    yield (
                        f"{key}.{field}",
                        f"{field} must stand in the member itself, for dvc.yaml reads it there; now it stands in what it shares",
                    )
            yield from _one_of(f"{key}.start", whole.get("start"), answering, "model that answers")
            yield from _one_of(f"{key}.preferences", whole.get("preferences"), sets, "set of the section preferences")
            yield from _one_of(f"{key}.reward_model", whole.get("reward_model"), scoring["reward_model"], "run of reward_model.runs")
    for name, settings in mapping(raw, "preferences").items():
        origin = _model_of(settings.get("origin")) if isinstance(settings, dict) else None
        yield from _one_of(f"preferences.{name}.origin", origin, answering, "model that answers")
    yield from _evaluated(raw, answering, scoring, sets)


def _evaluated(raw: dict[str, Any], answering: list[str], scoring: dict[str, list[str]], sets: list[str]) -> Iterator[Problem]:
    for model in names(raw, "evaluate", "models"):
        if model not in answering:
            yield "evaluate.models", f"no stage makes a model {model!r}; made are: {', '.join(answering)}"
    assess = mapping(raw, "assess")
    for model, settings in mapping(raw, "assess", "models").items():
        yield from _one_of(f"assess.models.{model}", model, answering, "model that answers")
        reference = settings.get("reference") if isinstance(settings, dict) else None
        yield from _one_of(f"assess.models.{model}.reference", reference, answering, "model that answers")
    yield from _one_of("assess.reward_model", assess.get("reward_model"), scoring["reward_model"], "run of reward_model.runs")
    yield from _one_of("assess.cost_model", assess.get("cost_model"), scoring["cost_model"], "run of cost_model.runs")
    yield from _one_of("assess.preferences", assess.get("preferences"), sets, "set of the section preferences")
    for name, pair in mapping(raw, "wins", "pairs").items():
        for side in ("first", "second"):
            chosen = pair.get(side) if isinstance(pair, dict) else None
            yield from _one_of(f"wins.pairs.{name}.{side}", chosen, names(raw, "assess", "models"), "model of assess.models")


def _cycles(raw: dict[str, Any]) -> Iterator[Problem]:
    """A run that starts, through others or through pairs that they sampled, from itself."""
    needs: dict[str, set[str]] = {}
    origins = {name: _model_of(item.get("origin")) for name, item in mapping(raw, "preferences").items() if isinstance(item, dict)}
    for section, path in _members():
        for name, settings in mapping(raw, section, path).items():
            if isinstance(settings, dict):
                model = f"dpo_iter_{name}" if section == "dpo_iter" else name
                found = {settings.get("start"), settings.get("reward_model"), origins.get(str(settings.get("preferences")))}
                needs[model] = {str(one) for one in found if one}
    for model in needs:
        seen, todo = set[str](), [model]
        while todo:
            for one in needs.get(todo.pop(), ()):
                if one not in seen:
                    seen.add(one)
                    todo.append(one)
        if model in seen:
            yield f"models/{model}", f"{model} needs itself to be made, through {', '.join(sorted(seen - {model})) or 'its own settings'}"


def _members() -> Iterator[tuple[str, str]]:
    yield from ((section, "runs") for section in (*SCORING_RUNS, *POLICY_RUNS))
    yield "dpo_iter", "rounds"


def _template_fields(section: str) -> Iterable[str]:
    """Fields that dvc.yaml's declaration of the stage is filled in with."""
    return {"ppo_rm": ("start", "reward_model"), "dpo_iter": ("start", "reward_model")}.get(section, ("start", "preferences"))


def _model_of(origin: Any) -> str | None:
    """The model that a set of pairs is sampled from, if it is."""
    parts = str(origin).split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "models" else None


def _one_of(key: str, value: Any, known: list[str], what: str) -> Iterator[Problem]:
    """A problem where a value is given that is not known, with its nearest neighbour."""
    if value is None or str(value) in known:
        return
    close = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
    yield key, f"no {what} is called {value!r}; {hint}"
