"""What the sections of params.yaml must agree on beside the references that dvc.yaml's templates make
(`references.py`).

Read from the raw file, so that it is said even when something else is wrong too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.graph.references import Graph, Problem, at
from flows.graph.sections import below
from pipelines.corpora.roles import absent, reachable, roles_of
from pipelines.settings import RULE, laid_over


def contradictions(raw: dict[str, Any], root: Path | None = None) -> Iterator[Problem]:
    """Every contradiction of the file; `root` is the project whose dvc.yaml counts (null: this one)."""
    yield from Graph(raw, root).problems()
    yield from _methods(raw)
    yield from _validated(raw)
    yield from _tokenizers(raw)
    yield from _questions(raw)
    yield from _boards(raw)
    yield from _exams(raw)


def checkers(params: Any) -> Iterator[Problem]:
    """Of a file that is right by itself: the exact checker that settings name must be the one that their data
    names, which the stage would only find out once it has started.
    """
    sets = {**params.corpus, **params.rlvr_set}
    named = {
        f"rl.runs.{name}.{'checker' if run.checker else 'reward'}": (run.data, run.checker or run.reward.kind)
        for name, run in params.rl.runs.items()
    }
    named |= {
        f"evaluate.runs.{name}.reward": (run.data, run.reward.kind)
        for name, run in params.evaluate.runs.items()
    }
    for key, (data, checker) in named.items():
        if data in sets and checker in RULE and checker != sets[data].reward:
            where = f"{'corpus' if data in params.corpus else 'rlvr_set'}.{data}.reward"
            also = (
                f", or name that one in {key.removesuffix('reward')}checker"
                if key.endswith("reward") and key.startswith("rl")
                else ""
            )
            yield key, f"is {checker}, and {where} is {sets[data].reward}: make them equal{also}"


def mapping(raw: Any, *path: str) -> dict[str, Any]:
    """The mapping at a path; empty where the file holds none (its check says so)."""
    value = at(raw, path)
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def names(raw: Any, *path: str) -> list[str]:
    """The names in the list or the keys of the mapping at a path."""
    value = at(raw, path)
    return [str(name) for name in value] if isinstance(value, (list, dict)) else []


def _methods(raw: dict[str, Any]) -> Iterator[Problem]:
    """Runs of policy optimisation name a preset."""
    known = names(raw, "rl", "methods")
    for name, settings in mapping(raw, "rl", "runs").items():
        yield from _one_of(f"rl.runs.{name}.method", at(settings, ("method",)), known, "preset of rl.methods")


def _validated(raw: dict[str, Any]) -> Iterator[Problem]:
    """Stages that look at validation rows need a corpus that can have some."""
    for section in ("sft", "rl"):
        for run, settings in mapping(raw, section, "runs").items():
            if not isinstance(settings, dict):
                continue
            laid = laid_over(below(raw, (section, "runs"), settings), settings)
            if laid.get("validation_every") and (why := _without_validation(raw, settings.get("data"))):
                yield f"{section}.runs.{run}.validation_every", f"{why}; or set validation_every: 0"


def _without_validation(raw: dict[str, Any], name: Any) -> str:
    """Why a corpus can have no validation rows, and what would give it some; empty where it can."""
    corpus = mapping(raw, "corpus", name) if isinstance(name, str) else {}
    sources = {key: source for key, source in mapping(corpus, "sources").items() if isinstance(source, dict)}
    shares = [
        corpus.get(key, default) for key, default in (("validation_share", 0.1), ("heldout_share", 0.0))
    ]
    if not sources or not all(isinstance(share, int | float) for share in shares):
        return ""  # no corpus, or wrong: said elsewhere
    if "validation" in reachable(sources, *shares):
        return ""
    roles = frozenset[str]().union(*(roles_of(source) for source in sources.values()))
    return f"{absent('validation', roles)} in corpus.{name}.sources"


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


def _questions(raw: dict[str, Any]) -> Iterator[Problem]:
    """A set of preferences holds demonstrations and pairs, and no questions that a policy could be asked."""
    for section in ("rl", "evaluate"):
        for name, run in mapping(raw, section, "runs").items():
            data = at(run, ("data",))
            if data in names(raw, "preferences") and data not in names(raw, "corpus"):
                yield (
                    f"{section}.runs.{name}.data",
                    f"{data} is a set of preferences, which holds no questions: name a corpus",
                )


def _boards(raw: dict[str, Any]) -> Iterator[Problem]:
    """Boards compare models that are assessed."""
    for board, settings in mapping(raw, "wins").items():
        matches = at(settings, ("matches",))
        for match in matches if isinstance(matches, list) else []:
            for model in match if isinstance(match, list) else []:
                yield from _one_of(
                    f"wins.{board}.matches", model, names(raw, "assess", "models"), "model of assess.models"
                )


def _exams(raw: dict[str, Any]) -> Iterator[Problem]:
    """Sets unite exams by name."""
    exams = names(raw, "exams")
    for name, settings in mapping(raw, "rlvr_set").items():
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
    hint = f"nearest: {close[0]}" if close else f"known: {', '.join(known) or 'none'}"
    yield key, f"no {what} is called {value!r}; {hint}"
