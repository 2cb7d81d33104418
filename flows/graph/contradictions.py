"""What the sections of params.yaml must agree on: models that others start from, sets of pairs, reward models, rounds, names of folders.

Read from the raw file, so that it is said even when something else is wrong too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from flows.graph.models import POLICY_RUNS, SCORING_RUNS, Made, made, mapping, names, presets
from flows.graph.sections import at, below
from flows.graph.verifier_contradictions import verifier_contradictions
from pipelines.corpora.roles import absent, reachable, roles_of
from pipelines.settings import laid_over

Problem = tuple[str, str]  # key, what is wrong with it

FROM_PAIRS = (("start",), ("preferences",))
TEMPLATED = {"ppo_rm": (("start",), ("reward", "model")), "dpo_iter": (("start",), ("scorer",))}
"""What dvc.yaml makes a run's inputs of, where that is not FROM_PAIRS; it reads a run alone, without what the runs share."""


def contradictions(raw: dict[str, Any]) -> Iterator[Problem]:
    """Every contradiction of the file."""
    models = list(made(raw))
    yield from _names(raw, models)
    yield from _corpora_and_methods(raw)
    yield from _validated(raw)
    yield from _rounds(raw)
    yield from _runs(raw, models)
    yield from _measured(raw, models)
    yield from verifier_contradictions(raw, models)
    yield from _cycles(raw)


def _names(raw: dict[str, Any], models: list[Made]) -> Iterator[Problem]:
    """Names become stage and folder names, and no two stages write one folder."""
    named = {f"{section}.{name}": name for section in ("corpus", "preferences", "wins") for name in names(raw, section)}
    named |= {f"rl.{name}": name for name in presets(raw)} | {one.key: one.name for one in models}
    for key, name in named.items():
        if not name.replace("_", "").replace("-", "").isalnum():
            yield key, "names are letters, digits, _ and - (they become stage and folder names)"
    first: dict[str, Made] = {}
    listed = names(raw, "rl", "methods")
    for one in [*models, *(Made(name, f"rl.{name}", f"rl@{name}") for name in presets(raw) if name not in listed)]:
        other = first.setdefault(one.name, one)
        if other is not one:
            kind = "a method" if one.key.startswith("rl.") else "a run"
            yield one.key, f"{kind} cannot be called {one.name}: that is the model folder of the stage {other.stage}"


def _corpora_and_methods(raw: dict[str, Any]) -> Iterator[Problem]:
    corpora = names(raw, "corpus")
    chosen = mapping(raw, "train").get("corpus")
    if isinstance(chosen, str) and chosen not in corpora:
        yield "train.corpus", f"no corpus {chosen!r}; the section corpus holds: {', '.join(corpora) or 'none'}"
    known = presets(raw)
    for method in names(raw, "rl", "methods"):
        if method not in known:
            yield "rl.methods", f"{method!r} has no preset; add a section rl.{method} or choose of: {', '.join(known)}"


def _validated(raw: dict[str, Any]) -> Iterator[Problem]:
    """Stages that look at validation rows need a corpus that can have some."""
    name = mapping(raw, "train").get("corpus")
    corpus = mapping(raw, "corpus", name) if isinstance(name, str) else {}
    sources = {key: source for key, source in mapping(corpus, "sources").items() if isinstance(source, dict)}
    shares = [corpus.get(key, default) for key, default in (("validation_share", 0.1), ("heldout_share", 0.0))]
    if not sources or not all(isinstance(share, int | float) for share in shares):
        return  # said elsewhere
    if "validation" in reachable(sources, *shares):
        return
    roles = frozenset[str]().union(*(roles_of(source) for source in sources.values()))
    wanting = {"sft": mapping(raw, "sft")}
    wanting |= {
        f"rl.{method}": laid_over(mapping(raw, "rl", "common"), mapping(raw, "rl", method)) for method in names(raw, "rl", "methods")
    }
    for key, settings in wanting.items():
        if settings.get("validation_every"):
            yield f"{key}.validation_every", f"{absent('validation', roles)} in corpus.{name}.sources; or set validation_every: 0"


def _rounds(raw: dict[str, Any]) -> Iterator[Problem]:
    """Rounds are 1, 2, …; each but the first starts from the one before."""
    rounds = mapping(raw, "dpo_iter", "rounds")
    wanted = [str(number) for number in range(1, len(rounds) + 1)]
    if sorted(rounds) != sorted(wanted):
        yield "dpo_iter.rounds", f"rounds are numbered from 1 without a gap: {', '.join(wanted)}, not {', '.join(rounds)}"
        return
    for number in wanted:
        start, before = at(rounds, (number, "start")), f"dpo_iter_{int(number) - 1}"
        if number != "1" and start != before:
            yield f"dpo_iter.rounds.{number}.start", f"round {number} goes on from the one before: start must be {before} (found {start!r})"
        if number == "1" and str(start).startswith("dpo_iter_"):
            yield "dpo_iter.rounds.1.start", f"the first round cannot start from a round (found {start!r})"


def _runs(raw: dict[str, Any], models: list[Made]) -> Iterator[Problem]:
    """Models, sets of pairs and reward models that a run names must be made by a stage."""
    answering = [one.name for one in models if one.answers]
    judges, sets = names(raw, "reward_model", "runs"), names(raw, "preferences")
    for section, path, name, settings in _members(raw):
        key = f"{section}.{path}.{name}"
        whole = laid_over(below(raw, (section, path)), settings)
        for field in TEMPLATED.get(section, FROM_PAIRS):
            if at(settings, field) is None:
                elsewhere = "; what the runs share it does not read" if at(whole, field) is not None else ""
                yield ".".join((key, *field)), f"must stand in {key} itself: dvc.yaml makes the stage's inputs of it{elsewhere}"
        yield from _one_of(f"{key}.start", whole.get("start"), answering, "model that answers")
        yield from _one_of(f"{key}.preferences", whole.get("preferences"), sets, "set of the section preferences")
        yield from _one_of(f"{key}.reward.model", at(whole, ("reward", "model")), judges, "run of reward_model.runs")
        if whole.get("scorer") != whole.get("start"):
            yield from _one_of(f"{key}.scorer", whole.get("scorer"), judges, "run of reward_model.runs")
    for name, settings in mapping(raw, "preferences").items():
        yield from _one_of(f"preferences.{name}.origin", _model_of(at(settings, ("origin",))), answering, "model that answers")


def _measured(raw: dict[str, Any], models: list[Made]) -> Iterator[Problem]:
    """What is evaluated, assessed and compared, and by whom."""
    answering = [one.name for one in models if one.answers]
    for model in names(raw, "evaluate", "models"):
        if model not in answering:
            yield "evaluate.models", f"no stage makes a model {model!r}; made are: {', '.join(answering)}"
    assessed = mapping(raw, "assess", "models")
    for model, settings in assessed.items():
        key = f"assess.models.{model}"
        yield from _one_of(key, model, answering, "model that answers")
        yield from _one_of(f"{key}.reference", at(settings, ("reference",)), answering, "model that answers")
        yield from _one_of(
            f"{key}.preferences", at(settings, ("preferences",)), names(raw, "preferences"), "set of the section preferences"
        )
    graders = mapping(raw, "assess", "graders") if assessed else {}
    reward, cost = graders.get("reward_model"), graders.get("cost_model")
    yield from _one_of("assess.graders.reward_model", reward, names(raw, "reward_model", "runs"), "run of reward_model.runs")
    if cost != reward:
        yield from _one_of("assess.graders.cost_model", cost, names(raw, "cost_model", "runs"), "run of cost_model.runs")
    for board, settings in mapping(raw, "wins").items():
        matches = at(settings, ("matches",))
        for match in matches if isinstance(matches, list) else []:
            for model in match if isinstance(match, list) else []:
                yield from _one_of(f"wins.{board}.matches", model, list(assessed), "model of assess.models")


def _cycles(raw: dict[str, Any]) -> Iterator[Problem]:
    """A run that starts, through others or through pairs that they sampled, from itself."""
    origins = {name: _model_of(at(item, ("origin",))) for name, item in mapping(raw, "preferences").items()}
    needs: dict[str, set[str]] = {}
    for section, _, name, settings in _members(raw):
        found = {
            settings.get("start"),
            settings.get("scorer"),
            at(settings, ("reward", "model")),
            origins.get(str(settings.get("preferences"))),
        }
        needs[f"dpo_iter_{name}" if section == "dpo_iter" else name] = {str(one) for one in found if one}
    reached = {model: _reached(needs, model) for model in needs}
    for model, others in reached.items():
        if model in others:
            between = sorted(one for one in others - {model} if model in reached.get(one, ()))
            yield f"models/{model}", f"{model} needs itself to be made, through {', '.join(between) or 'its own settings'}"


def _reached(needs: dict[str, set[str]], model: str) -> set[str]:
    """All that `model` needs, directly or not."""
    seen, todo = set[str](), [model]
    while todo:
        fresh = needs.get(todo.pop(), set()) - seen
        seen |= fresh
        todo += fresh
    return seen


def _members(raw: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(section, `runs` or `rounds`, name, settings) of everything that starts from a model."""
    for section, path in (*((section, "runs") for section in (*SCORING_RUNS, *POLICY_RUNS)), ("dpo_iter", "rounds")):
        for name, settings in mapping(raw, section, path).items():
            if isinstance(settings, dict):
                yield section, path, name, settings


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
