"""What a recipe would make of the first rows of a user's data: the sets are built by the code of their stages
in a temporary folder, then tokenised as the model will read them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flows.graph.params import Identity
from flows.new.data import NewError, Part
from flows.new.limits import FREE, fit, limits, names, rounded_up, tolerated
from flows.new.model import GivenModel
from flows.new.recipe import sections
from flows.new.set_look import Lengths, SetLook
from flows.new.wish import Fitted, Wish
from flows.show import Shown, shown_pair, shown_record
from pipelines.corpora.build import build
from pipelines.corpora.corpus_params import CorpusParams
from pipelines.corpora.preferences.preference_set import build_preferences, read_source
from pipelines.corpora.records.example import Example
from pipelines.corpora.records.pair_tokens import tokenise_pairs
from pipelines.corpora.records.set_rules import SetRules
from pipelines.corpora.records.tokenised import tokenise
from pipelines.models.chat_renderer import TemplateFault
from tasks.preferences_params import PreferenceSet

ROWS = 2000  # of each file that are looked at
NEARLY_ALL = 0.999_999  # of a set's rows may be bad while it is looked at
EXAMPLES = 3
SHARES = (0.1, 0.2, 0.3, 0.5)  # of few rows, a small share holds none
SEED: int = Identity.model_fields["seed"].default  # of the recipe, which states none
FILES = ("sft", "rl", "validation", "heldout")


def look(wish: Wish, stages: Sequence[str], folder: Path) -> tuple[Fitted, list[SetLook]]:
    """Returns what the recipe should say of shares and limits, and the looks at its sets. Raises NewError
    where the rows give no set.
    """
    fitted, looks = Fitted(), []
    value = sections(wish, stages, fitted)
    if "corpus" in value:
        looks.append(_corpus_look(wish, stages, fitted, folder))
    if "preferences" in value:
        looks.append(_pairs_look(wish, fitted))
    return fitted, looks


def _corpus_look(wish: Wish, stages: Sequence[str], fitted: Fitted, folder: Path) -> SetLook:
    """Looks at the set of questions and demonstrations, and fits its shares and limits."""
    held_out = {part.role for part in wish.rows}

    def made(share: float) -> Any:
        fitted.heldout_share, fitted.validation_share = share, 0.0 if "validation" in held_out else share / 2
        value = sections(wish, stages, fitted)["corpus"][wish.name]
        params = CorpusParams.model_validate({**value, "max_bad_rows": NEARLY_ALL})
        target = folder / f"corpus-{share}"
        return build(wish.name, params, Path(params.raw), SEED, target, processes=1, most=ROWS)

    corpus = _with_some_held_out(made, wish.rows)
    path = corpus.examples.folder
    examples = {file: list(corpus.examples[file]) for file in FILES if corpus.metrics["records"].get(file)}
    ledgers = [*corpus.metrics["sources"].values(), corpus.metrics["not_encodable"]]
    seen = _seen(wish.name, corpus.metrics["rows"], ledgers)
    seen.files = {file: len(rows) for file, rows in examples.items()}
    fitted.max_bad_rows = tolerated(ledgers, wish.rows)
    order = FILES if "sft" in stages else FILES[1:]
    first = next((file for file in order if file in examples), "sft")
    if wish.model.tokens is None:
        _untokenised(seen, [row for rows in examples.values() for row in rows])
        seen.examples = [_text_alone(wish, path, first, row) for row in examples[first][:EXAMPLES]]
        return seen
    rules = replace(SetRules.read(path), max_prompt_tokens=FREE, max_response_tokens=FREE, max_bad_rows=1.0)
    records, unread = _tokenised(examples, wish, rules, seen)
    fitted.max_bad_rows = max(fitted.max_bad_rows, unread)
    prompts = [len(record.prompt_ids) for record in records]
    responses = [len(record.response_ids) for record in records if record.response_ids]
    _note(seen, {"prompt": prompts, "response": responses})
    fit(fitted, wish.model, prompts, responses)
    long = sum(length > (fitted.max_prompt_tokens or FREE) for length in prompts)
    seen.left_out += Counter({"long prompt": long} if long else {})
    for index, row in enumerate(examples[first][:EXAMPLES]):
        parts = shown_record(asdict(row), wish.model.tokens, rules)
        seen.examples.append(_shown(wish, seen.name, first, index, len(examples[first]), row, parts))
    return seen


def _tokenised(
    examples: Mapping[str, Sequence[Example]], wish: Wish, rules: SetRules, seen: SetLook
) -> tuple[list[Any], float]:
    """Returns the records, and the largest share of a file's rows that the model cannot be given."""
    assert wish.model.tokens is not None
    records, unread = list[Any](), 0.0
    for file, rows in examples.items():
        try:
            tokenised = tokenise(rows, wish.model.tokens, rules, file)
        except (ValueError, TemplateFault) as error:
            raise _unreadable(wish.rows, wish.model, error) from error
        records += tokenised.records
        unread = max(unread, rounded_up(tokenised.left_out["not_encodable"], len(rows)))
        seen.left_out += Counter(
            {reason.replace("_", " "): number for reason, number in tokenised.left_out.items()}
        )
    return records, unread


def _unreadable(parts: Sequence[Part], model: GivenModel, error: Exception) -> NewError:
    return NewError(f"{names(parts)}: the model {model.name} cannot read it: {error}")


def _seen(name: str, rows: Mapping[str, Any], ledgers: Sequence[Mapping[str, Any]]) -> SetLook:
    bad = [line for ledger in ledgers for line in ledger.get("first_bad", ())]
    return SetLook(name, rows, bad, {}, cut=any(ledger.get("first_rows_only") for ledger in ledgers))


def _with_some_held_out(made: Callable[[float], Any], parts: Sequence[Part]) -> Any:
    """Returns what `made` makes with the smallest share of held-out rows that holds some. Raises NewError,
    which names the files.
    """
    for share in SHARES:
        try:
            return made(share)
        except (ValueError, OSError) as error:
            if "rows left" in str(error) and share != SHARES[-1]:
                continue
            raise NewError(f"{names(parts)}: {error}") from error
    raise AssertionError


def _pairs_look(wish: Wish, fitted: Fitted) -> SetLook:
    """Looks at the set of pairs, and fits its share and limits."""
    name = f"{wish.name}_pairs" if wish.rows else wish.name

    def made(share: float) -> Any:
        fitted.pairs_heldout_share = share
        value = sections(replace(wish, parts=wish.pairs), ["dpo"], fitted)["preferences"]
        params = PreferenceSet.model_validate({**next(iter(value.values())), "max_bad_rows": NEARLY_ALL})
        items = read_source(name, params, Path(params.origin), SEED, most=ROWS)
        sets = build_preferences(name, params, items, {file: [] for file in FILES}, SEED)
        if not sets.pairs["heldout"] and share != SHARES[-1]:
            raise ValueError("no heldout rows left")
        return sets

    sets = _with_some_held_out(made, wish.pairs)
    metrics, train = sets.metrics, sets.pairs["train"]
    ledgers = [metrics["source"], metrics["not_encodable"]]
    seen = _seen(name, metrics["rows"], ledgers)
    seen.files = metrics["pairs"]
    fitted.pairs_max_bad_rows = tolerated(ledgers, wish.pairs)
    if wish.model.tokens is None:
        seen.lengths = {"prompt": _of_texts([pair.prompt for pair in train])}
        return seen
    rules = SetRules(max_prompt_tokens=FREE, max_response_tokens=FREE, max_tokens=None, max_bad_rows=1.0)
    try:
        tokenised = tokenise_pairs(train, wish.model.tokens, rules, name)
    except (ValueError, TemplateFault) as error:
        raise NewError(f"{names(wish.pairs)}: the model {wish.model.name} cannot read it: {error}") from error
    seen.left_out += Counter(
        {reason.replace("_", " "): number for reason, number in tokenised.left_out.items()}
    )
    unread = rounded_up(tokenised.left_out["not_encodable"], len(train))
    fitted.pairs_max_bad_rows = max(fitted.pairs_max_bad_rows, unread)
    prompts = [len(pair.prompt_ids) for pair in tokenised.pairs]
    answers = [len(ids) for pair in tokenised.pairs for ids in (pair.chosen_ids, pair.rejected_ids)]
    _note(seen, {"prompt": prompts, "answer": answers})
    if prompts:
        prompt, answer = limits(wish.model, prompts, answers, max(answers))
        fitted.pair_limits = {
            "max_prompt_tokens": prompt,
            "max_answer_tokens": answer,
            "max_tokens": prompt + answer,
        }
    for index, pair in enumerate(train[:EXAMPLES]):
        parts = shown_pair(asdict(pair), wish.model.tokens, rules)
        seen.examples.append(_shown(wish, name, "train", index, len(train), pair, parts))
    return seen


def _note(seen: SetLook, lengths: Mapping[str, Sequence[int]]) -> None:
    measured = {name: Lengths.of(values) for name, values in lengths.items()}
    seen.lengths, seen.unit = {name: item for name, item in measured.items() if item is not None}, "tokens"


def _untokenised(seen: SetLook, rows: Sequence[Example]) -> None:
    seen.lengths = {"prompt": _of_texts([row.prompt for row in rows])}
    if responses := [row.response for row in rows if row.response]:
        seen.lengths["response"] = _of_texts(responses)


def _of_texts(texts: Sequence[str]) -> Lengths:
    return Lengths.of([len(text) for text in texts]) or Lengths(0, 0)


def _shown(
    wish: Wish, subject: str, file: str, row: int, rows: int, example: Any, sequences: list[Any]
) -> Shown:
    tokens = wish.model.tokens
    assert tokens is not None
    stops = [(id, tokens.tokenizer.id_to_token(id) or "") for id in tokens.stop_ids]
    template = "written out" if tokens.chat is None else "the tokenizer's chat template"
    return Shown(
        subject, file, row, rows, example.id, sequences, stops, template, wish.model.name, asdict(example)
    )


def _text_alone(wish: Wish, path: Path, file: str, row: Example) -> Shown:
    return Shown(wish.name, file, 0, 1, row.id, [], [], "", "", asdict(row))
