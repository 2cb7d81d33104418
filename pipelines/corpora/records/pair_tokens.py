"""Pairs as token ids of one model: the template is applied to the prompt, answers are cut at their right end,
and what cannot become a pair is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.corpora.preferences.pair import Pair, PairExample, read_pair_examples
from pipelines.corpora.raw.ledger import Ledger
from pipelines.corpora.records.rendering import prompt_and_answers
from pipelines.corpora.records.set_rules import SetRules
from pipelines.corpora.records.token_cache import TokenRow, cached
from pipelines.models.chat_renderer import TemplateFault
from pipelines.models.conversation import Conversation
from pipelines.models.tokenizer import Tokens


@dataclass
class TokenisedPairs:
    """`pairs`: in the order of the file. `left_out`: pairs left out, by reason: not_encodable, long_prompt,
    equal_tokens, too_long (a sampled answer that does not fit), equal_after_cut. `cut`: answers (chosen,
    rejected) that were cut at their right end, and so end without EOS.
    """

    pairs: list[Pair] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)


def read_pairs(folder: Path, side: str, tokens: Tokens, cache: Path | None = None) -> TokenisedPairs:
    """Returns the pairs of `folder`/`side`.jsonl for a model with `tokens`, within the set's limits. `cache`:
    folder of cached ids. Raises TooManyBadRows, naming rows and reasons, where more of them cannot be
    tokenised than the set allows.
    """
    path = folder / f"{side}.jsonl"
    examples = read_pair_examples(path)
    rows = cached(cache, path, tokens, "pairs", lambda: [_row(example, tokens) for example in examples])
    return _within(examples, rows, SetRules.read(folder), str(path))


def tokenise_pairs(
    examples: Sequence[PairExample], tokens: Tokens, rules: SetRules, where: str
) -> TokenisedPairs:
    """Returns pairs that are in memory, tokenised; `where` is for errors."""
    return _within(examples, [_row(example, tokens) for example in examples], rules, where)


def _row(example: PairExample, tokens: Tokens) -> TokenRow:
    try:
        return _ids(example, tokens)
    except TemplateFault:
        raise
    except ValueError as fault:
        return f"{example.id} ({example.prompt[:40]!r}): {fault}"


def _within(
    examples: Sequence[PairExample], rows: Sequence[TokenRow], rules: SetRules, where: str
) -> TokenisedPairs:
    """Returns the pairs within the set's limits."""
    result, ledger = TokenisedPairs(), Ledger(where)
    for line, (example, row) in enumerate(zip(examples, rows, strict=True), 1):
        if isinstance(row, str):
            ledger.reject(f"{where}:{line}", row)
            result.left_out["not_encodable"] += 1
            continue
        ledger.accept()
        prompt, chosen, rejected = row
        _add(result, example, prompt, chosen, rejected, rules)
    if ledger.bad:
        ledger.check(rules.max_bad_rows)
    return result


def _ids(example: PairExample, tokens: Tokens) -> tuple[list[int], list[int], list[int]]:
    """Returns the ids of prompt, chosen and rejected answer. Raises ValueError where they cannot
    be encoded.
    """
    has_own_ids = example.tokens == tokens.digest
    sampled_ids = [ids if has_own_ids else None for ids in (example.chosen_ids, example.rejected_ids)]
    texts = [
        text for text, ids in zip((example.chosen, example.rejected), sampled_ids, strict=True) if not ids
    ]
    turns = None if example.conversation is None else Conversation.from_json(example.conversation)
    prompt, answers = prompt_and_answers(example.prompt, turns, texts, tokens)
    answer_ids = []
    for name, ids in zip(("chosen", "rejected"), sampled_ids, strict=True):
        encoded = ids or answers.pop(0)
        # an answer that its model did not end is no lesson in ending one
        answer_ids.append(
            encoded[:-1] if not ids and name in example.unfinished and len(encoded) > 1 else encoded
        )
    return prompt, answer_ids[0], answer_ids[1]


def _add(
    result: TokenisedPairs,
    example: PairExample,
    prompt: list[int],
    chosen: list[int],
    rejected: list[int],
    rules: SetRules,
) -> None:
    """Adds the pair to `result`, or counts why it is left out."""
    room = rules.max_response_tokens
    if rules.max_tokens is not None:
        room = min(room, rules.max_tokens - len(prompt))
    sampled = (chosen, example.chosen_ids), (rejected, example.rejected_ids)
    if len(prompt) > rules.max_prompt_tokens or room < 1:
        result.left_out["long_prompt"] += 1
    elif chosen == rejected:
        result.left_out["equal_tokens"] += 1
    elif any(sampled_ids and len(ids) > room for ids, sampled_ids in sampled):
        result.left_out["too_long"] += 1  # a cut answer would not be the one that was judged
    elif chosen[:room] == rejected[:room]:
        result.left_out["equal_after_cut"] += 1
    else:
        result.cut["chosen"] += len(chosen) > room
        result.cut["rejected"] += len(rejected) > room
        result.pairs.append(
            Pair(
                id=example.id,
                prompt=example.prompt,
                chosen=example.chosen,
                rejected=example.rejected,
                source=example.source,
                prompt_ids=prompt,
                chosen_ids=chosen[:room],
                rejected_ids=rejected[:room],
                group=example.group,
                chosen_safe=example.chosen_safe,
                rejected_safe=example.rejected_safe,
                helpful=example.helpful,
                safer=example.safer,
                meta=example.meta,
            )
        )
