"""Preferences as token ids: the template around the prompt, answers cut at their right end, and what cannot
become a pair counted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipelines.corpora.ledger import Ledger
from pipelines.corpora.pair import Labelled, Pair, Preference
from pipelines.corpora.pair_rows import Item
from pipelines.corpora.preferences_params import PreferencesParams
from pipelines.corpora.prompt_split import group_key
from pipelines.corpora.record import Record
from pipelines.corpora.rendering import prompt_and_answers
from pipelines.corpora.split import fraction
from pipelines.models.tokenizer import Tokens


@dataclass
class Writing:
    """`removed`: pairs by reason: not_encodable, long_prompt, equal_tokens, too_long (a sampled answer that
    leaves no room), equal_after_cut. `cut`: answers of the pairs that were cut at their right end, and so end
    without EOS; long_response: answers left out of the responses for that.
    """

    params: PreferencesParams
    tokens: Tokens
    ledger: Ledger
    removed: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)

    def pairs(self, preferences: Iterable[Preference]) -> list[Pair]:
        """In the order given."""
        return [pair for preference in preferences if (pair := self._pair(preference)) is not None]

    def responses(self, items: Iterable[Item]) -> list[Record]:
        """Every answer with a safety flag once; answers with both flags, or longer than the limit, are left
        out.
        """
        flags: dict[tuple[str, str], set[bool]] = {}
        first: dict[tuple[str, str], tuple[Item, str, tuple[int, ...] | None]] = {}
        for item in sorted(items, key=lambda item: repr(item)):
            for text, ids, safe in _answers(item):
                place = group_key(item.prompt), text
                flags.setdefault(place, set()).add(safe)
                first.setdefault(place, (item, text, ids))
        records = []
        for place in sorted(first, key=lambda place: (fraction("order:" + place[0]), place)):
            item, text, ids = first[place]
            record = (
                self._response(item, text, ids, next(iter(flags[place]))) if len(flags[place]) == 1 else None
            )
            records += [] if record is None else [record]
        return records

    def _pair(self, one: Preference) -> Pair | None:
        own = [text for text, ids in zip((one.chosen, one.rejected), one.ids, strict=True) if not ids]
        encoded = self._encode(one, own)
        if encoded is None:
            self.removed["not_encodable"] += 1
            return None
        prompt, answers = encoded
        if len(prompt) > self.params.max_prompt_tokens:
            self.removed["long_prompt"] += 1
            return None
        chosen, rejected = (list(ids) if ids else answers.pop(0) for ids in one.ids)
        if chosen == rejected:
            self.removed["equal_tokens"] += 1
            return None
        room = min(self.params.max_answer_tokens, self.params.max_tokens - len(prompt))
        if any(ids and len(ids) > room for ids in one.ids):
            self.removed["too_long"] += 1  # a cut answer would not be the one that was judged
            return None
        if chosen[:room] == rejected[:room]:
            self.removed["equal_after_cut"] += 1
            return None
        self.cut["chosen"] += len(chosen) > room
        self.cut["rejected"] += len(rejected) > room
        return Pair(
            id=f"{one.source}:{_digest(one.prompt, one.chosen, one.rejected)}",
            prompt=one.prompt,
            chosen=one.chosen,
            rejected=one.rejected,
            source=one.source,
            prompt_ids=prompt,
            chosen_ids=chosen[:room],
            rejected_ids=rejected[:room],
            group=group_key(one.prompt),
            chosen_safe=one.chosen_safe,
            rejected_safe=one.rejected_safe,
            helpful=one.helpful,
            safer=one.safer,
            meta=one.meta,
        )

    def _response(self, item: Item, text: str, ids: tuple[int, ...] | None, safe: bool) -> Record | None:
        encoded = self._encode(item, () if ids else (text,)) if text.strip() else None
        if encoded is None:
            return None
        prompt, answers = encoded
        response = list(ids) if ids else answers[0]
        if len(prompt) > self.params.max_prompt_tokens:
            return None
        if (
            len(response) > self.params.max_answer_tokens
            or len(prompt) + len(response) > self.params.max_tokens
            or (response[-1] not in self.tokens.stop_ids)
        ):
            self.cut["long_response"] += 1
            return None
        label = "safe" if safe else "unsafe"
        return Record(
            f"{item.source}:{_digest(item.prompt, text)}",
            item.prompt,
            text,
            label,
            label,
            None,
            item.source,
            prompt,
            response,
        )

    def _encode(self, item: Item, answers: Sequence[str]) -> tuple[list[int], list[list[int]]] | None:
        """Ids of the prompt and of `answers`; None where they cannot be encoded, which the ledger then
        knows.
        """
        try:
            found = prompt_and_answers(item.prompt, item.conversation, answers, self.tokens)
        except ValueError as fault:
            self.ledger.reject(item.where or repr(item.prompt[:40]), str(fault))
            return None
        self.ledger.accept()
        return found


def _answers(item: Item) -> list[tuple[str, tuple[int, ...] | None, bool]]:
    """The answers of an item that have a flag: text, ids and flag."""
    if isinstance(item, Labelled):
        return [] if item.safe is None else [(item.answer, None, item.safe)]
    found = ((item.chosen, item.ids[0], item.chosen_safe), (item.rejected, item.ids[1], item.rejected_safe))
    return [(text, ids, safe) for text, ids, safe in found if safe is not None]


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
